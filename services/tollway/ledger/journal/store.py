"""The journal in SQL: append is one INSERT, and its primary key is the compare-and-swap.

One code path for SQLite and PostgreSQL. The insert is composed by SQLAlchemy Core and sent through the driver: one
statement in autocommit is one transaction, so all blocks of a commit land together or not at all, in one round trip
(60 us of CPU instead of the 250 us of Core's transaction and execution).
"""

from collections.abc import Sequence
from typing import Any, Final, Literal, TypeAlias

from sqlalchemy import Engine, Row, insert, literal, select, text, tuple_
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from tollway.ledger.journal.block import Block, Head, head_of
from tollway.ledger.journal.tables import BLOCK
from tollway.wire.subjects import JOURNALS

READ_BLOCKS: Final = 500
COLUMNS: Final = tuple(column.name for column in BLOCK.columns)
Standing: TypeAlias = Literal["absent", "mine", "other"]


class ConflictError(Exception):
    """One of the keys is taken: by an earlier try of ours, or by another writer."""


class UnknownError(Exception):
    """The database failed: the append may or may not have happened. `kind` is the driver's class of it."""

    def __init__(self, kind: str) -> None:
        super().__init__(f"the database failed: {kind}")
        self.kind = kind


class JournalStore:
    """Blocks of all journals. `append` belongs to one thread, which keeps its own connection."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self._statements: dict[int, str] = {}
        self._connection: Any = None

    # -- the writer's side

    def append(self, blocks: Sequence[Block]) -> None:
        """Store the blocks, all or none, durably. Raises ConflictError, UnknownError."""
        dbapi = self.engine.dialect.dbapi
        assert dbapi is not None, "an engine has a driver"
        values = [field for block in blocks for field in _fields(block)]
        try:
            self._writing().execute(self._statement(len(blocks)), values)
        except dbapi.IntegrityError:
            raise ConflictError from None
        except dbapi.Error as fault:
            self.let_go()
            raise UnknownError(type(fault).__name__) from fault
        except SQLAlchemyError as fault:
            self.let_go()
            raise UnknownError(_kind(fault)) from fault

    def _writing(self) -> Any:
        if self._connection is None:
            self._connection = self.engine.raw_connection()
            driver = self._connection.driver_connection
            if self.engine.dialect.name == "sqlite":
                driver.execute("PRAGMA wal_autocheckpoint=0")
            else:
                driver.autocommit = True
        return self._connection.driver_connection

    def _statement(self, count: int) -> str:
        """INSERT … VALUES (…), (…) for this many blocks, as the dialect spells it."""
        statement = self._statements.get(count)
        if statement is None:
            one = str(insert(BLOCK).compile(self.engine, column_keys=list(COLUMNS)))
            head, _, _ = one.partition(" VALUES ")
            mark = "?" if self.engine.dialect.name == "sqlite" else "%s"
            row = f"({', '.join([mark] * len(COLUMNS))})"
            statement = self._statements[count] = f"{head} VALUES {', '.join([row] * count)}"
        return statement

    def let_go(self) -> None:
        """Close the writer's connection; the next append opens another."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.invalidate()

    # -- everybody's side

    def standing(self, blocks: Sequence[Block]) -> Standing:
        """Whether these blocks are stored (mine), their keys are free (absent) or taken by others (other).

        Raises UnknownError.
        """
        keys = [(block.journal, block.seq) for block in blocks]
        query = select(BLOCK.c.journal, BLOCK.c.seq, BLOCK.c.hash).where(tuple_(BLOCK.c.journal, BLOCK.c.seq).in_(keys))
        stored = {(row.journal, row.seq): bytes(row.hash) for row in self._rows(query)}
        if not stored:
            return "absent"
        is_mine = all(stored.get((block.journal, block.seq)) == block.hash for block in blocks)
        return "mine" if is_mine else "other"

    def read(self, journal: int, *, after: int, limit: int = READ_BLOCKS) -> list[Block]:
        """Blocks of a journal after a sequence number, in order. Raises UnknownError."""
        query = select(BLOCK).where(BLOCK.c.journal == journal, BLOCK.c.seq > after).order_by(BLOCK.c.seq).limit(limit)
        return [Block(*row) for row in self._rows(query)]

    def block(self, journal: int, seq: int) -> Block | None:
        """One block. Raises UnknownError."""
        query = select(BLOCK).where(BLOCK.c.journal == journal, BLOCK.c.seq == seq)
        return next((Block(*row) for row in self._rows(query)), None)

    def head(self, journal: int) -> Head:
        """Where a journal ends. Raises UnknownError."""
        query = select(BLOCK).where(BLOCK.c.journal == journal).order_by(BLOCK.c.seq.desc()).limit(1)
        return next((head_of(Block(*row)) for row in self._rows(query)), Head())

    def strays(self) -> list[tuple[int, int]]:
        """Journal and number of blocks that no journal would show: of no journal of ours, or numbered below 1.

        Raises UnknownError.
        """
        is_stray = ~BLOCK.c.journal.between(0, JOURNALS - 1) | (BLOCK.c.seq < 1)
        return [(row.journal, row.seq) for row in self._rows(select(BLOCK.c.journal, BLOCK.c.seq).where(is_stray))]

    def answers(self) -> bool:
        """Whether the database answers at all, whatever is wrong with a block."""
        try:
            return bool(self._rows(select(literal(1))))
        except UnknownError:
            return False

    def file_faults(self) -> list[str]:
        """What SQLite finds wrong with its own file, rows and index beside each other. Raises UnknownError."""
        if self.engine.dialect.name != "sqlite":
            return []
        return [str(row[0]) for row in self._rows(text("PRAGMA integrity_check(10)")) if row[0] != "ok"]

    def _rows(self, query: Any) -> list[Row[Any]]:
        try:
            with self.engine.connect() as connection:
                return list(connection.execute(query).all())
        except (SQLAlchemyError, UnicodeDecodeError) as fault:  # the latter from a file with broken letters
            raise UnknownError(_kind(fault)) from fault


def _kind(fault: SQLAlchemyError | UnicodeDecodeError) -> str:
    return type(fault.orig if isinstance(fault, DBAPIError) else fault).__name__


def _fields(block: Block) -> tuple[Any, ...]:
    return (
        block.journal,
        block.seq,
        block.epoch,
        block.ts,
        block.prev_hash,
        block.hash,
        block.n,
        block.first_eid,
        block.codec,
        block.body,
    )
