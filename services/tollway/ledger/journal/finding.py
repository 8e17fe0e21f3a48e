"""Finds one hold in the journal, for facts that come after memory has forgotten it. Slow and rare."""

from typing import Any

from tollway import ids
from tollway.ledger import events as ev
from tollway.ledger.journal.block import Block, events_of, plain_body
from tollway.ledger.journal.store import JournalStore
from tollway.ledger.state import Closed

SLACK_US = 600_000_000


def find_ending(store: JournalStore, journal: int, hold: str) -> Closed | None:
    """How a hold ended, from the blocks since it was made; None if it never was. Raises UnknownError, DamagedError."""
    closed: Closed | None = None
    for event in events_with(store, journal, hold):
        closed = _folded(closed, event)
    return closed


def _folded(closed: Closed | None, event: Any) -> Closed | None:
    match event:
        case ev.HoldSettled():
            return Closed("settled", event.account, event.charged, event.digest)
        case ev.HoldSettledLate():
            return Closed("settled_late", event.account, event.charged, event.digest)
        case ev.HoldVoided():
            return Closed("voided", event.account, 0, event.digest)
        case ev.HoldExpired():
            return Closed("voided", event.account)
        case ev.UsageConflicted():
            known = closed or Closed("voided", event.account)
            return Closed(known.ending, known.account, known.charged, known.digest, event.seen)
        case _:
            return closed


def events_with(store: JournalStore, journal: int, hold: str) -> list[Any]:
    """Every event of a hold, in order. Raises UnknownError, DamagedError."""
    after = seq_before(store, journal, ids.ulid_ms(hold) * 1000 - SLACK_US)
    needle, found = hold.encode(), list[Any]()
    while blocks := store.read(journal, after=after):
        for block in blocks:
            found += _events_in(block, hold, needle)
        after = blocks[-1].seq
    return found


def _events_in(block: Block, hold: str, needle: bytes) -> list[Any]:
    if needle not in plain_body(block):
        return []
    return [event for event in events_of(block) if getattr(event, "hold", "") == hold]


def seq_before(store: JournalStore, journal: int, ts_us: int) -> int:
    """The last block before a time (0: none), by halving: block times rise with their numbers."""
    low, high = 0, store.head(journal).seq
    while low < high:
        middle = (low + high + 1) // 2
        block = store.block(journal, middle)
        if block is not None and block.ts < ts_us:
            low = middle
        else:
            high = middle - 1
    return low
