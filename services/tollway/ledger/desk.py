"""One journal's desk: decisions in memory, in order; what they made happen waits here for its commit.

A desk lives on the event loop's thread. A decision changes the state at once, so that the next one sees it; whoever
asked hears of it only when its block is durable. Nothing here waits, reads a clock or touches a database.
"""

from collections import OrderedDict
from collections.abc import Callable
from typing import Any, Final

from tollway.ledger.applying import begin_block
from tollway.ledger.domain import answer, decide, happen
from tollway.ledger.journal.block import EVENTS_MAX, Head
from tollway.ledger.state import State
from tollway.wire.refusals import Refusal
from tollway.wire.subjects import JOURNALS

REFUSED_MAX: Final = 10_000
"""Refused holds remembered per journal, the newest. More than that within an id's five minutes is a flood of new ids:
nobody waits for the old ones any more."""

Release = Callable[[], None]


class OpenBlock:
    """Events that will be one block, and what to do once they are durable. `ts` is Unix microseconds."""

    __slots__ = ("events", "releases", "replies", "ts")

    def __init__(self, ts: int) -> None:
        self.ts = ts
        self.events: list[Any] = []
        self.replies: list[tuple[Callable[[Any], None], Any]] = []
        self.releases: list[Release] = []


def _nobody(_desk: object, _fault: Exception) -> None:
    """Nobody watches this desk."""


class Desk:
    """See the module. `head` belongs to the writer's thread; everything else to the loop's."""

    def __init__(self, journal: int, state: State, head: Head, *, epoch: int, epoch_ms: int = 0) -> None:
        assert 0 <= journal < JOURNALS
        self.journal = journal
        self.state = state
        self.head = head
        self.epoch = epoch
        self.epoch_ms = epoch_ms
        self.pending: list[OpenBlock] = []
        self.in_flight: list[OpenBlock] = []
        self.refused: OrderedDict[str, tuple[int, Refusal]] = OrderedDict()
        self.on_broken: Callable[[Desk, Exception], None] = _nobody
        self._last_ts = head.ts

    def take(self, command: Any, now_us: int) -> list[Any] | Refusal:
        """Decide and let it happen. Events are in a pending block when this returns.

        Blocks may be ahead of the clock (it was wrong once, and was put right): decisions go by the clock then.
        """
        ts = self._ts(now_us)
        events = decide(self.state, command, min(ts, now_us) // 1000)
        if not isinstance(events, Refusal) and events:
            self._write(command, events, ts)
        return events

    def post(self, event: Any, now_us: int) -> None:
        """Append an event that nobody decided: it records something about the journal itself."""
        self._write(None, [event], self._ts(now_us))

    def _ts(self, now_us: int) -> int:
        """The time of the block that events go to now: fixed by its first event, rising from block to block."""
        if self.pending and len(self.pending[-1].events) < EVENTS_MAX:
            return self.pending[-1].ts
        return max(self._last_ts + 1, now_us)

    def _write(self, command: Any, events: list[Any], ts: int) -> None:
        """Let events happen. If that fails halfway, memory is no longer what the log says: the desk is given up."""
        try:
            self._happen(command, events, ts)
        except Exception as fault:
            self.on_broken(self, fault)
            raise

    def _happen(self, command: Any, events: list[Any], ts: int) -> None:
        if ts != self._last_ts or not self.pending:
            self._last_ts = ts
            begin_block(self.state, ts // 1000)
            self.pending.append(OpenBlock(ts))
        happen(self.state, command, events)
        self.pending[-1].events += events

    def reply(self, command: Any, respond: Callable[[Any], None]) -> None:
        """Answer an accepted command as soon as everything decided so far is durable."""
        said = answer(self.state, command)
        block = self.uncommitted
        if block is None:
            respond(said)
        else:
            block.replies.append((respond, said))

    def after_commit(self, release: Release) -> None:
        """Call back as soon as everything decided so far is durable."""
        block = self.uncommitted
        if block is None:
            release()
        else:
            block.releases.append(release)

    @property
    def uncommitted(self) -> OpenBlock | None:
        """The last block that is not durable yet."""
        if self.pending:
            return self.pending[-1]
        return self.in_flight[-1] if self.in_flight else None

    def hand_over(self) -> list[OpenBlock]:
        """Give what waits to the writer; one hand-over at a time."""
        assert not self.in_flight, "the last hand-over is not done"
        self.in_flight, self.pending = self.pending, []
        return self.in_flight

    def committed(self) -> list[OpenBlock]:
        """The hand-over is durable."""
        done, self.in_flight = self.in_flight, []
        return done

    # -- refusals hold until the command's deadline

    def refused_before(self, hold_id: str, now_ms: int) -> Refusal | None:
        """A hold that was refused stays refused until its deadline."""
        found = self.refused.get(hold_id)
        return found[1] if found and found[0] > now_ms else None

    def remember_refusal(self, hold_id: str, refusal: Refusal, *, until_ms: int) -> None:
        """Keep a refusal; beyond so many, forget the oldest."""
        if len(self.refused) >= REFUSED_MAX:
            self.refused.popitem(last=False)
        self.refused[hold_id] = (until_ms, refusal)
