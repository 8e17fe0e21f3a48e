"""Publishes stored blocks on the LEDGER stream: the second copy, and what other services listen to.

Per journal in order, exactly once: each message says which message of its subject it follows, so that two publishers
cannot interleave. A message holds one or more whole blocks as stored. Stream behind the journal: it is brought up.
Stream ahead of it or different: the journal has lost something that was acknowledged, and the ledger halts.
"""

import asyncio
from collections.abc import Callable
from typing import Final, Protocol

import msgspec

from tollway import clock
from tollway.bus import BusError, WrongLastSequenceError
from tollway.crash import crashpoint
from tollway.ledger.journal.block import GENESIS, Block
from tollway.ledger.journal.store import JournalStore, UnknownError
from tollway.ledger.writer import Committed
from tollway.tasks import spawn

DELAY_S: Final = 0.1
MESSAGE_BYTES_MAX: Final = 512 * 1024
BACKLOG_BLOCKS_MAX: Final = 20_000
RETRY_S: Final = 1.0
CHECK_S: Final = 5.0
"""How often the stream's end is looked at: a stream that an operator deleted is noticed within this."""

_encode: Final = msgspec.msgpack.Encoder().encode
_decode: Final = msgspec.msgpack.Decoder(list[Block]).decode


class Last(msgspec.Struct, frozen=True):
    """The last message of a journal's subject: its sequence in the stream (0: none), and the last block in it."""

    sequence: int = 0
    seq: int = 0
    hash: bytes = GENESIS


class Copy(Protocol):
    """The LEDGER stream."""

    async def last(self, journal: int) -> Last:
        """Where the copy of a journal ends. Makes the stream if it is gone. Raises BusError."""
        ...

    async def put(self, journal: int, payload: bytes, *, after: int, first: Block, last: Block) -> int:
        """Append a message after the one with sequence `after`; its sequence. Raises BusError."""
        ...


class CopyDiffersError(Exception):
    """The stream holds a block that the journal has not, or has otherwise. Nothing more may be granted."""

    def __init__(self, journal: int, seq: int) -> None:
        super().__init__(f"journal {journal}: the LEDGER stream has block {seq}, the database does not, or another")
        self.journal, self.seq = journal, seq


def packed(blocks: list[Block]) -> bytes:
    """Blocks as one message."""
    return _encode(blocks)


def unpacked(payload: bytes) -> list[Block]:
    """The blocks of a message. Raises msgspec.DecodeError."""
    return _decode(payload)


class Relay:
    """One process's publisher. Everything runs on the loop; the database is read in a worker thread."""

    def __init__(
        self,
        store: JournalStore,
        copy: Copy,
        *,
        on_trouble: Callable[[str], None],
        on_differs: Callable[[CopyDiffersError], None],
    ) -> None:
        self._store = store
        self._copy = copy
        self._on_trouble = on_trouble
        self._on_differs = on_differs
        self._ends: dict[int, Last] = {}
        self._waiting: dict[int, list[Block]] = {}
        self._wake = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()
        self._task: asyncio.Task[None] | None = None
        self._checked_s = 0.0
        self.check_s = CHECK_S

    @property
    def lag(self) -> int:
        """Blocks that wait."""
        return sum(len(blocks) for blocks in self._waiting.values())

    async def own(self, journal: int, head_seq: int) -> None:
        """Begin to publish a journal: compare where both end. Raises CopyDiffersError, BusError, UnknownError."""
        last = await self._copy.last(journal)
        if last.seq > head_seq or (last.seq and not await self._has(journal, last)):
            raise CopyDiffersError(journal, last.seq)
        self._ends[journal] = last
        self._waiting.setdefault(journal, [])
        if last.seq < head_seq:
            self._hurry()

    async def _has(self, journal: int, last: Last) -> bool:
        block = await asyncio.to_thread(self._store.block, journal, last.seq)
        return block is not None and block.hash == last.hash

    def disown(self, journal: int) -> None:
        """Stop publishing a journal."""
        self._ends.pop(journal, None)
        self._waiting.pop(journal, None)

    def feed(self, committed: list[Committed]) -> None:
        """Blocks that became durable, in order."""
        for one in committed:
            waiting = self._waiting.get(one.block.journal)
            if waiting is not None and len(waiting) < BACKLOG_BLOCKS_MAX:
                waiting.append(one.block)
        self._hurry()

    def _hurry(self) -> None:
        self._idle.clear()
        self._wake.set()

    def start(self) -> None:
        """Publish from now on."""
        self._task = spawn(self._run(), name="ledger relay")

    async def flush(self) -> None:
        """Wait until all that waits is published."""
        await self._idle.wait()

    async def stop(self) -> None:
        """Stop at once; what is missing is published at the next start."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _run(self) -> None:
        while True:
            await self._pause()
            try:
                await self._check()
                if any(self._waiting.values()):
                    await self._round()
                    crashpoint("ledger.after_relay")
                self._rest()
            except CopyDiffersError as fault:
                self._on_differs(fault)
                return
            except (BusError, UnknownError) as fault:
                self._on_trouble(f"relay: {type(fault).__name__}")
                await asyncio.sleep(RETRY_S)
                self._wake.set()

    async def _pause(self) -> None:
        """Let blocks gather for a moment once there are some; look at the stream's end now and then."""
        try:
            await asyncio.wait_for(self._wake.wait(), self.check_s)
        except TimeoutError:
            return
        self._wake.clear()
        await asyncio.sleep(DELAY_S)

    async def _check(self) -> None:
        """Whether the stream still ends where we left it (one journal at a time stands for all of the stream)."""
        now = clock.monotonic_s()
        if now - self._checked_s < self.check_s or not self._ends:
            return
        self._checked_s = now
        journal = max(self._ends, key=lambda journal: self._ends[journal].sequence)
        if (await self._copy.last(journal)).sequence != self._ends[journal].sequence:
            await self._again()

    async def _again(self) -> None:
        """The stream is not as we left it: compare every journal anew and bring it up."""
        self._on_trouble("relay: the LEDGER stream changed under us")
        for journal in list(self._ends):
            head = await asyncio.to_thread(self._store.head, journal)
            if journal in self._ends:
                await self.own(journal, head.seq)
                self._waiting[journal] = []
                await self._fill(journal)

    def _rest(self) -> None:
        """Idle, or another round after the next pause: blocks that came during this one gather company first."""
        if any(self._waiting.values()):
            self._wake.set()
        else:
            self._idle.set()

    async def _round(self) -> None:
        for journal in [journal for journal, blocks in self._waiting.items() if blocks]:
            await self._publish(journal)

    async def _publish(self, journal: int) -> None:
        """Put a message of a journal's blocks, unless it was given up meanwhile."""
        blocks, end = self._waiting.get(journal), self._ends.get(journal)
        if blocks is None or end is None:
            return
        while blocks and blocks[0].seq <= end.seq:
            blocks.pop(0)
        if blocks and blocks[0].seq != end.seq + 1:
            await self._fill(journal)
            return
        batch = _some(blocks)
        if not batch:
            return
        try:
            sequence = await self._copy.put(journal, packed(batch), after=end.sequence, first=batch[0], last=batch[-1])
        except WrongLastSequenceError:
            head = await asyncio.to_thread(self._store.head, journal)
            if journal in self._ends:
                await self.own(journal, head.seq)
            return
        if self._ends.get(journal) is end:
            self._ends[journal] = Last(sequence, batch[-1].seq, batch[-1].hash)
            del blocks[: len(batch)]

    async def _fill(self, journal: int) -> None:
        """Put the blocks that the stream lacks before those that wait."""
        end = self._ends[journal]
        missing = await asyncio.to_thread(self._store.read, journal, after=end.seq)
        waiting = self._waiting.get(journal)
        if waiting is None:
            return
        last = missing[-1].seq if missing else end.seq
        self._waiting[journal] = missing + [block for block in waiting if block.seq > last]

    async def catch_up(self, journal: int) -> None:
        """After `own`: read what the stream lacks from the journal."""
        await self._fill(journal)
        if self._waiting[journal]:
            self._hurry()


def _some(blocks: list[Block]) -> list[Block]:
    """As many blocks as fit a message, at least one."""
    size, count = 0, 0
    for block in blocks:
        size += len(block.body) + 150
        if count and size > MESSAGE_BYTES_MAX:
            break
        count += 1
    return blocks[:count]
