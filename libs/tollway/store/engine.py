"""One way to open a database, so that durability does not depend on who opens it.

SQLite: WAL, `synchronous=FULL` (an acknowledged commit survives a power cut), a writer takes its lock at BEGIN.
PostgreSQL: psycopg, `synchronous_commit=on`, statements and lock waits bounded, TCP keep-alives.
"""

import sqlite3
import time
from typing import Any, Final

from sqlalchemy import Engine, create_engine, event
from sqlalchemy.engine import make_url
from sqlalchemy.pool import NullPool

SQLITE_BUSY_TIMEOUT_MS: Final = 5_000
STATEMENT_TIMEOUT_MS: Final = 5_000
LOCK_TIMEOUT_MS: Final = 2_000
CONNECT_TIMEOUT_S: Final = 3
PRAGMAS: Final = (
    f"PRAGMA busy_timeout={SQLITE_BUSY_TIMEOUT_MS}",
    "PRAGMA journal_mode=WAL",
    "PRAGMA synchronous=FULL",
    "PRAGMA foreign_keys=ON",
)


def open_engine(url: str, *, is_writer: bool = False) -> Engine:
    """An engine for `sqlite:///path` or `postgresql+psycopg://…`. Raises nothing until it connects.

    `is_writer` makes every transaction of SQLite start with BEGIN IMMEDIATE, so that it never fails halfway for want
    of the write lock.
    """
    return _open_sqlite(url, is_writer=is_writer) if is_sqlite(url) else _open_postgresql(url)


def is_sqlite(url: str) -> bool:
    """Whether the URL names a SQLite file."""
    return make_url(url).get_backend_name() == "sqlite"


def _open_postgresql(url: str) -> Engine:
    options = (
        f"-c synchronous_commit=on -c statement_timeout={STATEMENT_TIMEOUT_MS} "
        f"-c lock_timeout={LOCK_TIMEOUT_MS} -c timezone=UTC"
    )
    keepalives = {"keepalives": 1, "keepalives_idle": 5, "keepalives_interval": 2, "keepalives_count": 3}
    arguments = {"connect_timeout": CONNECT_TIMEOUT_S, "options": options, **keepalives}
    return create_engine(url, pool_size=2, max_overflow=4, pool_pre_ping=True, connect_args=arguments)


def _open_sqlite(url: str, *, is_writer: bool) -> Engine:
    engine = create_engine(url, poolclass=NullPool, connect_args={"check_same_thread": False, "timeout": 5.0})
    begin = "BEGIN IMMEDIATE" if is_writer else "BEGIN"

    @event.listens_for(engine, "connect")
    def configure(connection: Any, _record: object) -> None:  # pyright: ignore[reportUnusedFunction]
        connection.isolation_level = None  # we say BEGIN ourselves
        for pragma in PRAGMAS:
            _set_in_turn(connection, pragma)

    @event.listens_for(engine, "begin")
    def start(connection: Any) -> None:  # pyright: ignore[reportUnusedFunction]
        connection.exec_driver_sql(begin)

    return engine


def _set_in_turn(connection: sqlite3.Connection, pragma: str) -> None:
    """Set a pragma, again while the file is locked: several that turn a new file to WAL at once meet on a lock that
    SQLite does not wait for, whatever the busy timeout."""
    deadline_s = time.monotonic() + SQLITE_BUSY_TIMEOUT_MS / 1000
    while True:
        try:
            connection.execute(pragma)
            return
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode != sqlite3.SQLITE_BUSY or time.monotonic() > deadline_s:
                raise
            time.sleep(0.01)
