"""Writes rows into the read models, in one transaction with the watermark they bring it to."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from sqlalchemy import Connection, Engine, Table, delete, insert, select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import IntegrityError, SQLAlchemyError

from tollway.ledger.journal.block import Head
from tollway.ledger.views import tables as t
from tollway.ledger.views.rows import Rows
from tollway.wire.subjects import JOURNALS

_INSERT: Final[Mapping[str, Any]] = {"sqlite": sqlite.insert, "postgresql": postgresql.insert}


class StaleError(Exception):
    """Somebody else has projected these blocks."""


class ViewStore:
    """The read models of one database."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self._insert = _INSERT[engine.dialect.name]
        self._statements: dict[str, str] = {}
        self._writing: Connection | None = None

    def _connection(self) -> Connection:
        """The projector's own connection. Read models can be rebuilt, so SQLite need not sync each of its commits."""
        if self._writing is None or self._writing.closed:
            self._writing = self.engine.connect()
            if self.engine.dialect.name == "sqlite":
                driver = self._writing.connection.driver_connection
                assert driver is not None
                driver.execute("PRAGMA synchronous=NORMAL")
            else:
                self._writing.exec_driver_sql("SET synchronous_commit=off")
                self._writing.commit()
        return self._writing

    def close(self) -> None:
        """Let go of the projector's connection."""
        if self._writing is not None:
            self._writing.close()
            self._writing = None

    def watermarks(self) -> dict[int, tuple[int, bytes]]:
        """Block number and hash up to which each journal is projected."""
        with self.engine.connect() as connection:
            rows = connection.execute(select(t.WATERMARK)).all()
        return {row.journal: (row.seq, bytes(row.hash)) for row in rows}

    def write(self, rows: Rows, moves: Mapping[int, tuple[int, Head]]) -> None:
        """Add rows and move the watermarks (journal: from block, to head), all or nothing.

        Raises StaleError when a watermark is not where it was thought to be, SQLAlchemyError.
        """
        connection = self._connection()
        try:
            self._write(connection, rows, moves)
        except StaleError:
            raise
        except SQLAlchemyError:
            connection.invalidate()
            self.close()
            raise

    def _write(self, connection: Connection, rows: Rows, moves: Mapping[int, tuple[int, Head]]) -> None:
        with connection.begin():
            for journal, (before, head) in sorted(moves.items()):
                _move_mark(connection, journal, before, head)
            self._write_usage(connection, rows)
            self._many(connection, t.MOVEMENT, rows.movements)
            self._add(connection, t.HOUR, 4, [(*key, *sums) for key, sums in rows.hours.items()])
            self._add(connection, t.BALANCE, 1, [(account, *sums) for account, sums in rows.balances.items()])
            self._replace(connection, t.ENDING, 2, [(*key, *ending) for key, ending in rows.endings.items()])

    def _write_usage(self, connection: Connection, rows: Rows) -> None:
        for account, request in rows.replaced:
            mine = (t.USAGE.c.account == account) & (t.USAGE.c.request == request)
            connection.execute(delete(t.USAGE).where(mine))
        if rows.replaced:
            rows.usage = list({row[:2]: row for row in rows.usage}.values())
        self._many(connection, t.USAGE, rows.usage)

    def _many(self, connection: Connection, table: Table, rows: Sequence[tuple[Any, ...]]) -> None:
        """Plain inserts through the driver's executemany: a third of the cost of Core's."""
        if rows:
            connection.exec_driver_sql(self._statement(table), list(rows))

    def _statement(self, table: Table) -> str:
        statement = self._statements.get(table.name)
        if statement is None:
            columns = [column.name for column in table.columns]
            head = str(insert(table).compile(self.engine, column_keys=columns)).partition(" VALUES ")[0]
            mark = "?" if self.engine.dialect.name == "sqlite" else "%s"
            statement = self._statements[table.name] = f"{head} VALUES ({', '.join([mark] * len(columns))})"
        return statement

    def _add(self, connection: Connection, table: Table, keys: int, rows: Sequence[tuple[Any, ...]]) -> None:
        """Insert, or add the amounts to what is there."""
        columns = list(table.columns)
        new = self._insert(table)
        summed = {column.name: column + new.excluded[column.name] for column in columns[keys:]}
        self._upsert(connection, new, columns, columns[:keys], summed, rows)

    def _replace(self, connection: Connection, table: Table, keys: int, rows: Sequence[tuple[Any, ...]]) -> None:
        """Insert, or put in the place of what is there."""
        columns = list(table.columns)
        new = self._insert(table)
        self._upsert(
            connection, new, columns, columns[:keys], {c.name: new.excluded[c.name] for c in columns[keys:]}, rows
        )

    def _upsert(
        self, connection: Connection, new: Any, columns: Any, keys: Any, values: Any, rows: Sequence[tuple[Any, ...]]
    ) -> None:
        if not rows:
            return
        names = [column.name for column in columns]
        statement = new.on_conflict_do_update(index_elements=keys, set_=values)
        connection.execute(statement, [dict(zip(names, row, strict=True)) for row in rows])

    def drop(self, journals: Sequence[int] = tuple(range(JOURNALS))) -> None:
        """Empty the read models, so that they are rebuilt from the first block. All journals or none."""
        assert len(journals) == JOURNALS, "rows do not tell their journal"
        with self.engine.begin() as connection:
            for table in (*t.PROJECTED, t.WATERMARK):
                connection.execute(delete(table))


def _move_mark(connection: Connection, journal: int, before: int, head: Head) -> None:
    """First in the transaction: whoever comes second waits here, and finds that it is too late. Raises StaleError."""
    here = (t.WATERMARK.c.journal == journal) & (t.WATERMARK.c.seq == before)
    moved = connection.execute(update(t.WATERMARK).where(here).values(seq=head.seq, hash=head.hash)).rowcount
    if moved:
        return
    if before:
        raise StaleError
    try:
        connection.execute(insert(t.WATERMARK).values(journal=journal, seq=head.seq, hash=head.hash))
    except IntegrityError:
        raise StaleError from None
