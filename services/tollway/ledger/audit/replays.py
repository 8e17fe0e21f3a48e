"""States of the past: a journal replayed up to a block or a time."""

from datetime import UTC, datetime

from tollway.ledger.audit.replaying import Replay
from tollway.ledger.journal.block import Head
from tollway.ledger.journal.reading import walk
from tollway.ledger.journal.store import JournalStore
from tollway.ledger.state import State


def until(store: JournalStore, journal: int, moment: str) -> State:
    """The state at a block number or an RFC 3339 time ("": the end). Raises ValueError, DamagedError, UnknownError."""
    last_seq, last_us = limits(moment)
    replay = Replay(State(journal), Head())
    for block in walk(store, journal, Head()):
        if block.seq > last_seq or block.ts > last_us:
            break
        replay.take(block)
    return replay.state


def limits(moment: str) -> tuple[int, int]:
    """The last block and the last microsecond that count. Raises ValueError with a sentence."""
    never = 2**63
    if not moment:
        return never, never
    if moment.isdecimal():
        return int(moment), never
    try:
        at = datetime.fromisoformat(moment)
    except ValueError:
        raise ValueError(f"--until is a block number or a time like 2026-01-31T12:00:00Z, not {moment!r}.") from None
    if at.tzinfo is None:
        at = at.replace(tzinfo=UTC)
    return never, int(at.timestamp()) * 1_000_000 + at.microsecond


def shown(at_us: int) -> str:
    """A block's time as people read it."""
    return datetime.fromtimestamp(at_us // 1_000_000, UTC).strftime("%Y-%m-%dT%H:%M:%S") + f".{at_us % 1_000_000:06d}Z"
