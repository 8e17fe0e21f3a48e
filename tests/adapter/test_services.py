"""Service tiers on the operator's credential and on an account's own, with a provider that says what it gave."""

from typing import Any

import msgspec

from tests.adapter.conftest import PRICE, Answer, Bench, candidate
from tollway.wire.plan import Candidate, ServicePrice
from tollway.wire.pricing import charge_nusd
from tollway.wire.work import Work

PRIORITY = msgspec.structs.replace(PRICE, services=(ServicePrice("priority", 10**10, 10**11),))


def responses(model: str = "echo", **more: Any) -> Candidate:
    return candidate(model, dialect="openai_responses", **more)


def work(bench: Bench, *candidates: Candidate, **fields: Any) -> Work:
    """A request of OpenAI Responses, whose answer repeats the tier; the simulator's chat says `default`."""
    body = {"model": "x", "input": "hello there", **fields}
    return bench.work(*candidates, dialect="openai_responses", surface="responses", body=msgspec.json.encode(body))


def tier(answer: Answer) -> str:
    return msgspec.json.decode(answer.data)["service_tier"]


async def test_a_service_without_a_price_is_not_asked_for_and_named(bench: Bench) -> None:
    answer = await bench.ask(work(bench, responses(), service_tier="priority"))
    assert tier(answer) == "default"
    assert answer.end.dropped == ("service_tier",)
    assert (await bench.fact(answer)).usage.service is None


async def test_a_service_with_a_price_is_asked_for_and_charged_at_it(bench: Bench) -> None:
    answer = await bench.ask(work(bench, responses(price=PRIORITY), service_tier="priority"))
    assert (tier(answer), answer.end.dropped) == ("priority", ())
    fact = await bench.fact(answer)
    assert fact.usage.service == "priority"
    assert fact.attempts[0].usage.service == "priority"
    assert answer.end.cost_nusd == charge_nusd(fact.usage, PRIORITY, is_managed=True)
    plain = msgspec.structs.replace(fact.usage, service=None)
    assert (answer.end.cost_nusd or 0) > charge_nusd(plain, PRIORITY, is_managed=True)


async def test_a_provider_that_gave_the_ordinary_service_is_paid_for_that(bench: Bench) -> None:
    body = {"model": "x", "messages": [{"role": "user", "content": "hello there"}], "service_tier": "priority"}
    answer = await bench.ask(bench.work(candidate(price=PRIORITY), body=msgspec.json.encode(body)))
    assert tier(answer) == "default"
    fact = await bench.fact(answer)
    assert (fact.usage.service, answer.end.dropped) == (None, ())
    assert answer.end.cost_nusd == charge_nusd(fact.usage, PRICE, is_managed=True)


async def test_a_service_that_nobody_asked_for_is_not_charged(bench: Bench) -> None:
    answer = await bench.ask(work(bench, responses(price=PRIORITY)))
    assert (await bench.fact(answer)).usage.service is None


async def test_on_an_accounts_own_key_every_service_passes(bench: Bench) -> None:
    own = responses(is_managed=False, credential_id="", provider="box", base_url=bench.simulator.base_url,
                    is_private_address_allowed=True)  # fmt: skip
    answer = await bench.ask(work(bench, own, service_tier="priority"))
    assert (tier(answer), answer.end.dropped) == ("priority", ())


async def test_a_region_is_left_to_a_candidate_that_may_have_it(bench: Bench) -> None:
    body = {
        "model": "x", "max_tokens": 20, "messages": [{"role": "user", "content": "hello"}], "inference_geo": "us",
    }  # fmt: skip
    managed = candidate(dialect="anthropic_messages")
    asked = bench.work(managed, dialect="anthropic_messages", surface="messages", body=msgspec.json.encode(body))
    answer = await bench.ask(asked)
    assert answer.end.refusal is not None
    assert (answer.end.refusal.code, answer.end.refusal.param) == ("unsupported_parameter", "inference_geo")
