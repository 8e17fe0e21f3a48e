"""What ingress decides, as stories."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tollway.dialects.bridge import Intake
from tollway.ingress import domain
from tollway.ingress.domain import Sizing
from tollway.wire.access import Settings
from tollway.wire.plan import Candidate, Plan, Price, ServicePrice, Skipped
from tollway.wire.pricing import SEARCH_TOKENS, charge_nusd
from tollway.wire.refusals import Refusal, refuse
from tollway.wire.usage import Usage
from tollway.wire.work import End


def candidate(price: Price | None = None, *, is_managed: bool = True, output_max: int = 0) -> Candidate:
    return Candidate(
        provider="p",
        provider_name="P",
        model="m",
        model_name="M",
        model_sent="m",
        dialect="openai_chat",
        credential_id="managed:p",
        is_managed=is_managed,
        price=price,
        tokens_output_max=output_max,
    )


CHEAP, DEAR = Price(10**6, 10**6), Price(10**9, 10**10)


def test_the_hold_covers_the_dearest_candidate() -> None:
    intake = Intake("m", tokens_output_wanted=100)
    both = domain.size([candidate(CHEAP), candidate(DEAR)], intake, Settings(), "chat", tokens_input=50)
    dear = domain.size([candidate(DEAR)], intake, Settings(), "chat", tokens_input=50)
    assert both == dear


def test_the_output_limit_is_the_least_of_callers_accounts_and_models() -> None:
    def cap(asked: int | None, account: int | None, model: int) -> int:
        intake = Intake("m", tokens_output_wanted=asked)
        settings = Settings(tokens_output_max=account)
        return domain.size([candidate(output_max=model)], intake, settings, "chat", tokens_input=1).tokens_output_cap

    assert cap(100, 50, 70) == 50
    assert cap(100, None, 70) == 70
    assert cap(None, None, 0) == domain.OUTPUT_TOKENS_UNKNOWN


def test_a_stream_holds_its_first_slice_and_may_extend_to_what_was_wanted() -> None:
    intake = Intake("m", is_stream=True, tokens_output_wanted=10_000)
    sizing = domain.size([candidate(CHEAP, output_max=16_000)], intake, Settings(), "chat", tokens_input=1)
    assert (sizing.tokens_output_cap, sizing.tokens_output_wanted) == (domain.STREAM_SLICE_TOKENS, 10_000)


def test_embeddings_hold_no_output() -> None:
    sizing = domain.size([candidate(DEAR)], Intake("m"), Settings(), "embeddings", tokens_input=10)
    assert sizing.tokens_output_cap == 0


def test_several_choices_are_several_outputs() -> None:
    def amount(choices: int) -> int:
        intake = Intake("m", tokens_output_wanted=100, choices=choices)
        return domain.size([candidate(Price(0, 10**9))], intake, Settings(), "chat", tokens_input=0).amount_nusd

    assert amount(3) == 3 * amount(1)


@given(
    tokens_input=st.integers(0, 100_000),
    used=st.tuples(st.floats(0, 1), st.floats(0, 1)),
    wanted=st.integers(1, 50_000),
    prices=st.lists(st.tuples(st.integers(0, 10**11), st.integers(0, 10**11), st.booleans()), min_size=1, max_size=4),
)
def test_whichever_candidate_serves_within_its_limits_costs_no_more_than_the_hold(
    tokens_input: int, used: tuple[float, float], wanted: int, prices: list[tuple[int, int, bool]]
) -> None:
    candidates = [candidate(Price(i, o), is_managed=managed) for i, o, managed in prices]
    intake = Intake("m", tokens_output_wanted=wanted)
    sizing = domain.size(candidates, intake, Settings(), "chat", tokens_input=tokens_input)
    usage = Usage(int(tokens_input * used[0]), int(sizing.tokens_output_cap * used[1]))
    for one in candidates:
        assert charge_nusd(usage, one.price, is_managed=one.is_managed) <= sizing.amount_nusd


SEARCHING = Price(10**9, 10**9, per_search=10_000_000)


def test_the_hold_covers_every_search_that_the_request_allows() -> None:
    def amount(searches: int) -> int:
        intake = Intake("m", tokens_output_wanted=100, searches=searches)
        return domain.size([candidate(SEARCHING)], intake, Settings(), "messages", tokens_input=50).amount_nusd

    usage = Usage(50 + 10 * SEARCH_TOKENS, 100, searches=10)
    assert amount(10) == charge_nusd(usage, SEARCHING, is_managed=True)
    assert amount(0) == charge_nusd(Usage(50, 100), SEARCHING, is_managed=True)


def test_a_stream_holds_its_searches_with_its_first_slice() -> None:
    intake = Intake("m", is_stream=True, tokens_output_wanted=100_000, searches=2)
    sizing = domain.size([candidate(SEARCHING, output_max=100_000)], intake, Settings(), "messages", tokens_input=50)
    usage = Usage(50 + 2 * SEARCH_TOKENS, domain.STREAM_SLICE_TOKENS, searches=2)
    assert sizing.amount_nusd == charge_nusd(usage, SEARCHING, is_managed=True)


def test_searches_on_an_own_key_hold_the_fee_alone() -> None:
    intake, own = Intake("m", tokens_output_wanted=100, searches=10), candidate(SEARCHING, is_managed=False)
    sizing = domain.size([own], intake, Settings(), "messages", tokens_input=50)
    assert sizing.amount_nusd == charge_nusd(Usage(50, 100), None, is_managed=False)


def test_want_of_credit_for_searches_names_them() -> None:
    raw = refuse("insufficient_credits", details={"availableNusd": "1000"})
    told = domain.credit_refusal(raw, Sizing(10**9, 1_000, 1_000, 1_000, searches=10), is_stream=False)
    assert "10 web searches" in told.message


def test_an_input_over_the_accounts_cap_is_refused_with_both_numbers() -> None:
    refusal = domain.input_refusal(5_000, Settings(tokens_input_max=4_000))
    assert refusal is not None
    assert refusal.code == "input_too_large"
    assert "5000" in refusal.message
    assert "4000" in refusal.message
    assert domain.input_refusal(4_000, Settings(tokens_input_max=4_000)) is None


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("30", 30), ("30s", 30), ("1.5s", 1.5), ("500ms", 0.5), ("2m", 120), ("x", None), ("-1", None)],
)
def test_a_timeout_is_read_as_people_write_it(text: str, seconds: float | None) -> None:
    assert domain.read_timeout_s(text) == seconds


def test_a_caller_may_tighten_the_timeout_and_never_widen_it() -> None:
    settings = Settings(total_timeout_s=60)
    assert domain.total_timeout_s(settings, "10s") == 10
    assert domain.total_timeout_s(settings, "10m") == 60
    assert domain.total_timeout_s(settings, "") == 60
    assert isinstance(domain.total_timeout_s(settings, "soon"), Refusal)
    assert isinstance(domain.total_timeout_s(settings, "0"), Refusal)


def test_a_refusal_for_want_of_credit_says_what_the_balance_could_cover() -> None:
    raw = refuse("insufficient_credits", details={"availableNusd": "500000000"})
    told = domain.credit_refusal(raw, Sizing(1_000_000_000, 1_000, 1_000, 1_000), is_stream=False)
    assert "$0.5" in told.message
    assert "about 1000 tokens" in told.message


def test_the_receipt_tells_the_exact_cost() -> None:
    end = End("complete", 2, "openai:gpt-4o", cost_nusd=125, dropped=("logit_bias",))
    headers = domain.receipt_headers("rq_1", "00-a-b-00", end, attempts=2, model="openai:gpt-4o")
    assert headers["tollway-cost"] == "0.000000125"
    assert headers["tollway-attempts"] == "2"
    assert headers["tollway-dropped"] == "logit_bias"


def test_only_a_long_input_is_told_to_the_router_and_never_as_longer_than_it_is() -> None:
    assert domain.tokens_input_least(Intake("m", text_bytes=1_000)) == 0
    assert domain.tokens_input_least(Intake("m", text_bytes=800_000)) == 100_000


def test_what_was_skipped_goes_into_the_books_without_the_callers_own_words() -> None:
    skipped = (
        Skipped("", "what a secret", "", "model_unknown"),
        Skipped("", "openai:gpt-4o", "", "provider_not_allowed"),
        Skipped("openai", "o3", "managed:openai", "open:server"),
    )
    asked = ("simulator:echo", "openai:gpt-4o", "what a secret")
    kept = domain.passed_over(Plan((), "v1", skipped=skipped), asked)
    assert kept == (Skipped("", "models[1]", "", "model_unknown"), *skipped[1:])
    alone = domain.passed_over(Plan((), "v1", skipped=skipped[:1]), ("what a secret",))
    assert alone[0].model == "model"


def test_what_goes_into_the_books_is_bounded() -> None:
    skipped = tuple(Skipped("", "x" * 10_000, "", "model_not_allowed") for _ in range(100))
    kept = domain.passed_over(Plan((), "v1", skipped=skipped), ())
    assert (len(kept), len(kept[0].model)) == (domain.SKIPPED_MAX, domain.NAME_CHARS_MAX)


TIERED = Price(10**9, 10**9, services=(ServicePrice("priority", 10**10, 10**10), ServicePrice("flex", 1, 1)))


@pytest.mark.parametrize(
    ("service", "dialect", "kept"), [("priority", "openai_chat", 1), ("", "openai_chat", 0), ("priority", "gemini", 0)]
)
def test_the_hold_covers_the_service_asked_for_where_it_can_be_given(service: str, dialect: str, kept: int) -> None:
    plan = Plan((msgspec.structs.replace(candidate(TIERED), dialect=dialect),), "v1")  # pyright: ignore[reportArgumentType]
    price = domain.with_service(plan, service, "openai_chat").candidates[0].price
    assert price is not None
    assert price.services == TIERED.services[:kept]


def test_a_plan_without_services_stays_the_same_object() -> None:
    plan = Plan((candidate(CHEAP), candidate()), "v1")
    assert domain.with_service(plan, "priority", "openai_chat") is plan


def test_an_own_key_needs_no_cover_for_a_service() -> None:
    plan = Plan((candidate(TIERED, is_managed=False),), "v1")
    price = domain.with_service(plan, "priority", "openai_chat").candidates[0].price
    assert price is not None
    assert price.services == ()
