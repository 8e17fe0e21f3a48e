"""diff-projection: the read models against a rebuild from the journal, row by row."""

import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import msgspec
from sqlalchemy import Engine, Table, select

from tollway.ledger.journal.block import events_of, head_of
from tollway.ledger.journal.store import JournalStore
from tollway.ledger.views.rows import Rows, add_block
from tollway.ledger.views.store import ViewStore
from tollway.ledger.views.tables import METADATA, PROJECTED
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
    """Rebuild up to the watermarks, in a temporary database, and compare. Raises DamagedError, UnknownError."""
    marks = {number: seq for number, (seq, _) in views.watermarks().items()}
    with tempfile.TemporaryDirectory(prefix="tollway-views-") as folder:
        engine = open_engine(f"sqlite:///{Path(folder)}/views.db", is_writer=True)
        METADATA.create_all(engine)
        rebuilt = ViewStore(engine)
        _rebuild(journal, rebuilt, marks)
        found = Comparison()
        for table in PROJECTED:
            _compare_table(found, table, views.engine, engine)
        rebuilt.close()
        engine.dispose()
    return found


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


def _compare_table(found: Comparison, table: Table, live: Engine, rebuilt: Engine) -> None:
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


def _rows(table: Table, engine: Engine) -> Iterator[tuple[Any, ...]]:
    """Rows in the order of bytes, whatever the database's collation."""
    keys = [column.name for column in table.primary_key]
    order = [table.c[key] for key in keys]
    if engine.dialect.name == "postgresql":
        order = [column.collate("C") if str(column.type).startswith("VARCHAR") else column for column in order]  # type: ignore[misc]
    columns = [*(table.c[key] for key in keys), *(c for c in table.c if c.name not in keys)]
    with engine.connect() as connection:
        result = connection.execution_options(stream_results=True).execute(select(*columns).order_by(*order))
        for row in result:
            yield tuple(row)


def _tell(found: Comparison, table: Table, where: str, row: Any) -> None:
    found.differing += 1
    if len(found.shown) < SHOWN:
        found.shown.append(Difference(table.name, where, repr(row)[:300]))
