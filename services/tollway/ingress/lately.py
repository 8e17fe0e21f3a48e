"""Requests that ended a moment ago: whoever reads usage or balance right after an answer finds it settled.

A fact travels to the ledger behind the answer, within some 50 ms. A question about the same account waits that long,
here and not at the ledger, which cannot know that an open hold's request is over.
"""

from collections import deque
from typing import Final

from tollway import clock
from tollway.bus import Bus
from tollway.wire import subjects
from tollway.wire.credit import SETTLED_WITHIN_S, AwaitHolds, HoldsAwaited

LATELY_S: Final = 0.5
HOLDS_MAX: Final = 64
"""Of one account; with more than that in half a second, nobody reads after one answer."""
ACCOUNTS_MAX: Final = 10_000


class Lately:
    """Ends of the last LATELY_S, by account."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus
        self._ended: dict[str, deque[tuple[float, str]]] = {}

    def note(self, account_id: str, hold_id: str, now_s: float) -> None:
        """A request has ended that was dispatched."""
        ended = self._ended.get(account_id)
        if ended is None:
            if len(self._ended) >= ACCOUNTS_MAX:
                return
            ended = self._ended[account_id] = deque(maxlen=HOLDS_MAX)
        ended.append((now_s, hold_id))

    def of(self, account_id: str, now_s: float) -> tuple[str, ...]:
        """The holds of requests of this account that ended lately."""
        return tuple(hold_id for at_s, hold_id in self._ended.get(account_id, ()) if now_s - at_s < LATELY_S)

    async def settled(self, account_id: str) -> None:
        """Return when those are settled, or after SETTLED_WITHIN_S: then what is known is told."""
        holds = self.of(account_id, clock.monotonic_s())
        if holds:
            subject = subjects.hold(subjects.journal_of(account_id))
            question = AwaitHolds(account_id, holds)
            await self._bus.ask(subject, question, HoldsAwaited, timeout_s=2 * SETTLED_WITHIN_S)

    def sweep(self, now_s: float) -> None:
        """Forget what is longer ago. Twice a second."""
        for account_id in [name for name, ended in self._ended.items() if now_s - ended[-1][0] > LATELY_S]:
            del self._ended[account_id]
