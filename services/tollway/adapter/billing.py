"""What an ending is billed, pure: the provider's figures where it gave them, else what was counted, said as such."""

from collections.abc import Callable, Sequence
from typing import Final

import msgspec

from tollway.adapter.counting import Counted
from tollway.wire.plan import Price
from tollway.wire.pricing import SEARCHES_SANE_MAX, TOKENS_SANE_MAX, charge_nusd
from tollway.wire.usage import Certainty, Outcome, Usage

NOTHING_USED: Final = Usage(tokens_input=0, tokens_output=0)
IS_CHARGED: Final[dict[Outcome, bool]] = {
    "complete": True,
    "content_filter": True,
    "client_aborted": True,
    "credit_exhausted": True,
    "deadline": True,
    "failed_before_content": False,
    "failed_midstream": False,
    "gateway_failed": False,
}
"""Which endings the account pays for; for the others the cost is the operator's."""


def possible(usage: Usage, *, tokens_window: int, text_bytes: int) -> Usage:
    """Usage without the figures that cannot be true: none is more than the model's window (0: not known), unless so
    much was written, or the model searched and read what it found in another round, once for each search."""
    is_searching_possible = 0 <= (usage.searches or 0) <= SEARCHES_SANE_MAX
    rounds = 1 + (usage.searches or 0) if is_searching_possible else 1
    most = min(max(tokens_window, text_bytes) * rounds, TOKENS_SANE_MAX) if tokens_window else TOKENS_SANE_MAX
    false = {name: None for name in FIGURES if (getattr(usage, name) or 0) > most}
    false |= {} if is_searching_possible else {"searches": None}
    return msgspec.structs.replace(usage, **false) if false else usage


FIGURES: Final = tuple(name for name in Usage.__struct_fields__ if name.startswith("tokens_"))


def whole(
    reported: Usage | None, count_input: Callable[[], Counted], count_output: Callable[[], Counted]
) -> tuple[Usage, Certainty]:
    """Usage of an answer that is complete: what the provider reported, and counts for what it did not."""
    usage = _believed(reported or Usage(), count_output)
    certainty: Certainty = "reported"
    if usage.tokens_input is None:
        tokens, certainty = count_input()
        usage = msgspec.structs.replace(usage, tokens_input=tokens)
    if usage.tokens_output is None:
        tokens, how = count_output()
        usage = msgspec.structs.replace(usage, tokens_output=tokens)
        certainty = weaker(certainty, how)
    return usage, certainty


def _believed(usage: Usage, count_output: Callable[[], Counted]) -> Usage:
    """No input at all is not true of any request, and no output is not true where there is some."""
    if usage.tokens_input == 0:
        usage = msgspec.structs.replace(usage, tokens_input=None)
    if usage.tokens_output == 0 and count_output()[0]:
        usage = msgspec.structs.replace(usage, tokens_output=None)
    return usage


def partial(
    reported: Usage | None, count_input: Callable[[], Counted], count_output: Callable[[], Counted]
) -> tuple[Usage, Certainty]:
    """Usage of an answer that was broken off: all output that was read counts, whoever has seen it; a provider's
    figure from before the break stands for the input, and for the output where it is the larger one."""
    usage, certainty = whole(reported, count_input, lambda: (0, "reported"))
    counted, how = count_output()
    if counted > (usage.tokens_output or 0):
        usage, certainty = msgspec.structs.replace(usage, tokens_output=counted), weaker(certainty, how)
    return usage, certainty


def as_served(usage: Usage, asked: Sequence[str]) -> Usage:
    """Usage with the service that it is charged for: the one asked for, unless the provider says that it gave another.
    A service that was not asked for is not charged: no hold covers it."""
    service = next((word for word in asked if usage.service in (None, word)), None)
    return usage if usage.service == service else msgspec.structs.replace(usage, service=service)


def weaker(one: Certainty, other: Certainty) -> Certainty:
    """The less certain of two."""
    order: tuple[Certainty, ...] = ("reported", "counted", "estimated")
    return order[max(order.index(one), order.index(other))]


def model_cost_nusd(usage: Usage, price: Price | None) -> int:
    """What the provider bills the operator for it, without our fee."""
    if price is None:
        return 0
    return charge_nusd(usage, price, is_managed=True) - charge_nusd(usage, None, is_managed=False)
