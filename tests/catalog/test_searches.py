"""Prices of web searches: ours, the operator's, and a second library's."""

import json
from pathlib import Path

import pytest
from genai_prices.data import providers

from tests.catalog.test_catalog import catalog_of, price_of
from tollway.router.catalog import Catalog
from tollway.wire.money import price_of_dollars

CENT = 10_000_000
SECOND = {"openai", "anthropic", "google"}


def per_search(catalog: Catalog, provider: str, model: str) -> int | None:
    price = price_of(catalog, provider, model)
    assert price is not None
    return price.per_search


def test_searches_of_the_three_providers_that_bill_them_have_a_price() -> None:
    catalog = catalog_of()
    assert per_search(catalog, "anthropic", "claude-sonnet-4-5") == CENT
    assert per_search(catalog, "openai", "gpt-5") == CENT
    assert per_search(catalog, "google", "gemini-2.5-flash") == 35_000_000


def test_a_search_that_is_billed_by_the_query_or_by_somebody_unknown_has_no_price() -> None:
    catalog = catalog_of()
    assert per_search(catalog, "google", "gemini-3-pro-preview") is None
    assert per_search(catalog, "azure", "gpt-4o") is None
    assert per_search(catalog, "groq", "llama-3.3-70b-versatile") is None


def test_an_operator_gives_another_price_in_dollars_per_thousand_searches(tmp_path: Path) -> None:
    def cost(**more: float) -> dict[str, object]:
        return {"cost": {"input": 1, "output": 2, **more}}

    overrides = {
        "openai": {"models": {"gpt-5": cost(search=12.5), "gpt-5-mini": cost(search=0), "gpt-5-nano": cost(request=1)}},
        "azure": {"models": {"gpt-4o": cost(search=14)}},
    }
    file = tmp_path / "catalog.json"
    file.write_text(json.dumps(overrides))
    catalog = catalog_of({"TOLLWAY_CATALOG_FILE": str(file)})
    assert per_search(catalog, "openai", "gpt-5") == 12_500_000
    assert per_search(catalog, "openai", "gpt-5-mini") == 0
    assert per_search(catalog, "openai", "gpt-5-nano") == CENT, "who gives no price for searches keeps ours"
    assert per_search(catalog, "azure", "gpt-4o") == 14_000_000


def test_prices_of_searches_agree_with_the_second_library() -> None:
    catalog, compared = catalog_of(), 0
    for provider in (found for found in providers if found.id in SECOND):
        for model in provider.models:
            prices = [each.prices for each in model.prices] if isinstance(model.prices, list) else [model.prices]
            theirs, found = prices[-1].web_searches_kcount, catalog.find(provider.id, model.id)
            ours = found.model.price.per_search if found is not None and found.model.price is not None else None
            if theirs is None or ours is None:
                continue
            assert not isinstance(theirs, int | float)
            assert price_of_dollars(str(theirs)) == 1_000 * ours, model.id
            compared += 1
    assert compared > 20


def test_a_change_of_the_fees_is_another_price_list(monkeypatch: pytest.MonkeyPatch) -> None:
    before = catalog_of().price_version
    monkeypatch.setattr("tollway.listing.read.FEES", ())
    assert catalog_of().price_version != before
