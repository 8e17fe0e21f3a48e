"""Stated waits, the account's setting for trying again, and the budget that keeps a storm from being multiplied."""

import asyncio

import pytest

from tests.adapter.conftest import Bench, RawProvider, candidate, until
from tollway.adapter.attempts import RetryBudget
from tollway.wire.refusals import Refusal
from tollway.wire.work import Limits


def failing_first(fault: str, *, count: int = 1, **options: object) -> str:
    """An honest model that fails at first; every test has its own group."""
    more = "".join(f";{name}={value}" for name, value in options.items())
    return f"echo;fail={fault};fail_first={count}{more}"


@pytest.mark.parametrize("wait", ["1", "date+1"])
async def test_a_stated_wait_that_fits_is_waited_for(bench: Bench, wait: str) -> None:
    model = failing_first("fail-429-retry-after", group=f"g{wait}", retry_after=wait)
    answer = await bench.ask(bench.work(candidate(model)))
    assert answer.text == "hello there"
    rows = (await bench.fact(answer)).attempts
    assert [(row.number, row.retry_action) for row in rows] == [(1, "retry_same_backend"), (2, "succeeded")]


@pytest.mark.parametrize("wait", ["600", "date+600", "soon", "-1"])
async def test_a_wait_that_does_not_fit_or_means_nothing_is_not_waited_for(bench: Bench, wait: str) -> None:
    model = failing_first("fail-429-retry-after", group=f"g{wait}", retry_after=wait)
    answer = await bench.ask(bench.work(candidate(model)))
    assert answer.end.attempts == 1
    assert answer.head is not None
    assert answer.head.status == 429
    if wait == "600":
        assert answer.head.headers["retry-after"] == "600"


async def test_other_candidates_come_before_a_stated_wait(bench: Bench) -> None:
    model = failing_first("fail-429-retry-after", group="others", retry_after="1")
    answer = await bench.ask(bench.work(candidate(model), candidate("fail-500")))
    assert answer.text == "hello there"
    rows = (await bench.fact(answer)).attempts
    assert [row.retry_action for row in rows] == ["next_backend", "retry_same_backend", "succeeded"]
    assert answer.end.model == "simulator:echo"


async def test_an_account_that_wants_transient_faults_tried_again_gets_one_more_try(bench: Bench) -> None:
    model = failing_first("fail-503", group="transient")
    answer = await bench.ask(bench.work(candidate(model), candidate("slow"), retry_same_candidate="transient"))
    assert (answer.end.model, answer.end.attempts) == ("simulator:echo", 2)


async def test_an_account_that_never_wants_it_gets_none(bench: Bench) -> None:
    model = failing_first("fail-429-retry-after", group="never", retry_after="1")
    answer = await bench.ask(bench.work(candidate(model), retry_same_candidate="never"))
    assert answer.end.attempts == 1


async def test_a_storm_of_errors_is_retried_for_a_fifth_of_the_requests(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(RetryBudget, "BALANCE_MAX", 5.0)
    monkeypatch.setattr(RetryBudget, "PER_SECOND", 0.0)
    bench.adapter.budget = RetryBudget(0.0)
    count = 300
    for _ in range(count // 10):
        work = [bench.work(candidate("fail-529"), candidate("fail-500"), candidate("fail-502")) for _ in range(10)]
        answers = await asyncio.gather(*map(bench.ask, work))
        assert all(answer.end.outcome == "failed_before_content" for answer in answers)
    await until(lambda: len(bench.simulator.tally) >= count)
    assert count <= len(bench.simulator.tally) <= count * 1.2 + 5 + 20, "the first ten know of no storm"


async def test_an_outage_of_one_provider_is_failed_over_for_everybody(bench: Bench) -> None:
    bench.adapter.budget = RetryBudget(0.0)
    answers = await asyncio.gather(
        *(bench.ask(bench.work(candidate("fail-503"), candidate("echo"))) for _ in range(150))
    )
    assert {answer.end.outcome for answer in answers} == {"complete"}


async def test_every_attempt_has_a_line_when_all_have_failed(bench: Bench) -> None:
    limits = Limits(attempt_s=0.3, first_token_s=0.3, chunk_gap_s=1, connect_s=1)
    work = bench.work(candidate("fail-503"), candidate("fail-timeout"), candidate("fail-reset"), limits=limits)
    refusal = (await bench.ask(work)).end.refusal
    assert isinstance(refusal, Refusal)
    assert refusal.code == "all_providers_failed"
    _, *lines = refusal.message.splitlines()
    assert [line.split(":")[:2] for line in lines] == [
        ["1. simulator", "fail-503"],
        ["2. simulator", "fail-timeout"],
        ["3. simulator", "fail-reset"],
    ]
    assert "overloaded 503" in lines[0]
    assert "timeout" in lines[1]
    assert "cut" in lines[2]


async def test_a_provider_that_cannot_be_reached_is_said_so(bench: Bench) -> None:
    async def nothing(*_: object) -> None: ...

    async with RawProvider(nothing) as provider:
        gone = provider.candidate()
    answer = await bench.ask(bench.work(gone))
    refusal = answer.end.refusal
    assert isinstance(refusal, Refusal)
    assert (refusal.code, answer.end.attempts) == ("upstream_unreachable", 1)
    assert (await bench.fact(answer)).attempts[0].error_class == "connect"


async def test_an_inside_address_that_nobody_allowed_is_not_connected_to(bench: Bench) -> None:
    async def nothing(*_: object) -> None: ...

    async with RawProvider(nothing) as provider:
        answer = await bench.ask(bench.work(provider.candidate(is_private_address_allowed=False), candidate("echo")))
        assert provider.connections == 0
    assert answer.text == "hello there"
    assert (await bench.fact(answer)).attempts[0].error_class == "address_refused"


async def test_a_request_that_no_candidate_can_carry_is_refused_without_an_attempt(bench: Bench) -> None:
    work = bench.work(candidate("embed", dialect="openai_embeddings"))
    answer = await bench.ask(work)
    assert answer.end.refusal is not None
    assert (answer.end.refusal.code, answer.end.attempts) == ("unsupported_parameter", 0)
    fact = await bench.fact(answer)
    assert (fact.outcome, fact.attempts) == ("failed_before_content", [])


async def test_a_candidate_without_a_credential_here_is_passed_over(bench: Bench) -> None:
    gone = candidate("gpt-4o", provider="openai", credential_id="managed:openai")
    answer = await bench.ask(bench.work(gone, candidate("echo")))
    assert answer.text == "hello there"
    row = (await bench.fact(answer)).attempts[0]
    assert (row.error_class, row.status) == ("bad_credential", None)
    alone = await bench.ask(bench.work(gone))
    assert alone.end.refusal is not None
    assert alone.end.refusal.code == "no_provider_key"
