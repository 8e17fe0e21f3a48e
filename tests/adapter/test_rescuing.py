"""Streams that break and go on with another candidate, for accounts that allow it."""

import asyncio
import json
from collections.abc import Sequence
from typing import Any

import pytest

from tests.adapter.conftest import Bench, RawProvider, candidate, until
from tollway.adapter.rescuing import Seam, is_able
from tollway.wire.plan import Candidate

HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n"


def chunk(delta: dict[str, Any], *, finish: str | None = None, name: str = "first") -> bytes:
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    event = {"id": name, "object": "chat.completion.chunk", "created": 1, "model": f"m-{name}", "choices": [choice]}
    return b"data: " + json.dumps(event).encode() + b"\n\n"


def words(*texts: str, name: str = "first") -> list[bytes]:
    return [
        chunk({"role": "assistant", "content": ""}, name=name),
        *(chunk({"content": it}, name=name) for it in texts),
    ]


def finished(*texts: str, name: str = "second") -> list[bytes]:
    usage = {"id": name, "choices": [], "usage": {"prompt_tokens": 9, "completion_tokens": 3, "total_tokens": 12}}
    end = [chunk({}, finish="stop", name=name), b"data: " + json.dumps(usage).encode() + b"\n\n", b"data: [DONE]\n\n"]
    return [*words(*texts, name=name), *end]


def saying(frames: Sequence[bytes]) -> RawProvider:
    async def script(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(HEAD)
        for frame in frames:
            writer.write(frame)
            await writer.drain()
            await asyncio.sleep(0.01)
        raise ConnectionError

    return RawProvider(script)


def able(provider: RawProvider, name: str = "mistral") -> Candidate:
    return provider.candidate(provider=name)


async def test_a_stream_that_breaks_goes_on_as_one_answer(bench: Bench) -> None:
    async with saying(words("The sky ", "is ")) as broken, saying(finished("blue", " today.")) as second:
        work = bench.work(broken.candidate(), able(second), is_stream=True, is_rescue_allowed=True)
        answer = await bench.ask(work)
        sent = json.loads(second.requests[0].partition(b"\r\n\r\n")[2])
    assert answer.end.outcome == "complete"
    assert answer.text == "The sky is blue today."
    assert sent["messages"][-1] == {"role": "assistant", "content": "The sky is", "prefix": True}
    events = [json.loads(line[6:]) for line in answer.data.splitlines() if line.startswith(b"data: {")]
    assert {event["id"] for event in events} == {"first"}
    assert [event["choices"][0]["delta"].get("role") for event in events if event["choices"]].count("assistant") == 1
    assert answer.data.count(b"data: [DONE]") == 1
    assert b"tollway-seam=11 " in answer.data.replace(b"\n", b" ")
    rows = (await bench.fact(answer)).attempts
    assert [(row.completion, row.retry_action, row.is_served) for row in rows] == [
        ("stream_failed", "next_backend", False),
        ("succeeded", "succeeded", True),
    ]


async def test_without_the_accounts_leave_a_broken_stream_ends_with_an_error(bench: Bench) -> None:
    async with saying(words("The sky ", "is ")) as broken, saying(finished("blue")) as second:
        answer = await bench.ask(bench.work(broken.candidate(), able(second), is_stream=True))
        assert not second.requests
    assert (answer.end.outcome, answer.has_terminator) == ("failed_midstream", False)


async def test_a_model_that_would_begin_anew_is_not_asked_to_go_on(bench: Bench) -> None:
    async with saying(words("The sky ", "is ")) as broken:
        work = bench.work(broken.candidate(), candidate("echo"), is_stream=True, is_rescue_allowed=True)
        answer = await bench.ask(work)
    assert (answer.end.outcome, answer.end.attempts) == ("failed_midstream", 1)


@pytest.mark.parametrize(
    "delta",
    [
        {"tool_calls": [{"index": 0, "id": "c", "function": {"name": "f", "arguments": "{"}}]},
        {"reasoning_content": "let me think"},
    ],
)
async def test_nothing_goes_on_with_tool_calls_or_reasoning_in_flight(bench: Bench, delta: dict[str, Any]) -> None:
    async with saying([*words("Sure. "), chunk(delta)]) as broken, saying(finished("x")) as second:
        work = bench.work(broken.candidate(), able(second), is_stream=True, is_rescue_allowed=True)
        answer = await bench.ask(work)
        assert not second.requests
    assert answer.end.outcome == "failed_midstream"


async def test_a_rescue_that_breaks_too_ends_with_an_error_and_one_attempt_is_the_served_one(bench: Bench) -> None:
    async with saying(words("One ")) as first, saying(words("two ", name="b")) as second:
        work = bench.work(first.candidate(), able(second), is_stream=True, is_rescue_allowed=True)
        answer = await bench.ask(work)
    assert (answer.end.outcome, answer.text, answer.has_terminator) == ("failed_midstream", "One two ", False)
    rows = (await bench.fact(answer)).attempts
    assert [row.is_served for row in rows] == [False, True]


async def test_a_rescue_that_fails_before_its_content_is_still_in_the_middle_of_the_stream(bench: Bench) -> None:
    async with saying(words("One ")) as first, saying([]) as second, saying(finished("two", name="c")) as third:
        work = bench.work(
            first.candidate(), able(second), able(third, "moonshotai"), is_stream=True, is_rescue_allowed=True
        )
        answer = await bench.ask(work)
        last = json.loads(third.requests[0].partition(b"\r\n\r\n")[2])["messages"][-1]
    assert (answer.end.outcome, answer.end.attempts, answer.text) == ("complete", 3, "One two")
    assert last == {"role": "assistant", "content": "One", "partial": True}
    assert (await bench.fact(answer)).outcome == "complete"


async def test_a_candidate_that_cannot_be_asked_is_not_followed_by_one_that_would_begin_anew(bench: Bench) -> None:
    async with saying(words("One ")) as first, saying(finished("two")) as second:
        wordless = able(second, "moonshotai")
        lost = candidate("m", provider="mistral", dialect="openai_embeddings", base_url="https://x.example")
        work = bench.work(first.candidate(), lost, candidate("echo"), is_stream=True, is_rescue_allowed=True)
        answer = await bench.ask(work)
        assert (answer.end.outcome, answer.text) == ("failed_midstream", "One ")
        work = bench.work(first.candidate(), lost, wordless, is_stream=True, is_rescue_allowed=True)
        assert (await bench.ask(work)).text == "One two"


async def test_an_anthropic_client_gets_one_message(bench: Bench) -> None:
    async with saying(words("The sky ", "is ")) as broken, saying(finished("blue")) as second:
        body = {"model": "x", "max_tokens": 50, "stream": True, "messages": [{"role": "user", "content": "hi"}]}
        work = bench.work(
            broken.candidate(),
            able(second),
            is_stream=True,
            is_rescue_allowed=True,
            dialect="anthropic_messages",
            surface="messages",
            body=json.dumps(body).encode(),
        )
        answer = await bench.ask(work)
    assert answer.end.outcome == "complete"
    events = [json.loads(line[5:]) for line in answer.data.splitlines() if line.startswith(b"data:")]
    kinds = [event["type"] for event in events if event["type"] not in ("ping", "content_block_delta")]
    assert kinds == ["message_start", "content_block_start", "content_block_stop", "message_delta", "message_stop"]
    assert "".join(event["delta"]["text"] for event in events if event["type"] == "content_block_delta") == (
        "The sky is blue"
    )


async def test_a_client_that_hangs_up_during_a_rescue_is_billed_for_what_goes_on(bench: Bench) -> None:
    async with saying(words("One ")) as first, saying(words(*["two "] * 200, name="b")) as second:
        work = bench.work(first.candidate(), able(second), is_stream=True, is_rescue_allowed=True)
        answer = await bench.send(work)
        await until(lambda: bool(answer.pieces) and b"two" in answer.data)
        bench.cancel(answer)
        fact = await bench.fact(answer)
    assert fact.outcome == "client_aborted"
    assert (fact.usage.tokens_output or 0) > 0
    assert [row.is_served for row in fact.attempts] == [False, True]


def test_text_that_is_nothing_but_blanks_is_no_begin() -> None:
    seam = Seam("openai_chat")
    seam.heard(b"".join(words("  ", "\n")))
    assert not seam.is_possible
    seam.heard(b"".join(words("x")[1:]))
    assert seam.is_possible


def test_several_choices_cannot_be_sewn() -> None:
    seam = Seam("openai_chat")
    seam.heard(b'data: {"choices":[{"index":1,"delta":{"content":"x"}}]}\n\n')
    assert not seam.is_possible


def test_only_models_that_go_on_are_able() -> None:
    assert is_able(candidate("m", provider="mistral"))
    assert not is_able(candidate("m", provider="openai"))
    assert is_able(candidate("claude-sonnet-4-5-20250929", provider="anthropic"))
    assert is_able(candidate("claude-opus-4-20250514", provider="anthropic"))
    assert not is_able(candidate("claude-sonnet-4-6", provider="anthropic"))
    assert not is_able(candidate("claude-opus-4-7", provider="anthropic"))
