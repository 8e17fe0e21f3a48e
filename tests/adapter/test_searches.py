"""Web searches of a provider that makes as many as it is allowed, and says how many they were."""

import asyncio
from typing import Any

import msgspec
import pytest

from tests.adapter.conftest import PRICE, Answer, Bench, RawProvider, candidate
from tollway.dialects.hosted import SEARCHES_MAX
from tollway.wire.plan import Candidate, DialectName
from tollway.wire.pricing import charge_nusd
from tollway.wire.work import Work

CENT = 10_000_000
SEARCHING = msgspec.structs.replace(PRICE, per_search=CENT)
HELD = 50 * CENT
HELLO = [{"role": "user", "content": "hello there"}]


def managed(dialect: DialectName, model: str, **more: Any) -> Candidate:
    return candidate(model, dialect=dialect, price=SEARCHING, **more)


def work(bench: Bench, dialect: DialectName, *candidates: Candidate, limit: int | None = None, **more: Any) -> Work:
    """A request that offers a search, with a limit of its own or without."""
    body: dict[str, Any]
    if dialect == "anthropic_messages":
        tool = {"type": "web_search_20250305", "name": "web_search"} | ({"max_uses": limit} if limit else {})
        body = {"model": "x", "max_tokens": 99, "messages": HELLO, "tools": [tool]}
    else:
        body = {"model": "x", "input": "hello there", "tools": [{"type": "web_search"}]}
        body |= {"max_tool_calls": limit} if limit else {}
    surface = "messages" if dialect == "anthropic_messages" else "responses"
    raw = msgspec.json.encode(body | {"stream": more.get("is_stream", False)})
    return bench.work(*candidates, dialect=dialect, surface=surface, hold_amount_nusd=HELD, body=raw, **more)


async def charged(bench: Bench, answer: Answer) -> tuple[int | None, int]:
    """Searches in the fact, and what they cost; the receipt says the same."""
    fact = await bench.fact(answer)
    assert fact.price is not None
    assert answer.end.cost_nusd == charge_nusd(fact.usage, fact.price, is_managed=fact.is_managed)
    without = msgspec.structs.replace(fact.usage, searches=None)
    return fact.usage.searches, answer.end.cost_nusd - charge_nusd(without, fact.price, is_managed=fact.is_managed)


@pytest.mark.parametrize("dialect", ["anthropic_messages", "openai_responses"])
@pytest.mark.parametrize("is_stream", [False, True])
async def test_searches_are_charged_as_the_provider_counts_them(
    bench: Bench, dialect: DialectName, is_stream: bool
) -> None:
    asked = work(bench, dialect, managed(dialect, "echo;searches=3"), is_stream=is_stream)
    answer = await bench.ask(asked)
    assert await charged(bench, answer) == (3, 3 * CENT)


@pytest.mark.parametrize("dialect", ["anthropic_messages", "openai_responses"])
@pytest.mark.parametrize(("limit", "made"), [(None, SEARCHES_MAX), (4, 4), (30, 30)])
async def test_a_provider_makes_no_more_searches_than_were_held_for(
    bench: Bench, dialect: DialectName, limit: int | None, made: int
) -> None:
    answer = await bench.ask(work(bench, dialect, managed(dialect, "echo;searches=500"), limit=limit))
    assert await charged(bench, answer) == (made, made * CENT)


@pytest.mark.parametrize("dialect", ["anthropic_messages", "openai_responses"])
async def test_on_an_accounts_own_key_nothing_is_limited_and_only_the_fee_is_charged(
    bench: Bench, dialect: DialectName
) -> None:
    own = managed(dialect, "echo;searches=50", is_managed=False, credential_id="", provider="box",
                  base_url=bench.simulator.base_url, is_private_address_allowed=True)  # fmt: skip
    answer = await bench.ask(work(bench, dialect, own))
    assert await charged(bench, answer) == (50, 0)


async def test_a_caller_who_hangs_up_pays_for_the_searches_that_were_made(bench: Bench) -> None:
    model = "slow;searches=2;delay=50;chunks=100"
    answer = await bench.send(
        work(bench, "openai_responses", managed("openai_responses", model), is_stream=True), is_crediting=True
    )
    await asyncio.wait_for(answer.begun.wait(), 5)
    bench.cancel(answer)
    fact = await bench.fact(answer)
    assert (fact.outcome, fact.usage.searches) == ("client_aborted", 2)


async def test_a_tool_is_refused_by_path_where_the_provider_speaks_another_dialect(bench: Bench) -> None:
    other = managed("openai_chat", "echo")
    answer = await bench.ask(work(bench, "anthropic_messages", other))
    assert answer.end.refusal is not None
    assert (answer.end.refusal.code, answer.end.refusal.param) == ("unsupported_parameter", "tools[0]")


async def test_a_model_that_searched_may_have_read_more_than_its_window(bench: Bench) -> None:
    usage = {"input_tokens": 900, "output_tokens": 3, "server_tool_use": {"web_search_requests": 2}}
    answer = {"type": "message", "content": [{"type": "text", "text": "it is"}], "stop_reason": "end_turn"}
    body = msgspec.json.encode({**answer, "usage": usage})

    async def script(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%b" % (len(body), body))

    async with RawProvider(script) as provider:
        told = provider.candidate(tokens_window=400, dialect="anthropic_messages")
        found = await bench.fact(await bench.ask(work(bench, "anthropic_messages", told)))
        assert (found.usage.tokens_input, found.usage.searches) == (900, 2)
        small = provider.candidate(tokens_window=200, dialect="anthropic_messages")
        found = await bench.fact(await bench.ask(work(bench, "anthropic_messages", small)))
        assert found.usage.tokens_input != 900
