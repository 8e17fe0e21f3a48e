"""diff-projection: the read models against a rebuild from the journal, row by row."""

import tempfile
from collections.abc import Generator, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import msgspec
from sqlalchemy import Connection, Engine, Table, select

from tollway.ledger.journal.block import events_of, head_of
from tollway.ledger.journal.store import JournalStore
from tollway.ledger.views.rows import Rows, add_block
from tollway.ledger.views.store import ViewStore
from tollway.ledger.views.tables import METADATA, PROJECTED, WATERMARK
from tollway.store.engine import open_engine

SHOWN: Final = 10


class Difference(msgspec.Struct, frozen=True):
    """A row that one side has: "journal" (the read models lack it) or "views" (it is not from the journal)."""

    table: str
    where: str
    row: str


class Comparison(msgspec.Struct):
    """How many rows agree, and the first of those that do not."""

    rows: int = 0
    differing: int = 0
    shown: list[Difference] = []


def compare(journal: JournalStore, views: ViewStore) -> Comparison:
    """Rebuild up to the watermarks, in a temporary database, and compare. Read models may be written meanwhile.

    Raises DamagedError, UnknownError, SQLAlchemyError.
    """
    found = Comparison()
    with tempfile.TemporaryDirectory(prefix="tollway-views-") as folder, _standing_still(views.engine) as live:
        engine = open_engine(f"sqlite:///{Path(folder)}/views.db", is_writer=True)
        METADATA.create_all(engine)
        rebuilt = ViewStore(engine)
        _rebuild(journal, rebuilt, {row.journal: row.seq for row in live.execute(select(WATERMARK))})
        rebuilt.close()
        with engine.connect() as other:
            for table in PROJECTED:
                _compare_table(found, table, live, other)
        engine.dispose()
    return found


@contextmanager
def _standing_still(engine: Engine) -> Generator[Connection]:
    """The read models as they are at one moment, however long one looks. Raises SQLAlchemyError."""
    with engine.connect() as connection:
        if connection.dialect.name == "postgresql":
            connection.execution_options(isolation_level="REPEATABLE READ")
        yield connection


def _rebuild(journal: JournalStore, rebuilt: ViewStore, marks: Mapping[int, int]) -> None:
    for number, last in marks.items():
        after = 0
        while after < last:
            blocks = [block for block in journal.read(number, after=after) if block.seq <= last]
            if not blocks:
                break
            rows = Rows()
            for block in blocks:
                add_block(rows, journal=number, ts_us=block.ts, events=events_of(block))
            head = head_of(blocks[-1])
            rebuilt.write(rows, {number: (after, head)})
            after = head.seq


def _compare_table(found: Comparison, table: Table, live: Connection, rebuilt: Connection) -> None:
    """Walk both in key order: nothing is held in memory but two rows."""
    mine, theirs = _rows(table, live), _rows(table, rebuilt)
    keys = len(table.primary_key.columns)
    left, right = next(mine, None), next(theirs, None)
    while left is not None or right is not None:
        found.rows += 1
        if left == right:
            left, right = next(mine, None), next(theirs, None)
        elif right is None or (left is not None and left[:keys] < right[:keys]):
            _tell(found, table, "views", left)
            left = next(mine, None)
        elif left is None or right[:keys] < left[:keys]:
            _tell(found, table, "journal", right)
            right = next(theirs, None)
        else:
            _tell(found, table, "views", left)
            left, right = next(mine, None), next(theirs, None)


def _rows(table: Table, connection: Connection) -> Iterator[tuple[Any, ...]]:
    """Rows in the order of bytes, whatever the database's collation."""
    keys = [column.name for column in table.primary_key]
    order = [table.c[key] for key in keys]
    if connection.dialect.name == "postgresql":
        order = [column.collate("C") if str(column.type).startswith("VARCHAR") else column for column in order]  # type: ignore[misc]
    columns = [*(table.c[key] for key in keys), *(c for c in table.c if c.name not in keys)]
    query = select(*columns).order_by(*order)
    for row in connection.execute(query, execution_options={"stream_results": True}):
        yield tuple(row)


def _tell(found: Comparison, table: Table, where: str, row: Any) -> None:
    found.differing += 1
    if len(found.shown) < SHOWN:
        found.shown.append(Difference(table.name, where, repr(row)[:300]))
