"""Keeps the read models up with the journal, in a thread of its own, half a second behind.

Committed blocks are handed over as they are; what was missed (a restart, a failure, a flood) is read from the journal.
The watermark commits with the rows, so nothing is ever counted twice.
"""

import asyncio
import threading
import time
from collections.abc import Callable, Iterable
from queue import SimpleQueue
from typing import Any, Final

from sqlalchemy.exc import SQLAlchemyError

from tollway.ledger.journal.block import Block, DamagedError, Head, events_of, head_of
from tollway.ledger.journal.store import JournalStore, UnknownError
from tollway.ledger.views.rows import Rows, add_block
from tollway.ledger.views.store import StaleError, ViewStore
from tollway.ledger.writer import Committed

DELAY_S: Final = 0.5
"""A batch costs a millisecond whatever is in it. Who asks does not wait for it: a question flushes first."""
BATCH_EVENTS: Final = 1_000
BACKLOG_EVENTS_MAX: Final = 50_000
"""More than this is not kept in memory: it is read from the journal when its turn comes."""
RETRY_S: Final = 0.5


class Projector:
    """`feed` on the loop; everything else on its thread. `reach` moves on as journals are owned."""

    def __init__(self, journal: JournalStore, views: ViewStore, *, on_trouble: Callable[[str], None]) -> None:
        self._journal = journal
        self._views = views
        self._on_trouble = on_trouble
        self._loop = asyncio.get_running_loop()
        self._waiting: list[Committed] = []
        self._waiting_events = 0
        self._timer: asyncio.TimerHandle | None = None
        self._jobs: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        self._queued = 0
        self._heads: dict[int, Head] | None = None
        self._thread = threading.Thread(target=self._run, name="ledger projector", daemon=True)
        self._thread.start()

    # -- on the loop

    def feed(self, committed: list[Committed]) -> None:
        """Blocks that became durable, in order."""
        self._waiting += committed
        self._waiting_events += sum(len(one.events) for one in committed)
        if self._waiting_events >= BATCH_EVENTS:
            self.flush()
        elif self._timer is None:
            self._timer = self._loop.call_later(DELAY_S, self.flush)

    def flush(self) -> None:
        """Hand what waits to the thread."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        batch, self._waiting, self._waiting_events = self._waiting, [], 0
        if batch and self._queued < BACKLOG_EVENTS_MAX // BATCH_EVENTS:
            self._queued += 1
            self._jobs.put(lambda: self._project(batch))

    @property
    def lag(self) -> int:
        """Batches that wait."""
        return self._queued + bool(self._waiting)

    async def reach(self, heads: dict[int, int]) -> None:
        """Wait until these journals are projected up to these blocks; what is missing is read from the journal."""
        self.flush()
        done: asyncio.Future[None] = self._loop.create_future()

        def work() -> None:
            if heads:
                self._heads = self._marks()  # another process may have projected them until now
            for journal, seq in heads.items():
                self._catch_up(journal, seq)
            self._loop.call_soon_threadsafe(_resolve, done)

        self._jobs.put(work)
        await done

    def stop(self) -> None:
        """Project what waits and end the thread."""
        self.flush()
        self._jobs.put(None)
        self._thread.join(timeout=10)

    # -- on the thread

    def _run(self) -> None:
        while (job := self._jobs.get()) is not None:
            job()
        self._views.close()

    def _project(self, batch: list[Committed]) -> None:
        """Project blocks that follow on; fill a gap from the journal first."""
        try:
            for journal in sorted({one.block.journal for one in batch}):
                first = next(one.block for one in batch if one.block.journal == journal)
                self._catch_up(journal, first.seq - 1)
            self._write((one.block, one.events) for one in batch)
        finally:
            self._queued -= 1

    def _catch_up(self, journal: int, seq: int) -> None:
        while self._head(journal).seq < seq:
            blocks = self._read(journal)
            if not blocks:
                return
            self._write((block, events_of(block)) for block in blocks if block.seq <= seq)

    def _read(self, journal: int) -> list[Block]:
        while True:
            try:
                return self._journal.read(journal, after=self._head(journal).seq)
            except (UnknownError, DamagedError) as fault:
                self._on_trouble(type(fault).__name__)
                time.sleep(RETRY_S)

    def _head(self, journal: int) -> Head:
        if self._heads is None:
            self._heads = self._marks()
        return self._heads.get(journal, Head())

    def _marks(self) -> dict[int, Head]:
        while True:
            try:
                return {journal: Head(seq, digest) for journal, (seq, digest) in self._views.watermarks().items()}
            except SQLAlchemyError as fault:
                self._on_trouble(type(fault).__name__)
                time.sleep(RETRY_S)

    def _write(self, blocks: Iterable[tuple[Block, list[Any]]]) -> None:
        """Project each block once, in order; try until the database takes them, or has them from somebody else."""
        rows, moves = Rows(), dict[int, tuple[int, Head]]()
        for block, events in blocks:
            known = self._head(block.journal)
            before, head = moves.get(block.journal, (known.seq, known))
            if block.seq == head.seq + 1:
                add_block(rows, journal=block.journal, ts_us=block.ts, events=events)
                moves[block.journal] = (before, head_of(block))
        while moves:
            try:
                self._views.write(rows, moves)
            except StaleError:
                self._heads = self._marks()
                return
            except SQLAlchemyError as fault:
                self._on_trouble(type(fault).__name__)
                time.sleep(RETRY_S)
            else:
                self._heads = (self._heads or {}) | {journal: head for journal, (_, head) in moves.items()}
                return


def _resolve(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)
