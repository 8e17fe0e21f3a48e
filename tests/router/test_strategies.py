"""Orders among candidates that have passed every check."""

import pytest

from tests.router.conftest import NOW_MS, Router, principal_of
from tollway.router import auto
from tollway.router.catalog import Catalog
from tollway.router.strategies import DRAWS, Strategy, read_strategy
from tollway.wire.access import Access, CustomProvider, ProviderKeyRef, Settings
from tollway.wire.plan import HealthSeen, Plan

ASKED = ("openai:gpt-4o", "anthropic:claude-sonnet-4-5", "openai:gpt-4o-mini")
KEYS = (ProviderKeyRef("aigpk_1", "openai", "mine"),)


def seen(router: Router, provider: str, model: str, *, good: int = 0, bad: int = 0, ttft_ms: int = 0) -> None:
    note = HealthSeen(provider, model, f"managed:{provider}", good, bad, ttft_ms, "server" if bad else "")
    router.health.seen(note, NOW_MS)


def order(router: Router, strategy: str, *asked: str, **question: object) -> list[str]:
    return [name.split()[0] for name in router.candidates(*(asked or ASKED), strategy=strategy, **question)]


def test_ordered_is_as_asked(router: Router) -> None:
    assert order(router, "ordered") == list(ASKED)
    assert order(router, "") == list(ASKED)


def test_cheapest_goes_by_list_price(router: Router) -> None:
    assert order(router, "cheapest") == ["openai:gpt-4o-mini", "openai:gpt-4o", "anthropic:claude-sonnet-4-5"]


def test_an_accounts_own_provider_is_the_cheapest(router: Router) -> None:
    own = CustomProvider("my-ollama", "My Ollama", "http://localhost:11434/v1")
    asked = (*ASKED, "my-ollama:llama3.2")
    assert order(router, "cheapest", *asked, principal=principal_of(providers=(own,)))[0] == "my-ollama:llama3.2"


def test_a_model_of_unknown_price_is_the_dearest(router: Router) -> None:
    asked = ("openai:some-new-model", *ASKED)
    assert order(router, "cheapest", *asked, principal=principal_of(provider_keys=KEYS))[-1] == "openai:some-new-model"


def test_fastest_goes_by_what_was_measured_and_measures_who_was_not(router: Router) -> None:
    seen(router, "openai", "gpt-4o", good=5, ttft_ms=400)
    seen(router, "anthropic", "claude-sonnet-4-5", good=5, ttft_ms=300)
    assert order(router, "fastest") == ["openai:gpt-4o-mini", "anthropic:claude-sonnet-4-5", "openai:gpt-4o"]
    seen(router, "openai", "gpt-4o-mini", good=5, ttft_ms=350)
    assert order(router, "fastest") == ["anthropic:claude-sonnet-4-5", "openai:gpt-4o-mini", "openai:gpt-4o"]


def test_least_errors_goes_by_the_share_of_failures(router: Router) -> None:
    seen(router, "openai", "gpt-4o", good=9, bad=1)
    seen(router, "anthropic", "claude-sonnet-4-5", good=99, bad=1)
    assert order(router, "least-errors") == [
        "openai:gpt-4o-mini",
        "anthropic:claude-sonnet-4-5",
        "openai:gpt-4o",
    ]


def test_weighted_draws_by_weight(router: Router) -> None:
    strategy = "weighted:openai=3,anthropic:Claude-Sonnet-4-5=1,openai:gpt-4o-mini=0"
    draws = [order(router, strategy, draw=step * DRAWS // 100)[0] for step in range(100)]
    counts = {name: draws.count(name) for name in ASKED}
    assert counts == {"openai:gpt-4o": 75, "anthropic:claude-sonnet-4-5": 25, "openai:gpt-4o-mini": 0}


def test_weighted_without_weights_is_even_and_nothing_is_lost(router: Router) -> None:
    for step in range(30):
        drawn = order(router, "weighted", draw=(2 * step + 1) * DRAWS // 60)
        assert drawn[0] == ASKED[step // 10]
        assert sorted(drawn) == sorted(ASKED)
    assert order(router, "weighted:openai=0,anthropic=0", draw=DRAWS - 1) == list(ASKED)


def test_the_keys_of_a_model_stay_in_the_order_of_their_steps(router: Router) -> None:
    candidates = router.candidates(*ASKED, strategy="cheapest", principal=principal_of(provider_keys=KEYS))
    assert candidates[:2] == ["openai:gpt-4o-mini aigpk_1", "openai:gpt-4o-mini managed:openai"]


@pytest.mark.parametrize("strategy", ["cheapest", "fastest", "weighted", "least-errors", "auto"])
def test_no_strategy_reaches_outside_the_scope(router: Router, strategy: str) -> None:
    key = principal_of(access=Access(models=("openai:gpt-4o", "openai:gpt-4o-mini")))
    assert set(order(router, strategy, principal=key)) == {"openai:gpt-4o", "openai:gpt-4o-mini"}


def test_the_accounts_strategy_holds_where_the_request_names_none(router: Router) -> None:
    account = principal_of(settings=Settings(strategy="cheapest"))
    assert order(router, "", principal=account)[0] == "openai:gpt-4o-mini"
    assert order(router, "ordered", principal=account) == list(ASKED)
    assert order(router, "", principal=principal_of(settings=Settings(strategy="of-tomorrow"))) == list(ASKED)


@pytest.mark.parametrize(
    "strategy",
    ["best", "weighted:", "weighted:openai", "weighted:openai=x", "weighted:=1", "cheapest:1", "weighted:a=-1"],
)
def test_a_strategy_that_is_none_is_refused(router: Router, strategy: str) -> None:
    assert read_strategy(strategy) is None
    assert router.refusal("gpt-4o", strategy=strategy) == "invalid_request_body"


def test_weights_are_read_with_spaces_and_cut_at_a_bound() -> None:
    assert read_strategy("weighted: openai = 2, groq=9999999".replace(" = ", "=")) == Strategy(
        "weighted", {"openai": 2, "groq": 1_000_000}
    )


@pytest.mark.parametrize(
    ("strategy", "is_cacheable"),
    [("ordered", True), ("cheapest", True), ("fastest", False), ("least-errors", False), ("weighted", False)],
)
def test_a_plan_that_would_come_out_otherwise_next_time_is_not_remembered(
    router: Router, strategy: str, is_cacheable: bool
) -> None:
    answer = router.ask(*ASKED, strategy=strategy)
    assert isinstance(answer, Plan)
    assert (answer.strategy, answer.is_cacheable) == (strategy, is_cacheable)


def test_health_overrules_a_strategy(router: Router) -> None:
    seen(router, "openai", "gpt-4o-mini", bad=10)
    assert order(router, "cheapest")[-1] == "openai:gpt-4o-mini"


def test_auto_takes_the_preferred_models_that_can_be_reached(router: Router) -> None:
    chosen = order(router, "", "tollway/auto")
    assert chosen[:2] == ["openai:gpt-5.4-mini", "anthropic:claude-haiku-4-5"]
    assert len(chosen) == len(set(chosen)) > 3


def test_auto_falls_back_to_the_simulator_where_nothing_else_is_there(catalog: Catalog) -> None:
    assert Router(catalog, "simulator").candidates("Tollway/Auto") == ["simulator:echo managed:simulator"]


def test_auto_puts_those_that_fail_behind(router: Router) -> None:
    seen(router, "openai", "gpt-5.4-mini", good=2, bad=2)
    assert order(router, "", "tollway/auto")[0] == "anthropic:claude-haiku-4-5"


def test_auto_stays_within_scope_and_capability(router: Router) -> None:
    key = principal_of(access=Access(providers=("anthropic",)))
    assert {name.partition(":")[0] for name in order(router, "", "tollway/auto", principal=key)} == {"anthropic"}
    assert router.refusal("tollway/auto", principal=principal_of(access=Access(models=()))) == "model_not_allowed"
    assert "text-embedding" in router.candidates("tollway/auto", surface="embeddings")[0]


def test_auto_can_be_a_fallback(router: Router) -> None:
    chosen = order(router, "", "openai:gpt-4o", "tollway/auto")
    assert chosen[:2] == ["openai:gpt-4o", "openai:gpt-5.4-mini"]


def test_every_preferred_model_is_in_the_catalog(catalog: Catalog) -> None:
    refs = {model.ref for models in catalog.by_provider.values() for model in models.values()}
    assert [name for name in auto.PREFERRED if name not in refs] == []
