"""Strategies: orders among candidates that have passed every check. Only whole (provider, model) groups change places:
the keys of one stay in the order of their rule's steps.

    ordered       as asked: the model, then its fallbacks.
    auto          as asked, but those that fail often come later.
    cheapest      by list price, three input tokens to one output token; an account's own provider costs nothing.
    fastest       by measured time to the first token; who was not tried lately goes first, to be measured.
    least-errors  by the share of failures lately.
    weighted      one drawn by weight goes first: `weighted:openai=3,groq:llama-3.3-70b-versatile=1`, 1 if not named.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final

import msgspec

from tollway.router.health import Circuit
from tollway.wire.plan import Candidate

Group = tuple[Candidate, ...]
Lately = Callable[[Candidate], Circuit | None]
_Rank = Callable[[Candidate, Circuit | None], int]

DRAWS: Final = 1 << 32
NEVER: Final = 1 << 62
WEIGHT_MAX: Final = 1_000_000


class Strategy(msgspec.Struct, frozen=True):
    """A strategy and, for `weighted`, the weights by `provider` or `provider:model`."""

    name: str
    weights: Mapping[str, int] = {}

    @property
    def is_repeatable(self) -> bool:
        """Whether the same question has the same answer until health changes."""
        return self.name in ("ordered", "auto", "cheapest")


ORDERED: Final = Strategy("ordered")
AUTO: Final = Strategy("auto")


def read_strategy(text: str) -> Strategy | None:
    """A strategy from its name; None if it is none."""
    name, mark, weights = text.strip().partition(":")
    if name == "weighted":
        read = _weights(weights) if mark else {}
        return Strategy(name, read) if read is not None else None
    return Strategy(name) if name in _RANKS and not mark else None


def _weights(text: str) -> dict[str, int] | None:
    pairs = [item.strip().rpartition("=") for item in text.split(",")]
    is_good = all(name and weight.isascii() and weight.isdecimal() and len(weight) < 8 for name, _, weight in pairs)
    return {name.lower(): min(int(weight), WEIGHT_MAX) for name, _, weight in pairs} if is_good else None


def blended_nusd(candidate: Candidate) -> int:
    """A million tokens, three quarters of them input, at list price; an account's own provider has none."""
    if candidate.price is not None:
        return (3 * candidate.price.input + candidate.price.output) // 4
    return 0 if candidate.base_url else NEVER


def ttft_ms(_candidate: Candidate, lately: Circuit | None) -> int:
    """Mean time to the first token; not tried: 0, tried and not measured: behind all."""
    return 0 if lately is None else lately.ttft_ms or NEVER


def errors_permille(_candidate: Candidate, lately: Circuit | None) -> int:
    """The share of failures lately; 0 where nothing was tried."""
    total = lately.successes + lately.failures if lately is not None else 0
    return lately.failures * 1000 // total if lately is not None and total else 0


def _as_asked(_candidate: Candidate, _lately: Circuit | None) -> int:
    return 0


def _coarse_errors(candidate: Candidate, lately: Circuit | None) -> int:
    return errors_permille(candidate, lately) // 250


def _price(candidate: Candidate, _lately: Circuit | None) -> int:
    return blended_nusd(candidate)


_RANKS: Final[dict[str, _Rank]] = {
    "ordered": _as_asked,
    "auto": _coarse_errors,
    "cheapest": _price,
    "fastest": ttft_ms,
    "least-errors": errors_permille,
}


def arrange(candidates: Sequence[Candidate], strategy: Strategy, lately: Lately, *, draw: int) -> tuple[Candidate, ...]:
    """Candidates in the strategy's order. `draw`: 0 to DRAWS - 1, drawn by the caller for `weighted`."""
    if strategy.name == "ordered" or len(candidates) < 2:
        return tuple(candidates)
    groups = _grouped(candidates)
    if strategy.name == "weighted":
        ordered = _drawn(groups, strategy.weights, draw)
    else:
        rank = _RANKS[strategy.name]
        ordered = sorted(groups, key=lambda group: rank(group[0], lately(group[0])))
    return tuple(candidate for group in ordered for candidate in group)


def _grouped(candidates: Iterable[Candidate]) -> list[Group]:
    groups: dict[tuple[str, str], Group] = {}
    for candidate in candidates:
        key = (candidate.provider, candidate.model_sent)
        groups[key] = (*groups.get(key, ()), candidate)
    return list(groups.values())


def _drawn(groups: list[Group], weights: Mapping[str, int], draw: int) -> list[Group]:
    """The drawn one first, then by weight; the lot falls on a group as often as its weight says."""
    weighed = [(weight_of(group[0], weights), group) for group in groups]
    total = sum(weight for weight, _ in weighed)
    lot = draw * total // DRAWS
    for index, (weight, group) in enumerate(weighed):
        lot -= weight
        if lot < 0:
            others = weighed[:index] + weighed[index + 1 :]
            return [group, *(other for _, other in sorted(others, key=lambda pair: -pair[0]))]
    return groups


def weight_of(candidate: Candidate, weights: Mapping[str, int]) -> int:
    """The weight of a candidate's model, else of its provider, else 1."""
    named = weights.get(f"{candidate.provider}:{candidate.model}".lower())
    return named if named is not None else weights.get(candidate.provider, 1)
