"""Our prices against a second maintained library: every known disagreement is recorded, a new one fails."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from genai_prices import Usage, calc_price

from tollway.listing.read import read_price_list, rows_of_list
from tollway.router.catalog import Model, compile_catalog
from tollway.wire.money import dollars, price_of_dollars

RECORDED: Final = Path(__file__).with_name("price_disagreements.json")
THEIR_IDS: Final = {
    "openai": "openai",
    "anthropic": "anthropic",
    "google": "google",
    "groq": "groq",
    "deepseek": "deepseek",
    "moonshotai": "moonshotai",
    "zai": "zai",
    "xai": "x-ai",
    "mistral": "mistral",
    "perplexity": "perplexity",
    "cohere": "cohere",
    "cerebras": "cerebras",
    "togetherai": "together",
}
"""OpenRouter's resale prices change daily and differ for a quarter of its models: it is left out."""
ON: Final = datetime(2026, 11, 1, 12, tzinfo=UTC)
TOKENS: Final = 1_000

Pair = tuple[int, int]


def our_models() -> list[Model]:
    price_list = read_price_list({})
    catalog = compile_catalog(price_list.entries, rows_of_list(price_list.entries), price_list.version)
    return [model for provider in THEIR_IDS for model in catalog.by_provider[provider].values() if model.price]


def theirs(model: Model) -> Pair | None:
    """Nano-dollars per million input and output tokens, None where the other library does not know the model."""
    usage = Usage(input_tokens=TOKENS, output_tokens=TOKENS)
    try:
        price = calc_price(usage, model.id, provider_id=THEIR_IDS[model.provider], genai_request_timestamp=ON)
    except LookupError:
        return None
    per_million = 1_000_000 // TOKENS
    return price_of_dollars(price.input_price * per_million), price_of_dollars(price.output_price * per_million)


def ours(model: Model) -> Pair:
    assert model.price is not None
    return model.price.input, model.price.output


def written(pair: Pair) -> str:
    return " / ".join(dollars(price) for price in pair)


def test_prices_agree_with_the_second_library_but_for_what_is_recorded() -> None:
    pairs = {model.ref: (ours(model), other) for model in our_models() if (other := theirs(model)) is not None}
    found = {ref: {"ours": written(a), "theirs": written(b)} for ref, (a, b) in pairs.items() if a != b}
    print(f"{len(pairs)} models compared, {len(found)} disagreements (dollars per million tokens, input / output):")
    for ref, prices in found.items():
        print(f"  {ref}: {prices['ours']} here, {prices['theirs']} there")
    assert len(pairs) > 150
    assert found == json.loads(RECORDED.read_text()), "look at what changed, then record it"


def test_the_comparison_finds_a_wrong_price() -> None:
    (model,) = [model for model in our_models() if model.ref == "openai:gpt-4o"]
    assert theirs(model) == ours(model) == (2_500_000_000, 10_000_000_000)
