"""Verify: every block of every journal, from the first; the copy, the checkpoints. Names what is wrong, and goes on."""

from collections.abc import Sequence

import msgspec

from tollway.ledger.audit.replaying import Replay
from tollway.ledger.journal.block import Block, DamagedError, Head
from tollway.ledger.journal.store import JournalStore, UnknownError
from tollway.ledger.state import State
from tollway.wire.subjects import JOURNALS


class Report(msgspec.Struct):
    """What was looked at and what is wrong, each finding a sentence that names its place."""

    journals: int = 0
    blocks: int = 0
    events: int = 0
    roots: int = 0
    copied_blocks: int = 0
    checkpoints: int = 0
    findings: list[str] = []

    @property
    def is_good(self) -> bool:
        """Nothing to doubt."""
        return not self.findings


def verify(
    store: JournalStore,
    report: Report,
    *,
    journals: Sequence[int] = tuple(range(JOURNALS)),
) -> dict[int, Replay]:
    """Replay journals from their first block. Returns the states of those that are whole. Raises UnknownError."""
    whole: dict[int, Replay] = {}
    for journal in journals:
        replay = Replay(State(journal), Head())
        try:
            _walk(store, replay, report)
        except DamagedError as fault:
            report.findings.append(str(fault))
            continue
        except UnknownError as fault:
            report.findings.append(_unreadable(store, replay, fault))
            continue
        report.findings += [f"journal {journal}: {what}" for what in replay.breaches()]
        report.journals += replay.head.seq > 0
        whole[journal] = replay
    return whole


def verify_table(store: JournalStore, report: Report) -> None:
    """What a walk cannot show: blocks outside of every journal, SQLite's file itself. Raises UnknownError."""
    report.findings += [f"journal {journal} block {seq}: there is no such place" for journal, seq in store.strays()]
    report.findings += [f"journal file: {fault}" for fault in store.file_faults()]


def _unreadable(store: JournalStore, replay: Replay, fault: UnknownError) -> str:
    """The database answers, but not for this block: that is damage. Raises UnknownError if it answers nothing."""
    if not store.answers():
        raise fault
    return f"journal {replay.state.journal} block {replay.head.seq + 1}: the database cannot read it ({fault.kind})"


def _walk(store: JournalStore, replay: Replay, report: Report) -> None:
    journal = replay.state.journal
    while blocks := _portion(store, journal, replay.head.seq):
        for block in blocks:
            replay.take(block)
            report.blocks += 1
            report.events += block.n
    report.roots += replay.roots


def _portion(store: JournalStore, journal: int, after: int) -> list[Block]:
    """The next blocks; one alone where the database cannot read many. Raises UnknownError for that one."""
    try:
        return store.read(journal, after=after)
    except UnknownError:
        return store.read(journal, after=after, limit=1)


class CopyComparison:
    """The LEDGER stream beside the journal: each of its blocks must be there as it is, and none may be left out."""

    def __init__(self, store: JournalStore, report: Report) -> None:
        self._store = store
        self._report = report
        self._last: dict[int, int] = {}

    def take(self, copied: Sequence[Block]) -> None:
        """The blocks of one message, all of one journal. Raises UnknownError."""
        if not copied:
            return
        journal, first = copied[0].journal, copied[0].seq
        expected = self._last.get(journal, 0) + 1
        if first != expected:
            self._report.findings.append(f"copy of journal {journal}: block {first} comes where {expected} should")
        self._last[journal] = copied[-1].seq
        self._report.copied_blocks += len(copied)
        stored = {block.seq: block for block in self._store.read(journal, after=first - 1, limit=len(copied))}
        for block in copied:
            if block.seq not in stored:
                self._report.findings.append(f"journal {journal} block {block.seq}: only the copy has it")
            elif stored[block.seq] != block:
                self._report.findings.append(f"journal {journal} block {block.seq}: the copy has another")
