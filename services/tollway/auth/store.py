"""The log of auth and its projection, through SQLAlchemy Core: SQLite and PostgreSQL.

`auth_event` is the truth: numbered without gaps, never changed. `auth_record` is what the log comes to, kept in the
same transaction, so that a start need not read all of history; `rebuild` makes it anew. `auth_use` (when a key was
last seen) is a convenience and no part of the log.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, Final, ParamSpec, TypeVar

import msgspec
from sqlalchemy import (
    BigInteger,
    Column,
    Connection,
    Engine,
    Index,
    LargeBinary,
    MetaData,
    String,
    Table,
    delete,
    func,
    insert,
    select,
    update,
)
from sqlalchemy.exc import IntegrityError

from tollway.auth.events import Event, Record, ResourceDeleted, account_of, moment_of, resource_of, type_of
from tollway.auth.state import State

P = ParamSpec("P")
R = TypeVar("R")

_meta = MetaData()
EVENTS: Final = Table(
    "auth_event",
    _meta,
    Column("seq", BigInteger, primary_key=True, autoincrement=False),
    Column("account_id", String(64), nullable=False),
    Column("type", String(64), nullable=False),
    Column("resource_id", String(320), nullable=False),
    Column("at_ms", BigInteger, nullable=False),
    Column("by_id", String(64), nullable=False),
    Column("body", LargeBinary, nullable=False),
    Index("auth_event_account", "account_id", "seq"),
)
RECORDS: Final = Table(
    "auth_record",
    _meta,
    Column("kind", String(32), primary_key=True),
    Column("id", String(320), primary_key=True),
    Column("account_id", String(64), nullable=False),
    Column("body", LargeBinary, nullable=False),
)
POSITIONS: Final = Table(
    "auth_position",
    _meta,
    Column("name", String(32), primary_key=True),
    Column("seq", BigInteger, nullable=False),
)
USES: Final = Table(
    "auth_use",
    _meta,
    Column("id", String(320), primary_key=True),
    Column("at_ms", BigInteger, nullable=False),
)
PROJECTED: Final = "projected"
TOLD: Final = "told"
EVENTS_PER_READ: Final = 1_000

_encode = msgspec.json.Encoder().encode
_event = msgspec.json.Decoder(Event).decode
_record = msgspec.json.Decoder(Record).decode


class Store:
    """Reads and writes of auth's tables. Every method is one transaction; services call them through `run`."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="auth-store")

    async def run(self, method: Callable[P, R], *args: P.args, **more: P.kwargs) -> R:
        """One of the methods below, off the loop, one at a time."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, partial(method, *args, **more))

    def close(self) -> None:
        """Let go of the database, after what is being written."""
        self._thread.shutdown(wait=True)
        self._engine.dispose()

    # -- the log

    def append(self, after: int, events: Sequence[Event]) -> bool:
        """Put events behind event `after` and project them; False, and nothing done, when somebody else was there
        first."""
        try:
            with self._engine.begin() as connection:
                if _last_seq(connection) != after:
                    return False
                connection.execute(insert(EVENTS), [_row(event, after + n) for n, event in enumerate(events, 1)])
                for event in events:
                    _project(connection, event)
                _set_position(connection, PROJECTED, after + len(events))
        except IntegrityError:
            return False
        return True

    def events_after(self, seq: int) -> list[tuple[int, Event]]:
        """The next events of the log, at most EVENTS_PER_READ."""
        wanted = select(EVENTS.c.seq, EVENTS.c.body).where(EVENTS.c.seq > seq)
        with self._engine.connect() as connection:
            rows = connection.execute(wanted.order_by(EVENTS.c.seq).limit(EVENTS_PER_READ)).all()
        return [(row.seq, _event(row.body)) for row in rows]

    def is_empty(self) -> bool:
        """Whether nothing ever happened."""
        with self._engine.connect() as connection:
            return _last_seq(connection) == 0

    # -- the projection

    def load(self, state: State) -> None:
        """Fill an empty state from the projection; events behind it are the journal's to catch up with."""
        with self._engine.connect() as connection:
            position = _position(connection, PROJECTED)
            for row in connection.execute(select(RECORDS.c.body)):
                state.remember(_record(row.body))
            wanted = select(EVENTS.c.account_id, func.max(EVENTS.c.seq).label("seq")).where(EVENTS.c.seq <= position)
            rows = connection.execute(wanted.group_by(EVENTS.c.account_id)).all()
        state.restore(position, {row.account_id: row.seq for row in rows})

    def rebuild(self) -> int:
        """Make the projection anew from the log; the number of its last event. Safe to repeat."""
        with self._engine.begin() as connection:
            connection.execute(delete(RECORDS))
            seq = 0
            for row in connection.execute(select(EVENTS.c.seq, EVENTS.c.body).order_by(EVENTS.c.seq)).all():
                _project(connection, _event(row.body))
                seq = row.seq
            _set_position(connection, PROJECTED, seq)
        return seq

    # -- what the others have been told

    def told(self) -> int:
        """The last event that was put on the CONFIG stream."""
        with self._engine.connect() as connection:
            return _position(connection, TOLD)

    def set_told(self, seq: int) -> None:
        """Remember it."""
        with self._engine.begin() as connection:
            _set_position(connection, TOLD, seq)

    # -- last use

    def uses(self) -> dict[str, int]:
        """When keys were last seen, Unix milliseconds."""
        with self._engine.connect() as connection:
            return {row.id: row.at_ms for row in connection.execute(select(USES.c.id, USES.c.at_ms))}

    def mark_uses(self, uses: Mapping[str, int]) -> None:
        """Keys were seen; all in one transaction."""
        with self._engine.begin() as connection:
            for id_, at_ms in uses.items():
                _put(connection, USES, {"id": id_}, {"at_ms": at_ms})


def _row(event: Event, seq: int) -> dict[str, Any]:
    at_ms, by = moment_of(event)
    return {
        "seq": seq,
        "account_id": account_of(event),
        "type": type_of(event),
        "resource_id": resource_of(event)[1],
        "at_ms": at_ms,
        "by_id": by,
        "body": _encode(event),
    }


def _last_seq(connection: Connection) -> int:
    return connection.execute(select(func.coalesce(func.max(EVENTS.c.seq), 0))).scalar_one()


def _project(connection: Connection, event: Event) -> None:
    kind, id_ = resource_of(event)
    if isinstance(event, ResourceDeleted):
        connection.execute(delete(RECORDS).where(*_is(RECORDS, {"kind": kind, "id": id_})))
        return
    _put(connection, RECORDS, {"kind": kind, "id": id_}, _projected(event.record))


def _projected(record: Record) -> dict[str, Any]:
    return {"account_id": record.face.account_id, "body": _encode(record)}


def _position(connection: Connection, name: str) -> int:
    wanted = select(POSITIONS.c.seq).where(POSITIONS.c.name == name)
    return connection.execute(wanted).scalar_one_or_none() or 0


def _set_position(connection: Connection, name: str, seq: int) -> None:
    _put(connection, POSITIONS, {"name": name}, {"seq": seq})


def _put(connection: Connection, table: Table, key: Mapping[str, Any], values: Mapping[str, Any]) -> None:
    """Update, or insert where there is nothing: plain SQL on both databases. Writers of a table are serialized."""
    changed = connection.execute(update(table).where(*_is(table, key)).values(values))
    if changed.rowcount == 0:
        connection.execute(insert(table).values({**key, **values}))


def _is(table: Table, key: Mapping[str, Any]) -> list[Any]:
    return [table.c[name] == value for name, value in key.items()]
