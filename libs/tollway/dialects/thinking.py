"""Reasoning effort in words and in tokens, where one dialect has the one and another the other."""

from collections.abc import Sequence
from typing import Final

from tollway.wire import chat

_BUDGETS: Final[dict[chat.Effort, int]] = {
    "none": 0,
    "minimal": 1024,
    "low": 2048,
    "medium": 8192,
    "high": 24576,
    "xhigh": 32768,
    "max": 65536,
}
"""Tokens that a word stands for."""

_LADDER: Final[tuple[tuple[int, chat.Effort], ...]] = ((0, "none"), (4096, "low"), (16384, "medium"))
"""The smallest word that covers a budget, above all of them `high`; every reasoning model knows these."""


def effort_of(reasoning: chat.Reasoning) -> chat.Effort | None:
    """The word for it."""
    if reasoning.effort is not None or reasoning.budget_tokens is None:
        return reasoning.effort
    for limit, word in _LADDER:
        if reasoning.budget_tokens <= limit:
            return word
    return "high"


def budget_of(reasoning: chat.Reasoning) -> int | None:
    """The tokens for it."""
    if reasoning.budget_tokens is not None or reasoning.effort is None:
        return reasoning.budget_tokens
    return _BUDGETS[reasoning.effort]


def nearest(reasoning: chat.Reasoning, known: Sequence[chat.Effort]) -> chat.Effort | None:
    """The word for it among those that a model knows, in their order; between two, the smaller."""
    wished = effort_of(reasoning)
    if wished is None:
        return None
    return min(known, key=lambda word: abs(_ORDER.index(word) - _ORDER.index(wished)))


_ORDER: Final = tuple(_BUDGETS)


def read_effort(word: str | None) -> chat.Effort | None:
    """A known word; others are none of ours."""
    return _WORDS.get(word or "")


_WORDS: Final[dict[str, chat.Effort]] = {
    "none": "none",
    "minimal": "minimal",
    "low": "low",
    "medium": "medium",
    "high": "high",
    "xhigh": "xhigh",
    "max": "max",
}
