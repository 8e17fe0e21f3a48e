"""What must never happen and happens, seen from a raw socket."""

import asyncio
import json
import zlib
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import httpx
import openai
import pytest

from tollway.simulator import Simulator
from tollway.simulator.hostile import awkward

TEXT = "hello big wide world"
STREAMED = [True, False]


def asking(model: str, *, stream: bool = False, text: str = TEXT) -> dict[str, Any]:
    return {"model": model, "stream": stream, "messages": [{"role": "user", "content": text}]}


@asynccontextmanager
async def asked(simulator: Simulator, body: dict[str, Any]) -> AsyncIterator[asyncio.StreamReader]:
    """A raw connection on which the request was sent."""
    reader, writer = await asyncio.open_connection("127.0.0.1", simulator.port)
    raw = json.dumps(body).encode()
    head = f"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-length: {len(raw)}\r\n\r\n"
    writer.write(head.encode() + raw)
    try:
        yield reader
    finally:
        writer.close()
        await asyncio.gather(writer.wait_closed(), return_exceptions=True)


async def until(is_so: Callable[[], bool]) -> None:
    """Wait until the simulator has noticed; the test's own timeout bounds it."""
    while not is_so():  # noqa: ASYNC110 - the simulator has no event to wait for, on purpose
        await asyncio.sleep(0.005)


async def test_a_silent_provider_says_nothing_until_the_client_leaves(simulator: Simulator) -> None:
    async with asked(simulator, asking("fail-timeout")) as reader:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(reader.read(1), 0.1)
    await until(lambda: len(simulator.tally) == 1)
    entry = simulator.tally.entries()[0]
    assert (entry.outcome, entry.status, entry.tokens_input) == ("cancelled_by_client", None, 0)
    assert entry.disconnected_ms


async def test_a_reset_arrives_before_any_byte(simulator: Simulator) -> None:
    async with asked(simulator, asking("fail-reset")) as reader:
        with pytest.raises(ConnectionResetError):
            await reader.read()


async def test_a_close_arrives_before_any_byte(simulator: Simulator) -> None:
    async with asked(simulator, asking("fail-close")) as reader:
        assert await reader.read() == b""


@pytest.mark.parametrize("model", ["fail-cut", "fail-half-close"])
async def test_a_cut_stream_has_no_end(simulator: Simulator, model: str) -> None:
    async with asked(simulator, asking(f"{model};after=3", stream=True)) as reader:
        received = await reader.read()
    assert received.count(b'"content":') == 1 + 3
    assert b"[DONE]" not in received
    assert not received.endswith(b"0\r\n\r\n")


async def test_a_cut_body_is_shorter_than_promised(simulator: Simulator) -> None:
    async with asked(simulator, asking("fail-cut;bytes=10")) as reader:
        head, body = (await reader.read()).split(b"\r\n\r\n", 1)
    assert len(body) == 10
    assert b"content-length: 10\r\n" not in head


async def test_a_stream_can_end_in_a_reset(simulator: Simulator) -> None:
    async with asked(simulator, asking("fail-cut-reset;after=1", stream=True)) as reader:
        assert b"hello" in await reader.readuntil(b'"hello "')
        with pytest.raises(ConnectionResetError):
            await reader.read()


async def test_what_was_sent_before_a_cut_is_billed(simulator: Simulator) -> None:
    async with asked(simulator, asking("fail-cut;after=2", stream=True)) as reader:
        await reader.read()
    entry = simulator.tally.entries()[0]
    assert (entry.outcome, entry.chunks_sent) == ("cut", 2)
    assert (entry.tokens_input, entry.tokens_output) == (5, -(-len("hello big ") // 4))


async def test_a_stalled_stream_goes_silent(simulator: Simulator) -> None:
    async with asked(simulator, asking("fail-stall;after=1", stream=True)) as reader:
        await reader.readuntil(b'"hello "')
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(reader.readuntil(b'"big "'), 0.1)
    await until(lambda: len(simulator.tally) == 1)
    assert simulator.tally.entries()[0].chunks_sent == 1


async def test_a_client_that_leaves_is_noticed_and_billed_for_what_it_got(simulator: Simulator) -> None:
    async with asked(simulator, asking("slow;chunks=4;delay=60000", stream=True)) as reader:
        await reader.readuntil(b'"hello "')
    await until(lambda: len(simulator.tally) == 1)
    entry = simulator.tally.entries()[0]
    assert (entry.outcome, entry.chunks_sent) == ("cancelled_by_client", 1)
    assert (entry.tokens_input, entry.tokens_output) == (5, 2)
    assert entry.disconnected_ms
    assert entry.disconnected_ms >= entry.at_ms


async def test_a_whole_answer_nobody_waited_for_is_billed_all_the_same(simulator: Simulator) -> None:
    async with asked(simulator, asking("echo;ttft=60000")):
        await until(lambda: simulator.desk.room.open_count() == 1)
    await until(lambda: len(simulator.tally) == 1)
    entry = simulator.tally.entries()[0]
    assert (entry.outcome, entry.tokens_output) == ("cancelled_by_client", 5)


@pytest.mark.parametrize("stream", STREAMED)
@pytest.mark.parametrize(
    ("model", "says"),
    [
        ("fail-garbage", b'"choices": [{'),
        ("fail-html", b"<html>"),
        ("fail-error-in-stream", b'"server_error"'),
        ("fail-error-in-stream;status=429", b'"rate_limit_exceeded"'),
        ("fail-utf8", b"\xc3\x28\xff\xfe"),
    ],
)
async def test_a_200_is_not_a_success(http: httpx.AsyncClient, model: str, stream: bool, says: bytes) -> None:
    answer = await http.post("/v1/chat/completions", json=asking(model, stream=stream))
    assert answer.status_code == 200
    assert says in answer.content
    assert b"[DONE]" not in answer.content or model == "fail-utf8"


@pytest.mark.parametrize("after", [-1, 0, 1, 3])
async def test_an_error_comes_after_so_many_pieces(http: httpx.AsyncClient, after: int) -> None:
    answer = await http.post("/v1/chat/completions", json=asking(f"fail-error-in-stream;after={after}", stream=True))
    events = [json.loads(line.removeprefix("data: ")) for line in answer.text.split("\n\n") if line]
    assert [event.get("error") is not None for event in events] == [False] * (after + 1) + [True]


@pytest.mark.parametrize("stream", STREAMED)
async def test_an_empty_200_is_empty(http: httpx.AsyncClient, stream: bool) -> None:
    answer = await http.post("/v1/chat/completions", json=asking("fail-empty", stream=stream))
    assert (answer.status_code, answer.content) == (200, b"")


async def test_an_endless_stream_never_says_why_it_ended(http: httpx.AsyncClient) -> None:
    answer = await http.post("/v1/chat/completions", json=asking("fail-no-done", stream=True))
    assert TEXT.split()[-1] in answer.text
    assert "[DONE]" not in answer.text
    assert '"stop"' not in answer.text
    whole = await http.post("/v1/chat/completions", json=asking("fail-no-done"))
    assert whole.json()["choices"][0]["finish_reason"] is None


async def test_a_redirect_points_elsewhere(http: httpx.AsyncClient) -> None:
    answer = await http.post("/v1/chat/completions", json=asking("fail-redirect;to=http://127.0.0.1:1/x"))
    assert (answer.status_code, answer.headers["location"]) == (302, "http://127.0.0.1:1/x")


@pytest.mark.parametrize(
    ("model", "claimed"),
    [
        ("fail-usage-huge", "1000000000000"),
        ("fail-usage-negative", "-100"),
        ("fail-usage-zero", "0"),
        ("fail-usage-nan", "NaN"),
        ("fail-usage-2e63", "9223372036854775808"),
        ("fail-usage-float", "12.5"),
        ("fail-usage-text", '"many"'),
        ("fail-usage-null", "null"),
    ],
)
@pytest.mark.parametrize("stream", STREAMED)
async def test_usage_can_be_a_lie_and_the_tally_knows_better(
    simulator: Simulator, http: httpx.AsyncClient, model: str, claimed: str, stream: bool
) -> None:
    body = {**asking(model, stream=stream), "stream_options": {"include_usage": True}}
    answer = await http.post("/v1/chat/completions", json=body)
    assert f'"completion_tokens":{claimed},' in answer.text
    entry = simulator.tally.entries()[0]
    assert (entry.outcome, entry.tokens_output, entry.is_usage_told) == ("completed", 5, False)


async def test_usage_can_be_missing(simulator: Simulator, chat: openai.AsyncOpenAI) -> None:
    answer = await chat.chat.completions.create(**asking("fail-no-usage"))
    assert answer.usage is None
    assert simulator.tally.entries()[0].is_usage_told is False


async def test_headers_and_bodies_can_come_byte_by_byte(simulator: Simulator) -> None:
    async with asked(simulator, asking("fail-slow-headers;delay=1")) as reader:
        assert await reader.readexactly(9) == b"HTTP/1.1 "
        assert b"content-length" in await reader.readuntil(b"\r\n\r\n")
        assert TEXT.encode() in await reader.readuntil(b'"refusal"')
    async with asked(simulator, asking("fail-drip;delay=60000")) as reader:
        await reader.readuntil(b"\r\n\r\n")
        assert await reader.read(1024) == b"{"


@pytest.mark.parametrize("stream", STREAMED)
async def test_a_line_can_be_very_long_and_still_valid(http: httpx.AsyncClient, stream: bool) -> None:
    answer = await http.post("/v1/chat/completions", json=asking("fail-long-line;bytes=200000", stream=stream))
    lines = [line.removeprefix("data: ") for line in answer.text.split("\n") if line and "[DONE]" not in line]
    assert 200_000 < max(map(len, lines)) < 201_000
    assert all(json.loads(line)["id"] for line in lines)


@pytest.mark.parametrize("model", ["fail-crlf", "fail-split", "fail-drip;delay=0", "echo;keepalive=1"])
@pytest.mark.parametrize("text", [TEXT, "héllo wörld 漢字 🙂 end"])
async def test_unkind_streams_are_valid(chat: openai.AsyncOpenAI, model: str, text: str) -> None:
    stream = await chat.chat.completions.create(**asking(model, stream=True, text=text))
    chunks = [chunk async for chunk in stream]
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == text
    assert chunks[-1].choices[0].finish_reason == "stop"
    whole = await chat.chat.completions.create(**asking(model, text=text))
    assert whole.choices[0].message.content == text


async def test_all_line_ends_of_the_standard_occur(http: httpx.AsyncClient) -> None:
    body = (await http.post("/v1/chat/completions", json=asking("fail-crlf", stream=True))).content
    assert b"\r\n\r\ndata" in body
    assert b"}\n\ndata" in body
    assert b"}\r\rdata" in body


def test_awkward_cuts_lie_inside_characters() -> None:
    data = "data: é🙂\n\n".encode()
    assert b"".join(awkward(data)) == data
    assert any(not _is_utf8(piece) for piece in awkward(data))


def _is_utf8(data: bytes) -> bool:
    try:
        return data.decode() is not None
    except UnicodeDecodeError:
        return False


@pytest.mark.parametrize("stream", STREAMED)
async def test_a_gzip_bomb_is_small_valid_and_grows_a_thousandfold(http: httpx.AsyncClient, stream: bool) -> None:
    size = 5_000_000
    body = asking(f"fail-gzip-bomb;bytes={size}", stream=stream)
    async with http.stream("POST", "/v1/chat/completions", json=body) as answer:
        assert answer.headers["content-encoding"] == "gzip"
        packed = b"".join([part async for part in answer.aiter_raw()])
    unpacked = zlib.decompress(packed, wbits=31)
    assert len(packed) * 500 < size < len(unpacked)
    assert TEXT.split()[-1] in unpacked.decode()


async def test_a_reader_that_does_not_read_stops_the_simulator(simulator: Simulator) -> None:
    async with asked(simulator, asking("runaway;size=16000000;chunks=4000", stream=True)) as reader:
        await reader.readuntil(b'"content"')
        await asyncio.sleep(0.05)
        assert simulator.desk.room.open_count() == 1
    await until(lambda: len(simulator.tally) == 1)
    assert 0 < simulator.tally.entries()[0].chunks_sent < 4000
