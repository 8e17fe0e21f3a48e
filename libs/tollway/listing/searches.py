"""What providers bill for a web search that they make themselves. The price list that we pin has no such fees, so they
are here; `cost.search` in the operator's overrides replaces them. A test compares them with `genai-prices`.

A provider whose searches have no price here is one whose searches nobody gets on the operator's credential: among them
Gemini from version 3 on, which bills each query of a prompt and takes no limit on them.
"""

from decimal import Decimal
from fnmatch import fnmatchcase
from typing import Final

import msgspec


class SearchFee(msgspec.Struct, frozen=True):
    """Dollars per thousand searches of the models that the pattern names."""

    provider: str
    models: str
    dollars: Decimal


FEES: Final = (
    # Anthropic, "Web search tool: usage and pricing": $10 per 1,000 searches; one that fails is free (2026-11-21).
    SearchFee("anthropic", "claude-*", Decimal(10)),
    # OpenAI, "Pricing: built-in tools": web search, all models, $10 per 1,000 calls (2026-11-21).
    SearchFee("openai", "*", Decimal(10)),
    # Google, "Gemini API pricing: grounding with Google Search": $35 per 1,000 grounded prompts beyond the free ones of
    # a day, which are not taken into account (2026-11-21).
    SearchFee("google", "gemini-2*", Decimal(35)),
    # The simulator makes no search; it says that it did, for tests.
    SearchFee("simulator", "*", Decimal(10)),
)


def search_dollars(provider: str, model: str) -> Decimal | None:
    """Dollars per thousand web searches; None: not known."""
    found = (fee.dollars for fee in FEES if fee.provider == provider and fnmatchcase(model, fee.models))
    return next(found, None)
