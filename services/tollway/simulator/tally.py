"""The simulator's own books: every request, what came of it, and what a provider would bill for it.

Kept in memory only. The list is a ring of the last `KEPT_MAX`; the totals are exact and start again at a reset.
"""

from collections import deque
from collections.abc import Iterable
from typing import Literal

from msgspec import Struct, field

KEPT_MAX = 200_000
NAMES_MAX = 1_000
OTHER = "(other)"
"""Where the totals of models go that came after `NAMES_MAX` others: a caller can invent names."""

Outcome = Literal["open", "completed", "failed", "cut", "cancelled_by_client"]
Bills = Literal["all", "sent", "nothing"]


class Entry(Struct, gc=False, kw_only=True):
    """One request. Times are Unix milliseconds.

    `model` is the name without options, `behaviour` what it did this time; they differ under `fail_first`, `rate`,
    an outage or a bad credential. `tokens_…` are billed; `is_usage_told` says if the caller was told them truly.
    `chunks_sent` counts pieces of content written, 1 for a whole JSON answer.
    """

    seq: int
    id: str
    at_ms: int
    path: str
    model: str
    behaviour: str
    credential: str
    stream: bool
    outcome: Outcome = "open"
    status: int | None = None
    tokens_input: int = 0
    tokens_output: int = 0
    tokens_cache_read: int = 0
    tokens_cache_write: int = 0
    tokens_reasoning: int = 0
    is_usage_told: bool = False
    chunks_sent: int = 0
    headers: dict[str, str] | None = None
    ended_ms: int | None = None
    disconnected_ms: int | None = None


class Totals(Struct):
    """Sums over entries. `outcomes` counts requests by what came of them."""

    requests: int = 0
    outcomes: dict[str, int] = field(default_factory=dict[str, int])
    tokens_input: int = 0
    tokens_output: int = 0
    tokens_cache_read: int = 0
    tokens_cache_write: int = 0
    tokens_reasoning: int = 0
    chunks_sent: int = 0

    def add(self, entry: Entry) -> None:
        self.requests += 1
        self.outcomes[entry.outcome] = self.outcomes.get(entry.outcome, 0) + 1
        self.tokens_input += entry.tokens_input
        self.tokens_output += entry.tokens_output
        self.tokens_cache_read += entry.tokens_cache_read
        self.tokens_cache_write += entry.tokens_cache_write
        self.tokens_reasoning += entry.tokens_reasoning
        self.chunks_sent += entry.chunks_sent


class Tally:
    """The ring and the totals, over all and by model."""

    def __init__(self, kept_max: int = KEPT_MAX) -> None:
        self._kept: deque[Entry] = deque(maxlen=kept_max)
        self._totals = Totals()
        self._by_model: dict[str, Totals] = {}

    def add(self, entry: Entry) -> None:
        """Write down a request that is over."""
        self._kept.append(entry)
        self._totals.add(entry)
        self._totals_of(entry.model).add(entry)

    def _totals_of(self, model: str) -> Totals:
        if model not in self._by_model and len(self._by_model) >= NAMES_MAX:
            model = OTHER
        return self._by_model.setdefault(model, Totals())

    def reset(self) -> None:
        self._kept.clear()
        self._totals = Totals()
        self._by_model.clear()

    def entries(self, model: str | None = None, after_seq: int = 0, limit: int | None = None) -> list[Entry]:
        """The requests still in the ring, in the order they ended; the last `limit` of them."""
        found = [entry for entry in self._kept if entry.seq > after_seq and model in (None, entry.model)]
        return found if limit is None else found[max(0, len(found) - limit) :]

    def totals(self, model: str | None = None) -> Totals:
        """Exact since the last reset, also for what has left the ring."""
        return self._totals if model is None else self._by_model.get(model, Totals())

    def models(self) -> Iterable[str]:
        return self._by_model

    def __len__(self) -> int:
        return self._totals.requests
