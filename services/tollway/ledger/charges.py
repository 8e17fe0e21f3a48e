"""From what an adapter saw to what is charged: the table of outcomes, sanity of figures, overrun rules. Pure."""

from typing import Final

import msgspec

from tollway.wire.money import NUSD_MAX
from tollway.wire.pricing import SEARCHES_SANE_MAX, TOKENS_SANE_MAX, charge_nusd
from tollway.wire.usage import Outcome, Usage, UsageFact

AMOUNT_NUSD_MAX: Final = NUSD_MAX // 64
"""One amount, $144 million: no grant, no hold and no request's cost is more."""

IS_CHARGED: Final[dict[Outcome, bool]] = {
    "complete": True,
    "client_aborted": True,
    "credit_exhausted": True,
    "deadline": True,
    "content_filter": True,
    "failed_before_content": False,
    "failed_midstream": False,
    "gateway_failed": False,
}
"""Which endings are charged. What a provider billed for the others is the operator's cost, recorded and shown."""


UNRECOVERED_NUSD_MIN: Final = 5_000_000_000
UNRECOVERED_DIVISOR: Final = 5
"""An account that made its operator pay $5.00, and more than a fifth of what it was charged, for calls that broke after
content had begun, pays for what such calls delivered from then on."""


def is_charged(outcome: Outcome, *, is_delivery_charged: bool) -> bool:
    """The table, and the account's own terms for answers that broke midway."""
    return IS_CHARGED[outcome] or (outcome == "failed_midstream" and is_delivery_charged)


def is_abused(*, unrecovered: int, charged: int) -> bool:
    """Whether an account costs its operator so much that broken answers are no longer free."""
    return unrecovered > max(UNRECOVERED_NUSD_MIN, charged // UNRECOVERED_DIVISOR)


class Bill(msgspec.Struct, frozen=True):
    """A fact's price. `is_absurd`: the figures could not be true and were not charged."""

    cost: int
    is_absurd: bool = False


def bill(fact: UsageFact, *, is_delivery_charged: bool = False) -> Bill:
    """price(usage, price) of a fact, 0 for endings that are not charged and for figures that cannot be true."""
    if not is_charged(fact.outcome, is_delivery_charged=is_delivery_charged):
        return Bill(0)
    if not is_sane(fact.usage):
        return Bill(0, is_absurd=True)
    cost = charge_nusd(fact.usage, fact.price, is_managed=fact.is_managed)
    return Bill(cost) if cost <= AMOUNT_NUSD_MAX else Bill(0, is_absurd=True)


def is_sane(usage: Usage) -> bool:
    """Whether the counts can be true: none negative, none beyond any model."""
    counts = (
        usage.tokens_input,
        usage.tokens_output,
        usage.tokens_cache_read,
        usage.tokens_cache_write,
        usage.tokens_cache_write_hour,
        usage.tokens_reasoning,
        usage.tokens_audio_input,
        usage.tokens_audio_output,
    )
    if not 0 <= (usage.searches or 0) <= SEARCHES_SANE_MAX:
        return False
    return all(count is None or 0 <= count <= TOKENS_SANE_MAX for count in counts)


def operator_cost(fact: UsageFact, *, is_served_charged: bool = False) -> int:
    """What the attempts cost the operator without being charged to anybody."""
    unpaid = [attempt for attempt in fact.attempts if not (attempt.is_served and is_served_charged)]
    total = sum(attempt.operator_cost_nusd for attempt in unpaid if attempt.operator_cost_nusd > 0)
    return min(total, AMOUNT_NUSD_MAX)
