"""Tools that the provider bills per use: who gets them on the operator's credential."""

import msgspec
import pytest

from tests.router.conftest import Router, principal_of
from tollway.router.catalog import Catalog, Model
from tollway.wire.access import ProviderKeyRef
from tollway.wire.plan import Plan
from tollway.wire.refusals import Refusal

OWN = principal_of(provider_keys=(ProviderKeyRef("aigpk_1", "openai", "own"),))


def repriced(catalog: Catalog, ref: str, **price: object) -> Catalog:
    """The catalog with fields of one model's price changed, as an operator's overrides would."""
    provider, _, name = ref.partition(":")
    model = catalog.by_provider[provider][name]
    assert model.price is not None
    changed: Model = msgspec.structs.replace(model, price=msgspec.structs.replace(model.price, **price))
    models = {**catalog.by_provider[provider], name: changed}
    return msgspec.structs.replace(catalog, by_provider={**catalog.by_provider, provider: models})


def test_searches_are_served_where_they_have_a_price(router: Router) -> None:
    assert router.candidates("openai:gpt-5", surface="responses", is_searching=True) == ["openai:gpt-5 managed:openai"]
    assert router.candidates("anthropic:claude-sonnet-4-5", surface="messages", is_searching=True)


def test_searches_without_a_price_are_refused_with_the_way_out(catalog: Catalog) -> None:
    answer = Router(catalog, "azure").ask("azure:gpt-4o", surface="responses", is_searching=True)
    assert isinstance(answer, Refusal)
    assert (answer.code, answer.details["tool"]) == ("model_unpriced", "web_search")
    assert "'web_search'" in answer.message
    assert "your own provider key" in answer.message
    assert "cost.search" in answer.message


@pytest.mark.parametrize("tool", ["code_interpreter", "file_search", "tools[0]"])
def test_a_tool_that_is_billed_per_use_is_refused_by_name(router: Router, tool: str) -> None:
    answer = router.ask("openai:gpt-5", surface="responses", billed_tools=(tool,))
    assert isinstance(answer, Refusal)
    assert (answer.code, answer.param, answer.details["tool"]) == ("model_unpriced", "model", tool)
    assert f"'{tool}'" in answer.message
    assert "your own provider key" in answer.message
    assert "cost.request" in answer.message


def test_with_a_price_per_request_every_tool_is_served(catalog: Catalog) -> None:
    router = Router(repriced(catalog, "openai:gpt-5", per_request=50_000_000, per_search=None), "openai")
    tools = ("code_interpreter", "image_generation")
    assert router.candidates("openai:gpt-5", surface="responses", is_searching=True, billed_tools=tools)


def test_on_the_accounts_own_key_everything_passes_and_the_managed_candidate_is_left_out(router: Router) -> None:
    answer = router.ask("openai:gpt-5", surface="responses", principal=OWN, billed_tools=("code_interpreter",))
    assert isinstance(answer, Plan)
    assert [each.credential_id for each in answer.candidates] == ["aigpk_1"]
    assert [(each.credential_id, each.reason) for each in answer.skipped] == [("managed", "model_unpriced")]


def test_a_fallback_that_has_a_price_for_the_tool_serves_it(catalog: Catalog) -> None:
    router = Router(repriced(catalog, "openai:gpt-5-mini", per_request=1), "openai")
    asked = ("openai:gpt-5", "openai:gpt-5-mini")
    found = router.candidates(*asked, surface="responses", billed_tools=("file_search",))
    assert found == ["openai:gpt-5-mini managed:openai"]


def test_a_model_without_any_price_is_refused_as_ever(router: Router) -> None:
    answer = router.ask("openai:some-new-model", surface="responses", is_searching=True)
    assert isinstance(answer, Refusal)
    assert "has no price" in answer.message


def test_a_provider_of_another_dialect_is_left_to_the_bridge_which_carries_no_hosted_tool(router: Router) -> None:
    asked = {"surface": "responses", "is_searching": True, "billed_tools": ("file_search",)}
    assert router.candidates("anthropic:claude-sonnet-4-5", **asked)  # pyright: ignore[reportArgumentType]
