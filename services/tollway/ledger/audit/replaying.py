"""Replays stored blocks and doubts everything: links, hashes, decoding, each effect, the writer's own digests."""

from tollway.ledger import events as ev
from tollway.ledger.applying import apply, begin_block
from tollway.ledger.audit.invariants import breaches
from tollway.ledger.journal.block import Block, DamagedError, Head, check, events_of, head_of
from tollway.ledger.state import STATE_VERSION, State, root


class Replay:
    """One journal, from a known state on. `roots` counts the digests that were compared."""

    def __init__(self, state: State, head: Head) -> None:
        self.state = state
        self.head = head
        self.roots = 0

    def take(self, block: Block) -> None:
        """Verify a block and let it happen. Raises DamagedError; the state is then of no use."""
        check(block, self.head)
        begin_block(self.state, block.ts // 1000)
        for event in events_of(block):
            self._happen(block, event)
        self.head = head_of(block)

    def _happen(self, block: Block, event: object) -> None:
        if isinstance(event, ev.StateRooted):
            self._compare(block, event)
        if isinstance(event, ev.EpochStarted) and event.epoch != block.epoch:
            raise DamagedError(block.journal, block.seq, "starts another epoch than its own")
        try:
            apply(self.state, event)
        except (AssertionError, KeyError) as fault:
            what = f"has an event that cannot have happened ({type(event).__name__}: {fault})"
            raise DamagedError(block.journal, block.seq, what) from fault

    def _compare(self, block: Block, event: ev.StateRooted) -> None:
        if event.version != STATE_VERSION:
            return
        self.roots += 1
        if event.digest != root(self.state):
            raise DamagedError(block.journal, block.seq, "the writer's state was not what its log says")

    def breaches(self) -> list[str]:
        """Invariants that the state breaks now."""
        return list(breaches(self.state))
