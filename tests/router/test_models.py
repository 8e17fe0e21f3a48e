"""What `/v1/models` shows."""

import msgspec

from tests.router.conftest import Router, principal_of
from tollway.router.models import Lists, list_models, released_s
from tollway.router.offers import Offers
from tollway.wire.access import Access, CustomProvider, Principal, Rule, Step
from tollway.wire.plan import ListModels, ModelList
from tollway.wire.refusals import Refusal


def ids(router: Router, principal: Principal | None = None, model_id: str = "") -> list[str]:
    answer = list_models(router.view, ListModels(principal or principal_of(), model_id))
    assert isinstance(answer, ModelList), answer
    return [card.id for card in answer.models]


def test_only_models_that_some_credential_can_serve_are_listed(router: Router) -> None:
    listed = ids(router)
    assert {"openai:gpt-4o", "simulator:echo", "simulator:embed", "anthropic:claude-sonnet-4-5"} <= set(listed)
    assert {name.partition(":")[0] for name in listed} == {"openai", "anthropic", "simulator", "tollway/auto"}


def test_a_list_is_made_once_for_a_configuration_and_anew_when_something_else_is_offered(router: Router) -> None:
    lists, asked = Lists(), ListModels(principal_of())
    made = lists.of(router.view, asked)
    assert lists.of(router.view, asked) is made
    assert lists.of(router.view, ListModels(msgspec.structs.replace(asked.principal, version=99))) is not made
    narrow = principal_of(access=Access(models=("openai:gpt-4o",)))
    listed = lists.of(router.view, ListModels(narrow))
    assert isinstance(listed, ModelList)
    assert [card.id for card in listed.models] == ["openai:gpt-4o", "tollway/auto"]
    fewer = msgspec.structs.replace(router.view, offers=Offers({"simulator": "default"}, is_known=True))
    fewest = lists.of(fewer, asked)
    assert isinstance(fewest, ModelList)
    assert {card.provider for card in fewest.models} == {"simulator", "tollway"}


def test_models_outside_the_scope_are_not_listed(router: Router) -> None:
    key = principal_of(access=Access(models=("openai/gpt-4o", "simulator:echo", "groq:llama-3.1-8b-instant")))
    assert set(ids(router, key)) == {"openai:gpt-4o", "simulator:echo", "tollway/auto"}
    assert ids(router, principal_of(access=Access(providers=()))) == []


def test_models_whose_rule_has_no_usable_step_are_not_listed(router: Router) -> None:
    rules = (Rule((Step("user", ("aigpk_gone",)),), provider="openai"),)
    assert not any(name.startswith("openai:") for name in ids(router, principal_of(rules=rules)))


def test_the_accounts_own_models_are_listed(router: Router) -> None:
    custom = CustomProvider("my-ollama", "My Ollama", "http://localhost:11434/v1", (), ("llama3.2",))
    assert "my-ollama:llama3.2" in ids(router, principal_of(providers=(custom,)))


def test_everything_listed_can_be_planned_under_its_listed_name(router: Router) -> None:
    answer = list_models(router.view, ListModels(principal_of()))
    assert isinstance(answer, ModelList)
    assert answer.models[-1].id == "tollway/auto"
    assert router.candidates("tollway/auto")
    for card in answer.models[:-1]:
        surface = "embeddings" if "embed" in card.id else "chat"
        assert [name.split()[0] for name in router.candidates(card.id, surface=surface)] == [card.id]


def test_one_model_is_shown_under_the_name_it_was_asked_by(router: Router) -> None:
    assert ids(router, model_id="gpt-4o") == ["gpt-4o"]
    assert ids(router, model_id="openai:gpt-4o") == ["openai:gpt-4o"]
    assert ids(router, model_id="Tollway/auto") == ["tollway/auto"]


def test_a_card_says_what_a_client_needs_to_choose(router: Router) -> None:
    answer = list_models(router.view, ListModels(principal_of(), "openai:gpt-4o"))
    assert isinstance(answer, ModelList)
    (card,) = answer.models
    assert (card.tokens_window, card.tokens_output_max, card.is_tool_capable) == (128_000, 16_384, True)
    assert "image" in card.modalities_input
    assert card.price is not None
    assert card.price.input == 2_500_000_000


def test_a_model_that_is_unknown_or_not_allowed_is_refused(router: Router) -> None:
    unknown = list_models(router.view, ListModels(principal_of(), "no-such-model"))
    key = principal_of(access=Access(models=()))
    denied = list_models(router.view, ListModels(key, "gpt-4o"))
    assert [answer.code for answer in (unknown, denied) if isinstance(answer, Refusal)] == [
        "model_unknown",
        "model_not_allowed",
    ]


def test_release_dates_are_read_whole_or_in_part() -> None:
    assert [released_s(day) for day in ("1970-01-02", "1970-02", "1971", "", "soon")] == [
        86_400, 31 * 86_400, 365 * 86_400, 0, 0,
    ]  # fmt: skip
