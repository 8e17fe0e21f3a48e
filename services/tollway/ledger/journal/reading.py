"""From stored blocks to a state: verify, decode, apply. The same walk for a start, the auditor and the tools."""

from collections.abc import Iterator

from tollway.ledger.applying import apply, begin_block
from tollway.ledger.journal.block import Block, Head, check, events_of, head_of
from tollway.ledger.journal.store import JournalStore
from tollway.ledger.state import State


def walk(store: JournalStore, journal: int, head: Head) -> Iterator[Block]:
    """Verified blocks after `head`, to the end. Raises DamagedError, UnknownError."""
    while blocks := store.read(journal, after=head.seq):
        for block in blocks:
            check(block, head)
            head = head_of(block)
            yield block


def replay(state: State, block: Block) -> None:
    """Let a block happen. Raises DamagedError."""
    begin_block(state, block.ts // 1000)
    for event in events_of(block):
        apply(state, event)


def load(store: JournalStore, journal: int, state: State | None = None, head: Head | None = None) -> tuple[State, Head]:
    """The state and head of a journal, from its first block or from a known state on. Raises DamagedError."""
    state, head = state or State(journal), head or Head()
    for block in walk(store, journal, head):
        replay(state, block)
        head = head_of(block)
    return state, head
