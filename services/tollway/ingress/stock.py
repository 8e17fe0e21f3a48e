"""The holds of one kind that were opened ahead: how many there should be, which is next, which are stale. Pure.

See `tollway.ingress.ahead` for what they are.
"""

from collections import deque
from typing import Final

import msgspec

from tollway.wire.credit import HOLDS_AT_ONCE_MAX

WINDOW_S: Final = 0.1
"""The future that is provided for, and the past by which it is judged."""
RATE_MIN: Final = 4
"""Requests of a kind in a window; with fewer, holds would be given back about as often as they are used."""
KEEP_S: Final = 2.0
IDLE_S: Final = 0.5
CREDIT_SHARE: Final = 100
"""All that wait of an account are together less than this part of what it has available."""


class Kind(msgspec.Struct, frozen=True):
    """Requests whose holds are alike. `lifetime_ms`: from now to the deadline of such a hold."""

    account_id: str
    access_key_id: str
    amount_nusd: int
    lifetime_ms: int
    price_version: str
    models: tuple[str, ...]


class Held(msgspec.Struct, frozen=True):
    """A hold that waits for its request."""

    hold_id: str
    deadline_ms: int
    opened_s: float


class Stock:
    """The holds of one kind, and how many there should be. Pure: told the time."""

    __slots__ = ("_asked", "_holds_max", "_since_s", "asked_s", "available_nusd", "holds", "is_ordered", "wanted")

    def __init__(self, now_s: float, holds_max: int = HOLDS_AT_ONCE_MAX) -> None:
        self._holds_max = holds_max
        self.holds: deque[Held] = deque()
        self.available_nusd = 0
        self.is_ordered = False
        self.wanted = 0
        self.asked_s = self._since_s = now_s
        self._asked = 0

    def take(self, deadline_ms: int, now_s: float) -> str | None:
        """A hold that lasts until the deadline, if one is here. Counts the request."""
        self._count(now_s)
        if not self.holds or now_s - self.holds[0].opened_s > KEEP_S or self.holds[0].deadline_ms < deadline_ms:
            return None
        return self.holds.popleft().hold_id

    def _count(self, now_s: float) -> None:
        elapsed_s = now_s - self._since_s
        if elapsed_s >= WINDOW_S:
            recent = int(self._asked * WINDOW_S / elapsed_s)
            self.wanted = min(recent, self._holds_max) if recent >= RATE_MIN else 0
            self._asked, self._since_s = 0, now_s
        self._asked += 1
        self.asked_s = now_s

    def missing(self) -> int:
        """How many to ask for now: none while some are on their way, or there are enough."""
        is_enough = self.is_ordered or len(self.holds) > self.wanted // 2
        return 0 if is_enough else self.wanted - len(self.holds)

    def stale(self, now_s: float) -> list[str]:
        """Take out what nobody came for."""
        is_idle = now_s - self.asked_s > IDLE_S
        stale: list[str] = []
        while self.holds and (is_idle or now_s - self.holds[0].opened_s > KEEP_S):
            stale.append(self.holds.popleft().hold_id)
        return stale
