"""How many searches a provider says that it made, whole and streamed; what it sends stays as it is."""

import json
from typing import Any

import pytest

from tests.dialects.support import asked, cut, made, out_of, sse, steps_of
from tollway.dialects.bridge import Served
from tollway.wire.plan import DialectName
from tollway.wire.usage import Usage


def whole(dialect: DialectName, answer: dict[str, Any], request: dict[str, Any]) -> Usage:
    bridge, body = made(dialect, dialect), json.dumps(answer).encode()
    asked(bridge, request)
    served = bridge.answer(200, body)
    assert isinstance(served, Served), served
    assert served.body == body
    assert served.usage is not None
    return served.usage


def streamed(dialect: DialectName, data: bytes, request: dict[str, Any]) -> Usage:
    bridge = made(dialect, dialect)
    asked(bridge, request, is_stream=True)
    steps = steps_of(bridge.stream(), cut(data, 100))
    assert steps[-1].fault is None
    assert out_of(steps) == data
    assert steps[-1].usage is not None
    return steps[-1].usage


# -- Anthropic

MESSAGES = {"model": "m", "max_tokens": 9, "messages": [{"role": "user", "content": "hello"}]}
FOUND = {"type": "web_search_result", "url": "https://a.test", "title": "A", "encrypted_content": "x", "page_age": None}
FAILED = {"type": "web_search_tool_result_error", "error_code": "max_uses_exceeded"}
BLOCKS: list[dict[str, Any]] = [
    {"type": "server_tool_use", "id": "srvtoolu_1", "name": "web_search", "input": {"query": "a"}},
    {"type": "web_search_tool_result", "tool_use_id": "srvtoolu_1", "content": [FOUND]},
    {"type": "server_tool_use", "id": "srvtoolu_2", "name": "web_search", "input": {"query": "b"}},
    {"type": "web_search_tool_result", "tool_use_id": "srvtoolu_2", "content": FAILED},
    {"type": "text", "text": "it is"},
]
FIGURES = {"input_tokens": 900, "output_tokens": 30, "server_tool_use": {"web_search_requests": 1}}


def message(**more: Any) -> dict[str, Any]:
    return {"id": "msg_1", "type": "message", "role": "assistant", "model": "m", **more}


def claude_stream(final: dict[str, Any]) -> bytes:
    start = {"input_tokens": 10, "output_tokens": 1, "server_tool_use": {"web_search_requests": 0}}
    blocks = [
        event
        for number, block in enumerate(BLOCKS)
        for event in (
            {"type": "content_block_start", "index": number, "content_block": block},
            {"type": "content_block_stop", "index": number},
        )
    ]
    delta = {"type": "text_delta", "text": "it is"}
    return sse(
        {"type": "message_start", "message": message(content=[], usage=start)},
        *blocks,
        {"type": "content_block_delta", "index": 4, "delta": delta},
        {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": final},
        {"type": "message_stop"},
        named=True,
    )


def test_anthropic_says_how_often_it_searched() -> None:
    answer = message(content=BLOCKS, stop_reason="end_turn", usage=FIGURES)
    assert whole("anthropic_messages", answer, MESSAGES) == Usage(900, 30, searches=1)


def test_anthropic_says_so_at_the_end_of_a_stream_with_all_its_input_or_without() -> None:
    assert streamed("anthropic_messages", claude_stream(FIGURES), MESSAGES) == Usage(900, 30, searches=1)
    less = {"output_tokens": 30, "server_tool_use": {"web_search_requests": 1}}
    assert streamed("anthropic_messages", claude_stream(less), MESSAGES) == Usage(10, 30, searches=1)


def test_a_stream_of_anthropic_that_breaks_off_has_searched_as_often_as_it_found_something() -> None:
    bridge = made("anthropic_messages", "anthropic_messages")
    asked(bridge, MESSAGES, is_stream=True)
    data = claude_stream(FIGURES)
    steps = bridge.stream().feed(data[: data.index(b"event: message_delta")])
    assert steps[-1].usage == Usage(10, None, searches=1)


def test_an_absurd_count_of_searches_is_unknown() -> None:
    usage = {**FIGURES, "server_tool_use": {"web_search_requests": -4}}
    answer = message(content=BLOCKS, stop_reason="end_turn", usage=usage)
    assert whole("anthropic_messages", answer, MESSAGES).searches is None


# -- OpenAI

RESPONSES = {"model": "m", "input": "hello"}


def call(action: dict[str, Any] | None, number: int = 0) -> dict[str, Any]:
    return {"id": f"ws_{number}", "type": "web_search_call", "status": "completed", "action": action}


CALLS = [
    call({"type": "search", "query": "a"}),
    call({"type": "open_page", "url": "https://a.test"}, 1),
    call({"type": "find_in_page", "pattern": "x", "url": "https://a.test"}, 2),
    call({"type": "search", "queries": ["b", "c"]}, 3),
    call(None, 4),
]
TEXT = {
    "id": "msg_1",
    "type": "message",
    "status": "completed",
    "role": "assistant",
    "content": [{"type": "output_text", "text": "it is", "annotations": []}],
}


def response(status: str, **more: Any) -> dict[str, Any]:
    return {"id": "resp_1", "object": "response", "created_at": 1, "status": status, "model": "m", **more}


OVER = response("completed", output=[*CALLS, TEXT], usage={"input_tokens": 900, "output_tokens": 30})


def openai_stream(*, is_told_by_items: bool = True, is_told_at_end: bool = True) -> bytes:
    items = CALLS if is_told_by_items else []
    done = [{"type": "response.output_item.done", "output_index": n, "item": item} for n, item in enumerate(items)]
    over = OVER if is_told_at_end else {**OVER, "output": []}
    return sse(
        {"type": "response.created", "response": response("in_progress", output=[])},
        *done,
        {"type": "response.output_text.delta", "output_index": 5, "content_index": 0, "delta": "it is"},
        {"type": "response.output_item.done", "output_index": 5, "item": TEXT},
        {"type": "response.completed", "response": over},
        named=True,
    )


def test_openai_bills_searches_and_not_the_pages_that_are_opened() -> None:
    assert whole("openai_responses", OVER, RESPONSES) == Usage(900, 30, searches=3)


@pytest.mark.parametrize(("by_items", "at_end"), [(True, True), (True, False), (False, True)])
def test_openai_says_so_in_the_items_of_a_stream_and_at_its_end(by_items: bool, at_end: bool) -> None:
    data = openai_stream(is_told_by_items=by_items, is_told_at_end=at_end)
    assert streamed("openai_responses", data, RESPONSES) == Usage(900, 30, searches=3)


def test_a_stream_of_openai_that_breaks_off_has_searched_as_often_as_it_said() -> None:
    bridge = made("openai_responses", "openai_responses")
    asked(bridge, RESPONSES, is_stream=True)
    data = openai_stream()
    steps = bridge.stream().feed(data[: data.index(b"event: response.completed")])
    assert steps[-1].usage == Usage(searches=3)


def test_an_answer_without_searches_says_nothing_of_them() -> None:
    answer = response("completed", output=[TEXT], usage={"input_tokens": 9, "output_tokens": 3})
    assert whole("openai_responses", answer, RESPONSES) == Usage(9, 3)


# -- Gemini

CONTENTS = {"contents": [{"parts": [{"text": "hello"}]}]}
COUNTS = {"promptTokenCount": 9, "candidatesTokenCount": 3}


def candidate(grounding: dict[str, Any] | None, **more: Any) -> dict[str, Any]:
    found = {"content": {"role": "model", "parts": [{"text": "it is"}]}, "index": 0, **more}
    return found if grounding is None else {**found, "groundingMetadata": grounding}


@pytest.mark.parametrize(
    ("grounding", "searches"),
    [
        ({"webSearchQueries": ["a", "b"], "groundingChunks": []}, 1),
        ({"searchEntryPoint": {"renderedContent": "<div>"}}, 1),
        ({}, None),
        ({"groundingChunks": [{"maps": {"uri": "x"}}]}, None),
        (None, None),
    ],
)
def test_gemini_bills_a_prompt_that_was_grounded_in_a_search_once(
    grounding: dict[str, Any] | None, searches: int | None
) -> None:
    answer = {"candidates": [candidate(grounding, finishReason="STOP")] * 2, "usageMetadata": COUNTS}
    assert whole("gemini", answer, CONTENTS) == Usage(9, 3, searches=searches)
    data = sse(
        {"candidates": [candidate(grounding)], "usageMetadata": COUNTS},
        {"candidates": [candidate(None, finishReason="STOP")], "usageMetadata": COUNTS},
    )
    assert streamed("gemini", data, CONTENTS) == Usage(9, 3, searches=searches)
