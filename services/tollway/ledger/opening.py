"""How a journal becomes ours: replayed, compared with its copy, and an epoch of our own begun in it.

Nothing is decided before all three are done: then memory is what the log says, the log is all that was ever told, and
whoever wrote it before us cannot write any more.
"""

import asyncio
from collections.abc import Callable, Collection, Sequence
from typing import Final, TypeAlias

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from tollway import ids
from tollway.bus import BusError
from tollway.ledger import events as ev
from tollway.ledger.audit import snapshots
from tollway.ledger.clockguard import GuardedClock
from tollway.ledger.desk import Desk
from tollway.ledger.journal.block import Block, DamagedError, Head, build, head_of
from tollway.ledger.journal.reading import load, replay
from tollway.ledger.journal.store import JournalStore, UnknownError
from tollway.ledger.relay import CopyDiffersError, Relay
from tollway.ledger.state import State
from tollway.ledger.writer import Writer, commit

VERSION: Final = "1"
AGAIN_S: Final = 1.0
"""Between two tries of a database or a stream that does not answer."""
Loaded: TypeAlias = tuple[State, Head]


class Opening:
    """`writer` commits the epochs; `relay` knows the copy, where there is a bus that keeps one.

    `on_unfit` is told which journal cannot go on, and why. `on_trouble`: what does not answer, and is waited for.
    """

    def __init__(
        self,
        writer: Writer,
        relay: Relay | None,
        guard: GuardedClock,
        key: Ed25519PublicKey,
        *,
        node: str,
        on_unfit: Callable[[int, str], None],
        on_trouble: Callable[[str], None],
    ) -> None:
        self._writer = writer
        self._store: JournalStore = writer.store
        self._relay = relay
        self._guard = guard
        self._key = key
        self._node = node
        self._on_unfit = on_unfit
        self._on_trouble = on_trouble

    async def open(self, journals: Sequence[int], *, doubted: Collection[int] = ()) -> list[Desk]:
        """Desks of those that are fit; the doubted are replayed from their first block, whatever snapshots there are.

        Raises FencedError when another process began an epoch at the same time.
        """
        examined = (self._examined(journal, is_doubted=journal in doubted) for journal in journals)
        found = await asyncio.gather(*examined)
        ready = [one for one in found if one is not None]
        return await self._begin(ready) if ready else []

    async def _examined(self, journal: int, *, is_doubted: bool) -> Loaded | None:
        """A journal's state and head, or None when it is damaged or behind its copy."""
        try:
            state, head = await self._loaded(journal, is_doubted=is_doubted)
            await self._compare(journal, head)
        except (DamagedError, CopyDiffersError) as fault:
            self._on_unfit(journal, str(fault))
            return None
        return state, head

    async def _loaded(self, journal: int, *, is_doubted: bool) -> Loaded:
        """Replay a journal; while the database is away, wait for it. Raises DamagedError."""
        while True:
            try:
                return await asyncio.to_thread(self._load, journal, is_doubted=is_doubted)
            except UnknownError as fault:
                self._on_trouble(fault.kind)
                await asyncio.sleep(AGAIN_S)

    def _load(self, journal: int, *, is_doubted: bool) -> Loaded:
        """From the newest snapshot that can be trusted, or from the first block."""
        if is_doubted:
            return load(self._store, journal)
        state, head = snapshots.newest(self._store, journal, [self._key])
        return load(self._store, journal, state, head)

    async def _compare(self, journal: int, head: Head) -> None:
        """Nothing is appended before the copy was looked at: it may know blocks that the database has lost.

        Raises CopyDiffersError. While the stream does not answer, wait.
        """
        while self._relay is not None:
            try:
                await self._relay.own(journal, head.seq)
            except (BusError, UnknownError) as fault:
                self._on_trouble(f"{type(fault).__name__} from the LEDGER stream")
                await asyncio.sleep(AGAIN_S)
            else:
                return

    async def _begin(self, found: Sequence[Loaded]) -> list[Desk]:
        """Append `epoch.started` to each: whoever wrote before us cannot any more. Raises FencedError."""
        now_us = self._guard.now_us()
        blocks = [self._epoch_block(state.journal, head, now_us) for state, head in found]
        await self._writer.run(lambda: commit(self._store, blocks, on_trouble=self._on_trouble))
        for (state, _), block in zip(found, blocks, strict=True):
            replay(state, block)
        epoch_ms = now_us // 1000  # a block's time is later where an earlier writer's clock was ahead
        return [
            Desk(block.journal, state, head_of(block), epoch=block.epoch, epoch_ms=epoch_ms)
            for (state, _), block in zip(found, blocks, strict=True)
        ]

    def _epoch_block(self, journal: int, head: Head, now_us: int) -> Block:
        started = ev.EpochStarted(epoch=head.epoch + 1, writer=self._node, head=head.hash.hex())
        opened = ev.JournalOpened(journal=journal, version=VERSION, nonce=ids.new_trace_id())
        happened = [started] if head.seq else [opened, started]
        return build(journal, head, epoch=started.epoch, ts=max(head.ts + 1, now_us), events=happened)
