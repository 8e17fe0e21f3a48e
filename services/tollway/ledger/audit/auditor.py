"""The auditor: a thread that reads the journal as a stranger would, while the ledger runs.

It replays every block from stored bytes, compares its state with the writer's `state.root` events, checks the
invariants, writes snapshots and signs checkpoints. What it finds halts the journal before the next grant.
"""

import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

import msgspec
from sqlalchemy.exc import SQLAlchemyError

from tollway import clock
from tollway.ledger.audit import checkpoints, snapshots
from tollway.ledger.audit.keys import Signer
from tollway.ledger.audit.replaying import Replay
from tollway.ledger.journal.block import DamagedError, Head, check, head_of
from tollway.ledger.journal.store import JournalStore, UnknownError

EVERY_S: Final = 5.0
BLOCKS_AT_ONCE: Final = 200
SCRUB_BLOCKS: Final = 20_000
"""Old blocks looked at again with each checkpoint, so that rot is found though nobody reads it."""
PAUSE_S: Final = 0.02
"""Between portions: the auditor may lag, the hot path may not."""
CHECKPOINT_S: Final = 60.0
SNAPSHOT_EVENTS: Final = 50_000
EXPORT_FILE: Final = "checkpoints.jsonl"


class Auditor:
    """`heads` tells our journals and how far each is committed.

    `on_finding` is called from the thread, with the journal and what is wrong; that journal is left alone then.
    """

    def __init__(
        self,
        store: JournalStore,
        signer: Signer,
        *,
        heads: Callable[[], Mapping[int, int]],
        on_finding: Callable[[int, str], None],
        on_trouble: Callable[[str], None],
        directory: Path,
    ) -> None:
        self._store = store
        self._signer = signer
        self._heads = heads
        self._on_finding = on_finding
        self._on_trouble = on_trouble
        self._export = directory / EXPORT_FILE
        self._replays: dict[int, Replay] = {}
        self._snapped: dict[int, int] = {}
        self._scrubbed: dict[int, Head] = {}
        self._condemned: set[int] = set()
        self._signed: Mapping[int, Head] = {}
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="ledger auditor", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """End after the block at hand."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join(timeout=10)

    def _run(self) -> None:
        signed_s = clock.monotonic_s()
        while not self._stop.wait(EVERY_S):
            try:
                self.round()
                if clock.monotonic_s() - signed_s >= CHECKPOINT_S:
                    signed_s = clock.monotonic_s()
                    self.checkpoint()
                    self.scrub()
            except (UnknownError, SQLAlchemyError, OSError) as fault:
                self._on_trouble(f"auditor: {type(fault).__name__}")

    def round(self) -> None:
        """Bring every journal of ours up to its end. Raises UnknownError, SQLAlchemyError."""
        heads = self._heads()
        self._condemned &= heads.keys()
        for journal in set(self._replays) - heads.keys():
            del self._replays[journal]
        for journal in sorted(heads.keys() - self._condemned):
            known = self._replays.get(journal)
            if known is None or known.head.seq < heads[journal]:
                self._guarded(journal, self._advance)

    def scrub(self) -> None:
        """Look again at old blocks, those least looked at first. Raises UnknownError."""
        left = SCRUB_BLOCKS
        for journal in sorted(self._replays, key=lambda journal: self._scrubbed[journal].seq):
            if left > 0 and not self._stop.is_set():
                left -= self._guarded(journal, self._scrub)

    def _guarded(self, journal: int, look: Callable[[int], int]) -> int:
        """Look at a journal; what is found is told, and the journal left alone."""
        try:
            return look(journal)
        except DamagedError as fault:
            self._condemned.add(journal)
            self._replays.pop(journal, None)
            self._on_finding(journal, str(fault))
            return 0

    def _advance(self, journal: int) -> int:
        """Replay what is new. Raises DamagedError, UnknownError, SQLAlchemyError."""
        replay = self._replays.get(journal) or self._begin(journal)
        while not self._stop.is_set():
            blocks = self._store.read(journal, after=replay.head.seq, limit=BLOCKS_AT_ONCE)
            for block in blocks:
                replay.take(block)
            if len(blocks) < BLOCKS_AT_ONCE:
                break
            self._stop.wait(PAUSE_S)
        wrong = replay.breaches()
        if wrong:
            raise DamagedError(journal, replay.head.seq, wrong[0])
        self._replays[journal] = replay
        self._snap(journal, replay)
        return 0

    def _begin(self, journal: int) -> Replay:
        state, head = snapshots.newest(self._store, journal, [self._signer.public])
        self._snapped[journal] = state.events
        self._scrubbed[journal] = Head()
        return Replay(state, head)

    def _scrub(self, journal: int) -> int:
        """Check links and hashes of some old blocks, from the first, round after round; how many were looked at.

        Raises DamagedError, UnknownError.
        """
        head = self._scrubbed[journal]
        blocks = self._store.read(journal, after=head.seq, limit=BLOCKS_AT_ONCE)
        for block in blocks:
            check(block, head)
            head = head_of(block)
        self._scrubbed[journal] = head if head.seq < self._replays[journal].head.seq else Head()
        return len(blocks)

    def _snap(self, journal: int, replay: Replay) -> None:
        if replay.state.events - self._snapped[journal] >= SNAPSHOT_EVENTS:
            self.snapshot(journal)

    def snapshot(self, journal: int) -> None:
        """Save what was replayed. Raises SQLAlchemyError."""
        replay = self._replays[journal]
        snapshots.save(self._store.engine, self._signer, replay.state, replay.head)
        self._snapped[journal] = replay.state.events

    def checkpoint(self) -> None:
        """Sign the heads that were replayed, unless nothing has changed. Raises SQLAlchemyError, OSError."""
        heads = {journal: replay.head for journal, replay in self._replays.items() if replay.head.seq}
        if heads and heads != self._signed:
            written = checkpoints.write(self._store.engine, self._signer, heads, clock.now_ms())
            self._signed = heads
            with self._export.open("ab") as file:
                file.write(msgspec.json.encode(written) + b"\n")
