"""Brings the tables of one part to this version: alembic, configured here and not in a file.

Each part (`journal`, `views`, `auth`) is a tree of its own under `migrations/` with a version table of its own, since
PostgreSQL holds all parts in one database. The trees lie beside the sources in a checkout and inside the package in a
wheel.
"""

from pathlib import Path
from typing import Final

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, text

from tollway.settings import Part
from tollway.store.engine import open_engine

PARTS: Final[tuple[Part, ...]] = ("journal", "views", "auth")
_HERE: Final = Path(__file__).resolve()
_TREES: Final = (_HERE.parents[1] / "migrations", _HERE.parents[3] / "migrations")
_LOCK_KEY: Final = 0x746F6C6C  # "toll": the same for every part, so that two migrations never meet in one database


def upgrade(url: str, part: Part) -> str | None:
    """Create or upgrade the tables of a part and return the revision they are at (None: the part has none).

    Everything happens in one transaction, behind a lock: whoever comes second waits, finds nothing to do and agrees.
    Safe to repeat.
    """
    engine = open_engine(url, is_writer=True)
    try:
        with engine.begin() as connection:
            _wait_for_turn(connection)
            command.upgrade(_config(part, connection), "head")
            return _revision(connection, part)
    finally:
        engine.dispose()


def current(url: str, part: Part) -> str | None:
    """The revision that a part's tables are at; None when they were never created."""
    engine = open_engine(url)
    try:
        with engine.connect() as connection:
            return _revision(connection, part)
    finally:
        engine.dispose()


def newest(part: Part) -> str | None:
    """The revision that this version of Tollway wants."""
    return ScriptDirectory.from_config(_config(part)).get_current_head()


def version_table(part: Part) -> str:
    """Where a part remembers its revision."""
    return f"alembic_version_{part}"


def tree() -> Path:
    """Where the migrations lie. Raises FileNotFoundError when the installation lacks them."""
    for path in _TREES:
        if (path / "env.py").exists():
            return path
    raise FileNotFoundError(f"no migrations in {' or '.join(map(str, _TREES))}")


def _wait_for_turn(connection: Connection) -> None:
    """Take the lock. SQLite needs nothing: a writer's transaction begins with the write lock."""
    if connection.dialect.name == "postgresql":
        for limit in ("SET LOCAL statement_timeout = '10min'", "SET LOCAL lock_timeout = '1min'"):
            connection.execute(text(limit))
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _LOCK_KEY})


def _revision(connection: Connection, part: Part) -> str | None:
    context = MigrationContext.configure(connection, opts={"version_table": version_table(part)})
    return context.get_current_revision()


def _config(part: Part, connection: Connection | None = None) -> Config:
    config = Config()
    root = str(tree()).replace("%", "%%")
    config.set_main_option("script_location", root)
    config.set_main_option("path_separator", "newline")
    config.set_main_option("version_locations", f"{root}/{part}/versions")
    config.attributes.update(connection=connection, version_table=version_table(part))
    return config
