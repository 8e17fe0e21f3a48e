"""Every event of an account or a hold, with the block it is in and that block's hash: what an auditor asks for."""

from collections.abc import Iterator
from typing import Any

import msgspec

from tollway.ledger.journal.block import Block, Head, events_of
from tollway.ledger.journal.reading import walk
from tollway.ledger.journal.store import JournalStore


class Line(msgspec.Struct, frozen=True):
    """One event and its place. `event_number` counts the journal's events from 0."""

    at_us: int
    journal: int
    block: int
    event_number: int
    hash: str
    event: Any


def lines(store: JournalStore, journal: int, *, account: str = "", hold: str = "") -> Iterator[Line]:
    """Events in order; empty selections take all. Raises DamagedError, UnknownError."""
    for block in walk(store, journal, Head()):
        yield from _of_block(block, account, hold)


def _of_block(block: Block, account: str, hold: str) -> Iterator[Line]:
    for index, event in enumerate(events_of(block)):
        is_wanted = (not account or event.account == account) and (not hold or getattr(event, "hold", "") == hold)
        if is_wanted:
            yield Line(block.ts, block.journal, block.seq, block.first_eid + index, block.hash.hex(), event)
