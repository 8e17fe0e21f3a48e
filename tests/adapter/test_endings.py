"""Streams that we end ourselves, read back by the SDKs' own rules."""

import asyncio
import json
from typing import Any

import pytest

from tests.adapter.conftest import Bench, candidate
from tests.adapter.test_streams import Purse
from tollway.adapter.endings import Output, length_ending
from tollway.adapter.extending import choices_of, tokens_used
from tollway.adapter.pursuit import Pursuit
from tollway.wire.plan import DialectName

BODIES: dict[DialectName, dict[str, object]] = {
    "openai_chat": {"messages": [{"role": "user", "content": "go on"}]},
    "openai_responses": {"input": "go on"},
    "anthropic_messages": {"messages": [{"role": "user", "content": "go on"}], "max_tokens": 8000},
}
SURFACES = {"openai_chat": "chat", "openai_responses": "responses", "anthropic_messages": "messages"}


def events(data: bytes) -> list[dict[str, object]]:
    return [json.loads(line[5:]) for line in data.splitlines() if line.startswith(b"data: {")]


@pytest.mark.parametrize("dialect", BODIES)
async def test_a_stream_without_credit_ends_well_formed_in_every_dialect(bench: Bench, dialect: DialectName) -> None:
    purse = Purse(bench, grants=0)
    await purse.open()
    work = bench.work(
        candidate("echo;chunks=100;size=12000;delay=2"),
        is_stream=True,
        dialect=dialect,
        surface=SURFACES[dialect],
        body=json.dumps({"model": "x", "stream": True, **BODIES[dialect]}).encode(),
        tokens_output_cap=1000,
        tokens_output_wanted=8000,
    )
    answer = await bench.ask(work)
    assert (answer.end.outcome, answer.end.stop) == ("credit_exhausted", "insufficient_credits")
    assert answer.end.refusal is None
    CHECKS[dialect](events(answer.data), answer.data)


async def test_a_client_that_hangs_up_while_the_end_is_counted_leaves_no_hold_open(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    counting, billed = asyncio.Event(), Pursuit._billed

    async def slow(self: Pursuit, *args: Any) -> Any:
        counting.set()
        await asyncio.sleep(0.2)
        return await billed(self, *args)

    monkeypatch.setattr(Pursuit, "_billed", slow)
    purse = Purse(bench, grants=0)
    await purse.open()
    model = candidate("echo;chunks=100;size=12000;delay=2")
    work = bench.work(model, is_stream=True, tokens_output_cap=1000, tokens_output_wanted=8000)
    answer = await bench.send(work)
    await counting.wait()
    bench.cancel(answer)
    assert (await bench.fact(answer)).outcome == "credit_exhausted"
    assert bench.adapter.in_flight == 0


def _check_chat(found: list[dict[str, object]], data: bytes) -> None:
    assert data.rstrip().endswith(b"data: [DONE]")
    assert len({event["id"] for event in found}) == 1
    assert [event["choices"][0]["finish_reason"] for event in found][-1] == "length"  # type: ignore[index]


def _check_messages(found: list[dict[str, object]], _data: bytes) -> None:
    kinds = [event["type"] for event in found]
    assert kinds[-3:] == ["content_block_stop", "message_delta", "message_stop"]
    assert kinds.count("content_block_start") == kinds.count("content_block_stop")
    assert found[-2]["delta"]["stop_reason"] == "max_tokens"  # type: ignore[index]
    assert found[-2]["usage"]["output_tokens"] > 0  # type: ignore[index]


def _check_responses(found: list[dict[str, object]], _data: bytes) -> None:
    last = found[-1]
    assert last["type"] == "response.incomplete"
    assert last["response"]["status"] == "incomplete"  # type: ignore[index]
    assert last["response"]["id"] == found[0]["response"]["id"]  # type: ignore[index]
    said = "".join(str(event["delta"]) for event in found if event["type"] == "response.output_text.delta")
    [message] = last["response"]["output"]  # type: ignore[index]
    assert (message["status"], message["content"][0]["text"]) == ("incomplete", said)
    assert len(said) > 1000
    numbers = [event["sequence_number"] for event in found]
    assert numbers == sorted(numbers)  # type: ignore[type-var]
    assert len(set(numbers)) == len(numbers)


CHECKS = {"openai_chat": _check_chat, "anthropic_messages": _check_messages, "openai_responses": _check_responses}


def test_output_that_was_done_stays_and_what_was_under_way_is_incomplete() -> None:
    done = {"type": "reasoning", "id": "rs_1", "summary": []}
    call = {"type": "function_call", "id": "fc_1", "name": "f", "arguments": "", "status": "in_progress"}
    told = [
        {"type": "response.output_item.added", "output_index": 0, "item": {**done, "status": "in_progress"}},
        {"type": "response.output_item.done", "output_index": 0, "item": done},
        {"type": "response.output_item.added", "output_index": 1, "item": call},
        {"type": "response.function_call_arguments.delta", "output_index": 1, "delta": '{"a"'},
    ]
    output = Output()
    for event in told:
        output.hear(b"event: x\ndata: " + json.dumps(event).encode() + b"\n\n")
    assert output.items() == [done, {**call, "status": "incomplete", "arguments": '{"a"'}]


def test_every_choice_of_a_stream_is_ended() -> None:
    begin = b'data: {"choices":[{"index":0,"delta":{"content":"x"}}]}\n\ndata: {"choices":[{"index":1,"delta":{}}]}\n\n'
    [last] = events(length_ending("openai_chat", begin, b"", 5) or b"")
    assert [(it["index"], it["finish_reason"]) for it in last["choices"]] == [(0, "length"), (1, "length")]  # type: ignore[attr-defined]


def test_a_block_that_is_closed_already_is_not_closed_again() -> None:
    tail = b'data: {"type":"content_block_stop","index":3}\n\nevent: ping\ndata: {"type":"ping"}\n\n'
    kinds = [event["type"] for event in events(length_ending("anthropic_messages", b"", tail, 5) or b"")]
    assert kinds == ["message_delta", "message_stop"]


def test_half_an_event_at_the_begin_of_a_tail_is_passed_over() -> None:
    tail = b'a":1}\n\ndata: {"type":"content_block_delta","index":2}\n\n'
    assert events(length_ending("anthropic_messages", b"", tail, 5) or b"")[0] == {
        "type": "content_block_stop",
        "index": 2,
    }


def test_an_embedding_has_no_such_ending() -> None:
    assert length_ending("openai_embeddings", b"", b"", 0) is None


@pytest.mark.parametrize(
    ("body", "choices"),
    [(b'{"n":3}', 3), (b"{}", 1), (b'{"n":0}', 1), (b'{"n":null}', 1), (b'{"n":"x"}', 1), (b'"n"', 1)],
)
def test_choices_are_read_from_the_body(body: bytes, choices: int) -> None:
    assert choices_of(body) == choices


def test_what_is_used_is_bounded_from_above() -> None:
    assert tokens_used(3000, None) == 1000
    assert tokens_used(3000, 1200) == 1200
