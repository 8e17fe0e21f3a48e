"""What an account says that its provider takes: the rest does not arrive there, and the output limit always does."""

import asyncio
import json
from typing import Any

import msgspec

from tests.adapter.conftest import Bench, RawProvider, candidate
from tollway.wire.plan import Skipped


async def answer_shortly(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    choice = {"index": 0, "message": {"role": "assistant", "content": "mine"}, "finish_reason": "stop"}
    usage = {"prompt_tokens": 3, "completion_tokens": 1}
    body = json.dumps({"id": "c", "model": "m", "choices": [choice], "usage": usage}).encode()
    writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%s" % (len(body), body))


def asking(**fields: Any) -> bytes:
    return msgspec.json.encode({"model": "x", "messages": [{"role": "user", "content": "hello there"}], **fields})


async def test_what_is_not_listed_does_not_arrive_and_is_named(bench: Bench) -> None:
    async with RawProvider(answer_shortly) as provider:
        own = provider.candidate(supported_params=("top_p",))
        answer = await bench.ask(bench.work(own, body=asking(temperature=0.5, top_p=0.5, seed=7, user="u")))
        [request] = provider.requests
    sent = json.loads(request.partition(b"\r\n\r\n")[2])
    assert sent.keys() == {"model", "messages", "top_p", "max_tokens"}
    assert (answer.text, answer.end.dropped) == ("mine", ("temperature", "seed", "user"))


async def test_the_limit_that_the_hold_covers_is_sent_though_no_name_of_it_is_listed(bench: Bench) -> None:
    async with RawProvider(answer_shortly) as provider:
        own = provider.candidate(supported_params=())
        await bench.ask(bench.work(own, body=asking(max_tokens=5000), tokens_output_cap=300, tokens_output_wanted=300))
        [request] = provider.requests
    assert json.loads(request.partition(b"\r\n\r\n")[2])["max_tokens"] == 300


async def test_a_request_that_would_mean_something_else_goes_to_the_next_candidate(bench: Bench) -> None:
    async with RawProvider(answer_shortly) as provider:
        own = provider.candidate(supported_params=("temperature",))
        answer = await bench.ask(bench.work(own, candidate("echo"), body=asking(stop=["zzz"])))
        assert provider.requests == []
    assert (answer.text, answer.end.attempts, answer.end.dropped) == ("hello there", 1, ())
    assert (await bench.fact(answer)).skipped == (Skipped("mine", "m", "", "unsupported_parameter"),)


async def test_where_nobody_is_left_the_caller_is_told_the_path_and_nothing_is_charged(bench: Bench) -> None:
    async with RawProvider(answer_shortly) as provider:
        own = provider.candidate(supported_params=("temperature",))
        answer = await bench.ask(bench.work(own, body=asking(stop=["zzz"])))
        assert provider.requests == []
    refusal = answer.end.refusal
    assert refusal is not None
    assert (refusal.code, refusal.param, answer.end.cost_nusd) == ("unsupported_parameter", "stop", 0)
