"""Figures that a provider reports and that cannot be true; what the receipt says and the ledger charges."""

import asyncio
from typing import Any

import msgspec
import pytest

from tests.adapter.conftest import Bench, RawProvider, candidate
from tollway.wire.pricing import charge_nusd, charged_of
from tollway.wire.usage import Usage
from tollway.wire.work import Limits

WINDOW = 100_000


def reporting(usage: dict[str, Any]) -> RawProvider:
    """A provider that says two words and these figures."""
    answer = {"choices": [{"message": {"content": "hello there"}, "finish_reason": "stop"}], "usage": usage}
    body = msgspec.json.encode(answer)

    async def script(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%b" % (len(body), body))

    return RawProvider(script)


@pytest.mark.parametrize(
    "usage",
    [
        {"prompt_tokens": 5, "completion_tokens": WINDOW + 1},
        {"prompt_tokens": WINDOW + 1, "completion_tokens": 2},
        {"prompt_tokens": 5, "completion_tokens": 2, "prompt_tokens_details": {"cached_tokens": 10**8}},
    ],
)
async def test_more_than_the_model_s_window_is_not_believed(bench: Bench, usage: dict[str, Any]) -> None:
    async with reporting(usage) as provider:
        answer = await bench.ask(bench.work(provider.candidate(tokens_window=WINDOW)))
    fact = await bench.fact(answer)
    assert (fact.usage.tokens_input or 0) < 100
    assert (fact.usage.tokens_output or 0) < 10
    assert not fact.usage.tokens_cache_read


async def test_a_model_of_unknown_window_is_believed(bench: Bench) -> None:
    async with reporting({"prompt_tokens": 5, "completion_tokens": WINDOW + 1}) as provider:
        answer = await bench.ask(bench.work(provider.candidate(tokens_window=0)))
    assert (await bench.fact(answer)).usage == Usage(5, WINDOW + 1)


async def test_the_receipt_says_what_the_ledger_charges_where_the_cost_is_beyond_the_hold(bench: Bench) -> None:
    async with reporting({"prompt_tokens": 5, "completion_tokens": 1_000_000}) as provider:
        answer = await bench.ask(bench.work(provider.candidate(), hold_amount_nusd=1_000_000))
    cost_nusd = charge_nusd((await bench.fact(answer)).usage, None, is_managed=False)
    assert answer.end.cost_nusd == charged_of(cost_nusd, 1_000_000) < cost_nusd


async def test_what_a_failed_attempt_used_is_estimated_at_once(bench: Bench) -> None:
    limits = Limits(attempt_s=0.2, first_token_s=0.2, chunk_gap_s=5, connect_s=5)
    work = bench.work(candidate("fail-timeout"), candidate("echo"), limits=limits, message="four score " * 40)
    answer = await bench.ask(work)
    failed = (await bench.fact(answer)).attempts[0]
    assert failed.usage == Usage(len(work.body) // 4, 0)
    assert failed.operator_cost_nusd > 0
