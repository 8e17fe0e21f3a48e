"""Service tiers: what is asked for, and what may be asked for on the operator's credential."""

import json
from typing import Any

import pytest

from tollway.dialects import services
from tollway.dialects.bridge import Intake, bridge, read_intake
from tollway.dialects.built_in import BUILT_IN
from tollway.dialects.services import Fitted
from tollway.wire.plan import DialectName
from tollway.wire.refusals import Refusal

CHAT = {"model": "m", "messages": [{"role": "user", "content": 'say "service_tier": "priority"'}]}
MESSAGES = {**CHAT, "max_tokens": 10}
RESPONSES = {"model": "m", "input": "hello"}


def encoded(**more: Any) -> bytes:
    return json.dumps({**CHAT, **more}).encode()


@pytest.mark.parametrize(
    ("dialect", "body", "service"),
    [
        ("openai_chat", CHAT, ""),
        ("openai_chat", {**CHAT, "service_tier": "priority"}, "priority"),
        ("openai_chat", {**CHAT, "service_tier": "auto"}, ""),
        ("openai_chat", {**CHAT, "service_tier": None}, ""),
        ("openai_responses", {**RESPONSES, "service_tier": "flex"}, "flex"),
        ("anthropic_messages", {**MESSAGES, "speed": "fast"}, "fast"),
        ("anthropic_messages", {**MESSAGES, "service_tier": "standard_only", "speed": "standard"}, ""),
    ],
)
def test_the_service_asked_for_is_known_at_the_way_in(dialect: DialectName, body: dict[str, Any], service: str) -> None:
    intake = read_intake(dialect, json.dumps(body).encode())
    assert isinstance(intake, Intake)
    assert intake.service == service


def test_a_service_without_a_price_is_dropped_by_name_and_the_rest_keeps_its_bytes() -> None:
    body = b'{"model":"m","service_tier":"priority","temperature":1.50,"messages":[ 1 ]}'
    assert services.fitted(body, ()) == Fitted(b'{"model":"m","temperature":1.50,"messages":[ 1 ]}', ("service_tier",))


def test_a_service_with_a_price_passes_as_it_came() -> None:
    body = encoded(service_tier="priority")
    assert services.fitted(body, ("priority",)) == Fitted(body)
    fast = encoded(speed="fast", service_tier="priority")
    found = services.fitted(fast, ("fast",))
    assert isinstance(found, Fitted)
    assert (found.dropped, json.loads(found.body)["speed"]) == (("service_tier",), "fast")


@pytest.mark.parametrize("word", ["auto", "default", "standard_only", None])
def test_what_is_served_anyway_passes(word: str | None) -> None:
    body = encoded(service_tier=word)
    assert services.fitted(body, ()) == Fitted(body)


@pytest.mark.parametrize("value", [7, ["priority"], {"tier": "priority"}, True])
def test_what_is_no_word_is_dropped_rather_than_understood(value: object) -> None:
    found = services.fitted(encoded(service_tier=value), ())
    assert isinstance(found, Fitted)
    assert found.dropped == ("service_tier",)


def test_a_region_is_refused_since_leaving_it_out_would_move_the_data() -> None:
    refused = services.fitted(encoded(inference_geo="us"), ())
    assert isinstance(refused, Refusal)
    assert (refused.code, refused.param) == ("unsupported_parameter", "inference_geo")
    anywhere = encoded(inference_geo="global")
    assert services.fitted(anywhere, ()) == Fitted(anywhere)


def test_words_inside_the_conversation_are_no_fields() -> None:
    body = encoded()
    assert b"service_tier" in body
    assert services.fitted(body, ()) == Fitted(body)


ROWS = {row.id: row for row in BUILT_IN}
CHAT_ANSWER = {
    "id": "c", "object": "chat.completion", "created": 1, "model": "m", "service_tier": "priority",
    "choices": [{"index": 0, "message": {"role": "assistant", "content": "hi"}, "finish_reason": "stop"}],
    "usage": {"prompt_tokens": 3, "completion_tokens": 2},
}  # fmt: skip
RESPONSE = {
    "id": "r", "object": "response", "model": "m", "status": "completed", "service_tier": "priority",
    "output": [{"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "hi"}]}],
    "usage": {"input_tokens": 3, "output_tokens": 2},
}  # fmt: skip
MESSAGE = {
    "id": "a", "type": "message", "role": "assistant", "model": "m", "stop_reason": "end_turn",
    "content": [{"type": "text", "text": "hi"}],
    "usage": {"input_tokens": 3, "output_tokens": 2, "speed": "fast", "service_tier": "standard"},
}  # fmt: skip


@pytest.mark.parametrize(
    ("dialect", "provider", "answer", "service"),
    [
        ("openai_chat", "openai", CHAT_ANSWER, "priority"),
        ("openai_responses", "openai", RESPONSE, "priority"),
        ("anthropic_messages", "anthropic", MESSAGE, "fast"),
    ],
)
def test_the_service_that_the_provider_gave_is_read_from_its_answer(
    dialect: DialectName, provider: str, answer: dict[str, Any], service: str
) -> None:
    made = bridge(dialect, dialect, ROWS[provider])
    assert not isinstance(made, Refusal)
    served = made.answer(200, json.dumps(answer).encode())
    assert served.usage is not None
    assert (served.usage.service, served.usage.tokens_input) == (service, 3)


STREAMS: dict[DialectName, tuple[str, bytes]] = {
    "openai_chat": (
        "openai",
        b'data: {"id":"c","model":"m","service_tier":"priority","choices":[{"index":0,"delta":{"content":"hi"},'
        b'"finish_reason":"stop"}]}\n\n'
        b'data: {"id":"c","model":"m","service_tier":"priority","choices":[],"usage":{"prompt_tokens":3,'
        b'"completion_tokens":2}}\n\ndata: [DONE]\n\n',
    ),
    "openai_responses": (
        "openai",
        b'data: {"type":"response.created","response":{"status":"in_progress"}}\n\n'
        b'data: {"type":"response.output_text.delta","delta":"hi"}\n\n'
        b'data: {"type":"response.completed","response":{"status":"completed","service_tier":"priority",'
        b'"usage":{"input_tokens":3,"output_tokens":2}}}\n\n',
    ),
    "anthropic_messages": (
        "anthropic",
        b'event: message_start\ndata: {"type":"message_start","message":{"model":"m","usage":{"input_tokens":3,'
        b'"output_tokens":1,"speed":"priority"}}}\n\n'
        b'event: content_block_delta\ndata: {"type":"content_block_delta","index":0,"delta":{"type":"text_delta",'
        b'"text":"hi"}}\n\n'
        b'event: message_delta\ndata: {"type":"message_delta","delta":{"stop_reason":"end_turn"},'
        b'"usage":{"output_tokens":2}}\n\nevent: message_stop\ndata: {"type":"message_stop"}\n\n',
    ),
}


@pytest.mark.parametrize("dialect", STREAMS)
def test_the_service_is_read_from_a_stream_too(dialect: DialectName) -> None:
    provider, stream = STREAMS[dialect]
    made = bridge(dialect, dialect, ROWS[provider])
    assert not isinstance(made, Refusal)
    reading = made.stream()
    reading.feed(stream)
    usage = reading.usage
    assert usage is not None
    assert (usage.service, usage.tokens_output) == ("priority", 2)
