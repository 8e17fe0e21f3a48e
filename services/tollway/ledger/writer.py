"""The single writer: pending blocks of all desks become one SQL commit, then the waiting are answered.

No timer for what somebody waits for: as soon as one commit returns, everything pending is the next one. Light load
makes blocks of one event, heavy load large ones. Settlements, which nobody waits for, may wait for company. The
database is touched by one thread only; the event loop never waits for it.

The ambiguous commit: when the database fails, its answer is looked up. Keys free: the same bytes are sent again. My
hash there: it was committed. Another hash there: somebody took the journal over, and this process is fenced.
"""

import asyncio
import threading
import time
from collections.abc import Callable, Sequence
from queue import SimpleQueue
from typing import Any, Final, TypeAlias

import msgspec

from tollway.crash import crashing, crashpoint
from tollway.ledger.desk import Desk, OpenBlock
from tollway.ledger.journal.block import Block, build, head_of
from tollway.ledger.journal.store import ConflictError, JournalStore, UnknownError
from tollway.tasks import report

RETRY_FIRST_S: Final = 0.02
RETRY_MAX_S: Final = 1.0
PENDING_MAX: Final = 20_000
"""Commands that wait for a commit; more would only time out."""
LAZY_S: Final = 0.02
"""How long what nobody waits for (settlements) may wait for company: half as many commits when load is light."""
STALLED_S: Final = 0.4
"""A commit that takes longer than this makes new holds fail at once instead of waiting in vain."""


class FencedError(Exception):
    """Another writer has the journal. Nothing that is pending here may be answered."""


class Committed(msgspec.Struct, frozen=True):
    """A block that is durable, with its events as they were decided."""

    block: Block
    events: list[Any]


Work: TypeAlias = list[tuple[Desk, list[OpenBlock]]]


def commit(store: JournalStore, blocks: Sequence[Block], *, on_trouble: Callable[[str], None]) -> None:
    """Append, and if the outcome is unknown find it out. Returns when durable. Raises FencedError."""
    wait_s = RETRY_FIRST_S
    while True:
        try:
            store.append(blocks)
            return
        except ConflictError:
            pass
        except UnknownError as fault:
            on_trouble(fault.kind)
        standing = _standing(store, blocks, on_trouble)
        if standing == "mine":
            return
        if standing == "other":
            raise FencedError
        time.sleep(wait_s)
        wait_s = min(wait_s * 2, RETRY_MAX_S)


def _standing(store: JournalStore, blocks: Sequence[Block], on_trouble: Callable[[str], None]) -> str:
    try:
        return store.standing(blocks)
    except UnknownError as fault:
        on_trouble(fault.kind)
        return "unknown"


class Writer:
    """Takes what desks have pending and commits it; owns the writing thread.

    `on_committed` is called on the loop with the blocks of one commit, before the replies; `on_fenced` once, and
    after it nothing is answered any more.
    """

    def __init__(
        self,
        store: JournalStore,
        *,
        on_committed: Callable[[list[Committed]], None],
        on_fenced: Callable[[], None],
        on_trouble: Callable[[str], None],
        on_timing: Callable[[float, int], None],
    ) -> None:
        self.store = store
        self.is_fenced = False
        self._on_committed = on_committed
        self._on_fenced = on_fenced
        self._on_trouble = on_trouble
        self._on_timing = on_timing
        self._loop = asyncio.get_running_loop()
        self._jobs: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        self._dirty: dict[int, Desk] = {}
        self._is_scheduled = False
        self._is_urgent = False
        self._timer: asyncio.TimerHandle | None = None
        self._waiting = 0
        self._busy_since: float | None = None
        self._idle = asyncio.Event()
        self._idle.set()
        self._thread = threading.Thread(target=self._run, name="ledger writer", daemon=True)
        self._thread.start()

    # -- on the loop

    def wake(self, desk: Desk, *, is_urgent: bool = True) -> None:
        """This desk has something pending. Cheap to repeat. Not urgent: nobody waits for it, so it may travel with
        the next commit that somebody waits for, within LAZY_S."""
        self._dirty[desk.journal] = desk
        self._waiting += 1
        self._is_urgent |= is_urgent
        if self._busy_since is None and not self._is_scheduled:
            self._schedule()

    def _schedule(self) -> None:
        self._idle.clear()
        if self._is_urgent:
            self._is_scheduled = True
            self._loop.call_soon(self._flush)
        elif self._timer is None:
            self._timer = self._loop.call_later(LAZY_S, self._flush)

    @property
    def is_stalled(self) -> bool:
        """Whether a commit has been under way for so long that the database must be in trouble."""
        since = self._busy_since
        return since is not None and time.monotonic() - since > STALLED_S

    @property
    def is_full(self) -> bool:
        """Whether so much waits that more would only time out."""
        return self._waiting > PENDING_MAX

    def _flush(self) -> None:
        if self._busy_since is not None:
            return
        self._is_scheduled = self._is_urgent = False
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        work: Work = [(desk, desk.hand_over()) for _, desk in sorted(self._dirty.items()) if desk.pending]
        self._dirty.clear()
        self._waiting = 0
        if not work or self.is_fenced:
            self._idle.set()
            return
        self._busy_since = time.monotonic()
        self._jobs.put(lambda: self._commit(work))

    def _done(self, work: Work, committed: list[Committed], took_s: float) -> None:
        self._busy_since = None
        self._on_timing(took_s, len(committed))
        self._on_committed(committed)
        for desk, _ in work:
            _release(desk.committed())
        if self._is_urgent:
            self._flush()
        elif self._dirty:
            self._schedule()
        else:
            self._idle.set()

    def _fenced(self) -> None:
        self.is_fenced = True
        self._idle.set()
        self._on_fenced()

    async def settle_down(self) -> None:
        """Wait until nothing is pending or in flight."""
        self._is_urgent |= bool(self._dirty)
        if self._is_urgent and self._busy_since is None and not self._is_scheduled:
            self._schedule()
        await self._idle.wait()

    async def run(self, job: Callable[[], Any]) -> Any:
        """Do something else on the writing thread, between commits."""
        future: asyncio.Future[Any] = self._loop.create_future()

        def work() -> None:
            try:
                result, fault = job(), None
            except Exception as error:  # noqa: BLE001  handed to whoever waits
                result, fault = None, error
            self._loop.call_soon_threadsafe(_resolve, future, result, fault)

        self._jobs.put(work)
        return await future

    def stop(self) -> None:
        """End the thread after what it has to do."""
        self._jobs.put(None)
        self._thread.join(timeout=5)

    # -- on the writing thread

    def _run(self) -> None:
        while (job := self._jobs.get()) is not None:
            try:
                job()
            except Exception as fault:  # noqa: BLE001  a bug: who cannot write must not look as if it could
                report("ledger writer failed", fault)
                self._loop.call_soon_threadsafe(self._fenced)
        self.store.let_go()

    def _commit(self, work: Work) -> None:
        started = time.monotonic()
        committed = _built(work)
        crashpoint("ledger.block_built")
        crashing("ledger.in_commit")
        try:
            commit(self.store, [one.block for one in committed], on_trouble=self._on_trouble)
        except FencedError:
            self._loop.call_soon_threadsafe(self._fenced)
            return
        crashpoint("ledger.after_commit")
        for one, desk in zip(committed, (desk for desk, blocks in work for _ in blocks), strict=True):
            desk.head = head_of(one.block)
        self._loop.call_soon_threadsafe(self._done, work, committed, time.monotonic() - started)


def _built(work: Work) -> list[Committed]:
    committed: list[Committed] = []
    for desk, opened in work:
        head = desk.head
        for part in opened:
            block = build(desk.journal, head, epoch=desk.epoch, ts=part.ts, events=part.events)
            head = head_of(block)
            committed.append(Committed(block, part.events))
    return committed


def _release(blocks: list[OpenBlock]) -> None:
    """Answer everybody who waited for these blocks. What is told besides goes first, so that it and the replies leave
    in one write to the bus."""
    for block in blocks:
        for release in block.releases:
            release()
        for respond, said in block.replies:
            respond(said)
            crashpoint("ledger.after_some_replies")


def _resolve(future: asyncio.Future[Any], result: Any, fault: Exception | None) -> None:
    if future.done():
        return
    if fault is None:
        future.set_result(result)
    else:
        future.set_exception(fault)
