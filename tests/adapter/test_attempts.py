"""Stories of attempts: candidates, faults, decisions."""

import pytest

from tollway.adapter.attempts import (
    Allowance,
    Attempts,
    Failure,
    GiveUp,
    RetryBudget,
    Try,
    allowance,
    completion_of,
    cool_s,
)
from tollway.dialects.faults import FAULTS, ErrorClass
from tollway.wire.plan import Candidate
from tollway.wire.work import Limits

NOW = 1_000_000
DEADLINE = NOW + 120_000


def candidate(
    provider: str = "openai",
    model: str = "gpt-4o",
    key: str = "managed:openai",
    *,
    step: int = 0,
    window: int = 0,
) -> Candidate:
    return Candidate(
        provider=provider,
        provider_name=provider,
        model=model,
        model_name=model,
        model_sent=model,
        dialect="openai_chat",
        credential_id=key,
        is_managed=key.startswith("managed:"),
        step=step,
        tokens_window=window,
    )


def attempts(*candidates: Candidate, retry_same: str = "retry-after", deadline_ms: int = DEADLINE) -> Attempts:
    return Attempts(candidates, retry_same=retry_same, deadline_ms=deadline_ms)  # pyright: ignore[reportArgumentType]


def fail(
    them: Attempts, index: int, error_class: ErrorClass, *, after_s: float | None = None, now_ms: int = NOW
) -> Try | GiveUp:
    return them.after(index, Failure(error_class, after_s), now_ms=now_ms, jitter=0.5, is_budget_left=True)


A = candidate("openai", "gpt-4o", "aigpk_1")
A2 = candidate("openai", "gpt-4o", "aigpk_2")
A3 = candidate("openai", "gpt-4o", "aigpk_3", step=1)
AM = candidate("openai", "gpt-4o", "managed:openai", step=2)
B = candidate("anthropic", "claude", "managed:anthropic")

MOVING: tuple[ErrorClass, ...] = tuple(name for name, rule in FAULTS.items() if rule.other == "yes")
STAYING: tuple[ErrorClass, ...] = tuple(name for name, rule in FAULTS.items() if rule.other in ("no", "opt_in"))


def test_the_first_candidate_is_tried_first() -> None:
    assert attempts(A, B).first() == Try(0)


def test_nothing_to_try_fails_at_once() -> None:
    assert attempts().first() == GiveUp("fail_fast", "no_candidates")


@pytest.mark.parametrize("error_class", MOVING)
def test_a_fault_of_the_provider_moves_on_to_the_next_candidate(error_class: ErrorClass) -> None:
    them = attempts(A, B)
    them.first()
    assert fail(them, 0, error_class) == Try(1, "next_backend")
    assert fail(them, 1, error_class) == GiveUp("exhausted", "no_candidates")
    assert them.count == 2


@pytest.mark.parametrize("error_class", STAYING)
def test_a_fault_of_the_caller_or_a_policy_refusal_stays(error_class: ErrorClass) -> None:
    them = attempts(A, B)
    them.first()
    assert fail(them, 0, error_class) == GiveUp("fail_fast", error_class)


@pytest.mark.parametrize("error_class", FAULTS)
def test_nothing_moves_on_once_the_client_has_content(error_class: ErrorClass) -> None:
    them = attempts(A, B)
    them.first()
    decision = them.after(0, Failure(error_class, 1.0, has_content=True), now_ms=NOW, jitter=0, is_budget_left=True)
    assert decision == GiveUp("fail_fast", error_class)


def test_each_move_has_its_word() -> None:
    them = attempts(A, A2, A3, AM, B)
    them.first()
    moves = [fail(them, index, "server") for index in range(5)]
    assert moves == [
        Try(1, "next_key"),
        Try(2, "next_quota_pool"),
        Try(3, "managed_fallback"),
        Try(4, "next_backend"),
        GiveUp("exhausted", "no_candidates"),
    ]


def test_a_model_with_a_credential_is_not_tried_twice_even_if_listed_twice() -> None:
    them = attempts(A, A, A2, A)
    assert [it.credential_id for it in them.candidates] == ["aigpk_1", "aigpk_2"]


def test_a_stated_wait_that_fits_is_waited_for_when_nobody_else_is_left() -> None:
    them = attempts(A, B)
    them.first()
    assert fail(them, 0, "rate_limit", after_s=2.0) == Try(1, "next_backend")
    assert fail(them, 1, "server", now_ms=NOW + 500) == Try(0, "retry_same_backend", 1.5)
    assert fail(them, 0, "rate_limit", after_s=2.0, now_ms=NOW + 2500) == GiveUp("exhausted", "no_candidates")


def test_the_shortest_of_several_stated_waits_is_chosen() -> None:
    them = attempts(A, B)
    them.first()
    fail(them, 0, "rate_limit", after_s=9.0)
    assert fail(them, 1, "rate_limit", after_s=3.0) == Try(1, "retry_same_backend", 3.0)


def test_a_stated_wait_beyond_the_deadline_is_not_waited_for() -> None:
    them = attempts(A)
    them.first()
    assert fail(them, 0, "rate_limit", after_s=600.0) == GiveUp("exhausted", "retry_after_beyond_deadline")


def test_never_means_never() -> None:
    them = attempts(A, retry_same="never")
    them.first()
    assert fail(them, 0, "rate_limit", after_s=1.0) == GiveUp("exhausted", "no_candidates")


def test_an_exhausted_quota_is_not_waited_for() -> None:
    them = attempts(A)
    them.first()
    assert fail(them, 0, "quota", after_s=1.0) == GiveUp("exhausted", "no_candidates")


def test_transient_faults_are_tried_once_more_before_moving_on_where_the_account_asks_for_it() -> None:
    them = attempts(A, B, retry_same="transient")
    them.first()
    assert fail(them, 0, "server") == Try(0, "retry_same_backend", 0.125)
    assert fail(them, 0, "server") == Try(1, "next_backend")
    assert fail(them, 1, "timeout") == GiveUp("exhausted", "no_candidates")


def test_an_input_too_long_goes_only_to_a_larger_window() -> None:
    small, same, large = (candidate(model=name, window=size) for name, size in (("s", 8), ("m", 8), ("l", 32)))
    them = attempts(small, same, large, B)
    them.first()
    assert fail(them, 0, "context_length") == Try(2, "next_backend")
    assert fail(them, 2, "context_length") == GiveUp("exhausted", "no_candidates")


def test_a_deadline_that_has_passed_ends_the_attempts() -> None:
    them = attempts(A, B)
    them.first()
    assert fail(them, 0, "timeout", now_ms=DEADLINE) == GiveUp("exhausted", "deadline")


def test_an_empty_budget_ends_the_attempts() -> None:
    them = attempts(A, B)
    them.first()
    decision = them.after(0, Failure("server"), now_ms=NOW, jitter=0, is_budget_left=False)
    assert decision == GiveUp("exhausted", "budget")


def test_a_candidate_that_cannot_be_asked_is_no_attempt() -> None:
    them = attempts(A, B)
    them.first()
    assert them.skip(0) == Try(1, "next_backend")
    assert (them.count, them.candidates_tried) == (1, 1)


def test_a_storm_of_errors_is_retried_for_a_fifth_of_the_requests_only() -> None:
    budget, retries = RetryBudget(0.0), 0
    for nth in range(100_000):
        budget.request(nth / 10_000)
        if budget.is_left:
            retries += 1
            budget.end(budget.begin(), has_failed=True)
    assert retries <= 20_000 + 10 * RetryBudget.PER_SECOND + RetryBudget.BALANCE_MAX


def test_a_storm_cannot_begin_many_retries_at_once_on_the_last_of_the_budget() -> None:
    budget = RetryBudget(0.0)
    for _ in range(200):
        budget.end(budget.begin(), has_failed=True)
    budget.request(15.0)
    begun = 0
    while budget.is_left and begun < 1000:
        budget.begin()
        begun += 1
    assert begun < 100


def test_an_outage_of_one_provider_is_failed_over_without_limit() -> None:
    budget = RetryBudget(0.0)
    for _ in range(10_000):
        budget.request(0.0)
        assert budget.is_left
        budget.end(budget.begin(), has_failed=False)


def test_retries_whose_end_nobody_knows_cost_nothing() -> None:
    budget = RetryBudget(0.0)
    for _ in range(1000):
        budget.end(budget.begin(), has_failed=None)
    assert budget.is_left


def test_the_budget_returns_after_a_storm() -> None:
    budget = RetryBudget(0.0)
    for _ in range(1000):
        budget.end(budget.begin(), has_failed=True)
    assert not budget.is_left
    budget.request(12.0)
    assert budget.is_left


def test_how_an_attempt_ended_is_said_in_the_words_of_the_usage_rows() -> None:
    assert completion_of(Failure("timeout")) == "timed_out"
    assert completion_of(Failure("server")) == "failed"
    assert completion_of(Failure("timeout", has_content=True)) == "stream_failed"


def test_a_credential_without_quota_cools_for_long_and_a_rate_limit_for_what_it_says() -> None:
    assert cool_s("quota", None) == 600
    assert cool_s("rate_limit", 7.0) == 7
    assert cool_s("rate_limit", None) == 0
    assert cool_s("bad_request", 7.0) == 0


def test_every_limit_is_cut_by_the_deadline() -> None:
    limits = Limits(attempt_s=60, first_token_s=20, chunk_gap_s=30, connect_s=5)
    of = allowance(limits, is_stream=True, deadline_ms=NOW + 2_000, now_ms=NOW)
    assert of == Allowance(connect_s=2, first_s=2, gap_s=30, is_cut=True)
    assert allowance(limits, is_stream=True, deadline_ms=DEADLINE, now_ms=NOW).first_s == 20
    assert allowance(limits, is_stream=False, deadline_ms=DEADLINE, now_ms=NOW).first_s == 60
