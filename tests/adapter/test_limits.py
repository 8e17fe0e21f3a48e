"""One deadline for everything, and bounds on what is read and sent."""

import asyncio

import msgspec
import pytest

from tests.adapter.conftest import Answer, Bench, RawProvider, candidate, until
from tests.adapter.test_streams import UNLIMITED
from tollway import clock
from tollway.adapter import answering
from tollway.bus import Handles
from tollway.wire import subjects
from tollway.wire.access import FetchSealed
from tollway.wire.envelope import Context
from tollway.wire.work import WINDOW_BYTES, Limits

SLOW_AUTH_S = 30.0


async def test_work_that_comes_after_its_deadline_asks_no_provider(bench: Bench) -> None:
    work = msgspec.structs.replace(bench.work(candidate("echo")), deadline_ms=clock.now_ms() - 1)
    answer = await bench.ask(work)
    assert answer.end.refusal is not None
    assert (answer.end.refusal.code, answer.end.attempts) == ("total_timeout", 0)
    assert len(bench.simulator.tally) == 0


async def test_a_dispatch_that_ingress_has_given_up_is_not_taken(bench: Bench) -> None:
    work = bench.work(candidate("echo"))
    stale = Context(work.request_id, deadline_ms=clock.now_ms() - 1)
    bench.ingress.tell(subjects.dispatch("default"), work, context=stale)
    await asyncio.sleep(0.1)
    assert bench.adapter.in_flight == 0
    assert len(bench.simulator.tally) == 0


async def test_an_auth_that_does_not_answer_counts_against_the_deadline(bench: Bench) -> None:
    async def silent(*_: object) -> None:
        await asyncio.sleep(SLOW_AUTH_S)

    await bench.ingress.serve([Handles(subjects.AUTH_SEALED, FetchSealed, silent)], None, queue="auth")
    users = candidate("gpt-4o", provider="openai", credential_id="aigpk_1", is_managed=False)
    work = msgspec.structs.replace(bench.work(users, candidate("echo")), deadline_ms=clock.now_ms() + 300)
    answer = await bench.ask(work)
    assert answer.end.refusal is not None
    assert answer.end.refusal.code == "total_timeout"


@pytest.mark.parametrize("is_stream", [False, True])
async def test_the_attempts_own_limit_is_said_when_it_was_not_the_deadline(bench: Bench, is_stream: bool) -> None:
    limits = Limits(attempt_s=0.2, first_token_s=0.2, chunk_gap_s=5, connect_s=5)
    answer = await bench.ask(bench.work(candidate("fail-timeout"), limits=limits, is_stream=is_stream))
    assert answer.end.refusal is not None
    assert answer.end.refusal.code == "upstream_timeout"
    assert "perRequestTimeout" in answer.end.refusal.message


async def test_the_first_token_has_a_limit_of_its_own(bench: Bench) -> None:
    limits = Limits(attempt_s=20, first_token_s=0.2, chunk_gap_s=20, connect_s=5)
    slow = candidate("echo;ttft=5000")
    answer = await bench.ask(bench.work(slow, candidate("echo"), limits=limits, is_stream=True))
    assert (answer.end.attempts, answer.text) == (2, "hello there")


async def test_a_stream_may_go_on_long_after_the_deadline_for_its_first_content(bench: Bench) -> None:
    work = bench.work(candidate("echo;chunks=8;delay=100"), is_stream=True)
    answer = await bench.ask(msgspec.structs.replace(work, deadline_ms=clock.now_ms() + 300))
    assert answer.end.outcome == "complete"


async def test_the_page_of_an_error_is_read_to_a_bound(bench: Bench) -> None:
    async def script(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 500 Oops\r\n\r\n")
        while True:
            writer.write(b"<p>sorry</p>" * 1000)
            await writer.drain()

    async with RawProvider(script) as provider:
        answer = await bench.ask(bench.work(provider.candidate()))
    assert answer.head is not None
    assert answer.head.status >= 500
    assert len(answer.data) < 4096


async def test_a_stream_that_never_has_content_is_left(bench: Bench) -> None:
    async def script(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n")
        chunk = b'data: {"id":"x","choices":[{"index":0,"delta":{"role":"assistant"}}]}\n\n' * 100
        while True:
            writer.write(chunk)
            await writer.drain()

    async with RawProvider(script) as provider:
        answer = await bench.ask(bench.work(provider.candidate(), candidate("echo"), is_stream=True))
    assert (answer.text, answer.end.attempts) == ("hello there", 2)
    assert (await bench.fact(answer)).attempts[0].error_class == "malformed"


def whole(size: int) -> RawProvider:
    async def script(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        content = {"choices": [{"message": {"content": "y" * size}, "finish_reason": "stop"}]}
        body = msgspec.json.encode(content)
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % len(body) + body)

    return RawProvider(script)


async def _stalled(bench: Bench, provider: RawProvider) -> Answer:
    answer = await bench.send(bench.work(provider.candidate(), **UNLIMITED), is_crediting=False)
    await until(lambda: len(answer.data) >= WINDOW_BYTES)
    await asyncio.sleep(0.2)
    assert len(answer.data) <= WINDOW_BYTES + answering.PIECE_BYTES_MAX
    return answer


async def test_a_large_answer_waits_for_its_client_too(bench: Bench) -> None:
    async with whole(3_000_000) as provider:
        answer = await _stalled(bench, provider)
        assert await bench.fact(answer), "the fact is on disk before the end is told"
        while not answer.ended.is_set():
            bench.credit(answer, len(answer.data))
            await asyncio.sleep(0.01)
        assert answer.text == "y" * 3_000_000


async def test_a_client_that_leaves_in_the_middle_of_a_large_answer_frees_it(bench: Bench) -> None:
    async with whole(3_000_000) as provider:
        answer = await _stalled(bench, provider)
        bench.cancel(answer)
        await until(lambda: bench.adapter.in_flight == 0)
        assert (await bench.fact(answer)).outcome == "complete", "the provider was done, and is paid"


async def test_a_client_that_takes_nothing_of_a_large_answer_is_left_behind(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(answering, "STALL_S", 0.3)
    async with whole(3_000_000) as provider:
        answer = await _stalled(bench, provider)
        await until(lambda: bench.adapter.in_flight == 0)
        assert not answer.ended.is_set()
