"""The same dialect on both sides: bytes pass, but for what Tollway owns; and only a complete stream is a success."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.dialects.support import asked, chunk, cut, made, out_of, sse, steps_of
from tollway.dialects.bridge import Served
from tollway.dialects.faults import Fault
from tollway.dialects.rows import ModelRule
from tollway.wire.plan import DialectName
from tollway.wire.usage import Usage

CHAT: dict[str, Any] = {"model": "asked", "messages": [{"role": "user", "content": "hi"}]}


def body_of(body: Any, dialect: DialectName = "openai_chat", **more: Any) -> dict[str, Any]:
    facts = more.pop("facts", {})
    return json.loads(asked(made(dialect, dialect, **facts), body, **more).body)


# -- requests


def test_values_keep_their_bytes_and_their_order() -> None:
    raw = (
        b'{"zeta": 1.0, "model": "asked", "tiny":1e-07, '
        b'"messages" : [ {"role":"user","content":"\\u00e9"} ], "big":1E400}'
    )
    out = asked(made("openai_chat", "openai_chat"), raw).body
    assert (
        out == b'{"zeta":1.0,"model":"sent-model","tiny":1e-07,'
        b'"messages":[ {"role":"user","content":"\\u00e9"} ],"big":1E400}'
    )


def test_only_the_owned_fields_change() -> None:
    body = {**CHAT, "models": ["other"], "temperature": 0.5, "vendor": {"deep": [1]}, "max_tokens": 10}
    assert body_of(body, cap=100) == {
        "model": "sent-model",
        "messages": CHAT["messages"],
        "temperature": 0.5,
        "vendor": {"deep": [1]},
        "max_tokens": 10,
    }


def test_a_stream_asks_for_usage_and_keeps_other_options() -> None:
    body = {**CHAT, "stream": True, "stream_options": {"include_obfuscation": False}}
    sent = body_of(body, is_stream=True)
    assert sent["stream_options"] == {"include_obfuscation": False, "include_usage": True}
    assert body_of({**CHAT, "stream": True}, is_stream=True)["stream_options"] == {"include_usage": True}


@pytest.mark.parametrize("style", ["always", "never"])
def test_a_provider_that_refuses_the_question_is_not_asked_for_usage(style: str) -> None:
    body = {**CHAT, "stream": True, "stream_options": {"include_usage": True}}
    assert "stream_options" not in body_of(body, is_stream=True, facts={"usage_in_stream": style})


@pytest.mark.parametrize(
    ("given_limits", "cap", "param", "expected"),
    [
        ({}, 50, "", {"max_tokens": 50}),
        ({}, None, "", {}),
        ({"max_tokens": 10}, 50, "", {"max_tokens": 10}),
        ({"max_tokens": 90}, 50, "", {"max_tokens": 50}),
        ({"max_completion_tokens": 90}, 50, "", {"max_completion_tokens": 50}),
        ({"max_tokens": 10}, 50, "max_completion_tokens", {"max_completion_tokens": 10}),
        ({"max_completion_tokens": 10}, None, "max_tokens", {"max_tokens": 10}),
        ({"max_tokens": 30, "max_completion_tokens": 20}, 50, "", {"max_tokens": 20}),
        ({}, 50, "max_completion_tokens", {"max_completion_tokens": 50}),
    ],
)
def test_the_output_limit_is_the_smaller_one_under_the_provider_s_name(
    given_limits: dict[str, int], cap: int | None, param: str, expected: dict[str, int]
) -> None:
    sent = body_of({**CHAT, **given_limits}, cap=cap, facts={"output_limit_param": param})
    assert {name: sent[name] for name in sent if name.startswith("max_")} == expected


def test_refused_parameters_are_dropped_and_named() -> None:
    rules = (ModelRule("sent-*", ("logit_bias",), "max_completion_tokens"),)
    bridge = made("openai_chat", "openai_chat", refused_params=("user",), model_rules=rules)
    out = asked(bridge, {**CHAT, "user": "u", "logit_bias": {}, "seed": 1}, cap=5)
    assert set(out.dropped) == {"user", "logit_bias"}
    assert json.loads(out.body) == {
        "model": "sent-model",
        "messages": CHAT["messages"],
        "seed": 1,
        "max_completion_tokens": 5,
    }


def test_a_row_s_query_is_part_of_the_path() -> None:
    assert (
        asked(made("openai_chat", "openai_chat", query="?api-version=1"), CHAT).path
        == "/chat/completions?api-version=1"
    )
    streamed = asked(made("gemini", "gemini", query="?v=1"), {"contents": [{"parts": []}]}, is_stream=True)
    assert streamed.path == "/models/sent-model:streamGenerateContent?alt=sse&v=1"


def test_anthropic_s_version_and_betas_are_passed_on() -> None:
    body = json.dumps({"model": "x", "max_tokens": 5, "messages": [{"role": "user", "content": "x"}]}).encode()
    bridge = made("anthropic_messages", "anthropic_messages")
    asked_headers = {"anthropic-beta": "context-1m", "authorization": "secret", "x-stainless-lang": "python"}
    out = bridge.request(body, model_sent="c", tokens_output_cap=None, is_stream=False, headers=asked_headers)
    assert getattr(out, "headers", None) == {
        "content-type": "application/json",
        "anthropic-version": "2023-06-01",
        "anthropic-beta": "context-1m",
    }


@pytest.mark.parametrize("dialect", ["openai_chat", "openai_responses"])
def test_openai_s_betas_are_passed_on_and_nothing_else_of_the_caller_s(dialect: DialectName) -> None:
    body = json.dumps({"model": "x", "messages": [], "input": "x"}).encode()
    told = {"openai-beta": "responses=v1", "authorization": "secret", "cookie": "c"}
    out = made(dialect, dialect).request(body, model_sent="m", tokens_output_cap=None, is_stream=False, headers=told)
    assert getattr(out, "headers", None) == {"content-type": "application/json", "openai-beta": "responses=v1"}


@pytest.mark.parametrize(
    ("dialect", "body", "field"),
    [
        ("anthropic_messages", {"model": "x", "max_tokens": 500, "messages": []}, "max_tokens"),
        ("openai_responses", {"model": "x", "input": "hi"}, "max_output_tokens"),
        ("openai_completions", {"model": "x", "prompt": "hi", "max_tokens": 500}, "max_tokens"),
    ],
)
def test_every_dialect_s_limit_is_capped(dialect: DialectName, body: dict[str, Any], field: str) -> None:
    assert body_of(body, dialect, cap=50)[field] == 50


def test_gemini_s_limit_is_capped_inside_its_config() -> None:
    body = {"model": "x", "contents": [], "generationConfig": {"topK": 3, "maxOutputTokens": 900}}
    sent = body_of(body, "gemini", cap=50)
    assert sent == {"contents": [], "generationConfig": {"topK": 3, "maxOutputTokens": 50}}


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text(st.characters(exclude_categories=["Cs"]), max_size=5), inner, max_size=3)
    ),
    max_leaves=8,
)


@given(
    st.dictionaries(st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=8), json_values, max_size=6),
    st.booleans(),
)
def test_unknown_fields_survive_whatever_they_are(more: dict[str, Any], is_spaced: bool) -> None:
    owned = {"model", "models", "messages", "stream", "stream_options", "max_tokens", "max_completion_tokens"}
    more = {name: value for name, value in more.items() if name not in owned}
    raw = json.dumps({**more, **CHAT}, separators=None if is_spaced else (",", ":"), ensure_ascii=False).encode()
    assert body_of(raw) == {**more, **CHAT, "model": "sent-model"}


# -- answers


def test_an_answer_passes_byte_for_byte() -> None:
    raw = (
        b'{ "id":"c", "model":"answered", "choices":[{"index":0,"message":{"role":"assistant","content":"h\\u00e9"},'
        b'"finish_reason":"stop"}], "usage":{"prompt_tokens":3,"completion_tokens":2,'
        b'"prompt_tokens_details":{"cached_tokens":1},"completion_tokens_details":{"reasoning_tokens":1}}, "x":1.0 }'
    )
    served = made("openai_chat", "openai_chat").answer(200, raw)
    assert isinstance(served, Served)
    assert served.body == raw
    assert (served.stop_reason, served.model_answered, served.text_bytes) == ("stop", "answered", 3)
    assert served.usage == Usage(3, 2, 1, tokens_reasoning=1)


ABSURD = ["-1", "1.5", "NaN", "Infinity", "9223372036854775808", '"12"', "true", "[]", "1e400"]


@pytest.mark.parametrize("figure", ABSURD)
def test_absurd_usage_is_unknown_and_noted(figure: str) -> None:
    raw = (
        '{"choices":[{"message":{"content":"x"},"finish_reason":"stop"}],'
        f'"usage":{{"prompt_tokens":5,"completion_tokens":{figure}}}}}'
    ).encode()
    served = made("openai_chat", "openai_chat").answer(200, raw)
    assert isinstance(served, Served)
    assert served.usage is not None
    assert (served.usage.tokens_input, served.usage.tokens_output) == (5, None)
    assert served.notes
    json.loads(served.body, parse_constant=lambda name: pytest.fail(f"{name} reached the client"))


@pytest.mark.parametrize(
    ("raw", "error_class"),
    [
        (b"", "malformed"),
        (b"<html>bad gateway</html>", "malformed"),
        (b'{"choices":[]}', "malformed"),
        (b'{"object":"list"}', "malformed"),
        (b'{"choices":"x"}', "malformed"),
        (b"[1,2]", "malformed"),
        (b'{"choices":[{"message":{"content":"x"}}', "malformed"),
        (b'{"error":{"message":"slow down","code":"rate_limit_exceeded"}}', "rate_limit"),
        (b'{"error":{"message":"what"}}', "error_in_stream"),
    ],
)
def test_a_success_that_is_none_is_a_fault(raw: bytes, error_class: str) -> None:
    fault = made("openai_chat", "openai_chat").answer(200, raw)
    assert isinstance(fault, Fault)
    assert fault.error_class == error_class
    assert fault.status >= 400
    assert json.loads(fault.body)["error"]["message"]


def test_a_count_of_tokens_is_an_answer() -> None:
    served = made("anthropic_messages", "anthropic_messages").answer(200, b'{"input_tokens": 12}')
    assert isinstance(served, Served)


def test_embeddings_pass_with_their_usage() -> None:
    raw = b'{"object":"list","data":[{"embedding":[0.1]}],"model":"e","usage":{"prompt_tokens":4,"total_tokens":4}}'
    served = made("openai_embeddings", "openai_embeddings").answer(200, raw)
    assert isinstance(served, Served)
    assert (served.body, served.usage) == (raw, Usage(4, 0))


# -- streams

USAGE = {"choices": [], "usage": {"prompt_tokens": 7, "completion_tokens": 2}}
GOOD = sse(
    chunk({"role": "assistant", "content": ""}), chunk({"content": "he"}), chunk({"content": "y"}), chunk({}, "stop")
)
DONE = b"data: [DONE]\n\n"


def relayed(data: bytes, *, size: int = 10_000, is_usage_asked: bool = False, **facts: Any):
    bridge = made("openai_chat", "openai_chat", **facts)
    options = {"stream_options": {"include_usage": True}} if is_usage_asked else {}
    asked(bridge, {**CHAT, "stream": True, **options}, is_stream=True)
    return steps_of(bridge.stream(), cut(data, size))


@given(st.integers(1, 200))
def test_frames_pass_as_they_came_however_they_are_cut(size: int) -> None:
    steps = relayed(GOOD + DONE, size=size)
    assert out_of(steps) == GOOD + DONE
    assert steps[-1].fault is None
    assert sum(step.text_bytes for step in steps) == 3


def test_the_terminator_is_held_back_until_the_end() -> None:
    steps = relayed(GOOD + DONE)
    assert steps[-2].is_terminal
    assert b"[DONE]" not in steps[-2].out
    assert steps[-1].out == DONE


def test_the_first_content_is_told_apart_from_the_role() -> None:
    stream = made("openai_chat", "openai_chat").stream()
    (role,) = stream.feed(sse(chunk({"role": "assistant", "content": ""})))
    (content,) = stream.feed(sse(chunk({"content": "x"})))
    assert (role.has_content, content.has_content) == (False, True)


@pytest.mark.parametrize(
    "delta",
    [
        {"reasoning_content": "x"},
        {"reasoning": "x"},
        {"refusal": "x"},
        {"tool_calls": [{"index": 0, "function": {"name": "f"}}]},
        {"audio": {"data": "AAAA"}},
    ],
)
def test_everything_a_model_writes_is_content(delta: dict[str, Any]) -> None:
    (step,) = made("openai_chat", "openai_chat").stream().feed(sse(chunk(delta)))
    assert step.has_content
    assert step.text_bytes > 0


def test_usage_that_was_not_asked_for_is_taken_out_and_known() -> None:
    steps = relayed(GOOD + sse(USAGE) + DONE)
    assert out_of(steps) == GOOD + DONE
    assert steps[-1].usage == Usage(7, 2)


def test_usage_that_was_asked_for_reaches_the_client() -> None:
    assert out_of(relayed(GOOD + sse(USAGE) + DONE, is_usage_asked=True)) == GOOD + sse(USAGE) + DONE


def test_comments_are_passed_on() -> None:
    assert b": keep-alive" in out_of(relayed(b": keep-alive\n\n" + GOOD + DONE))


def test_nothing_after_the_terminator_is_passed_on() -> None:
    assert out_of(relayed(GOOD + DONE + sse(chunk({"content": "more"})))) == GOOD + DONE


BROKEN: list[tuple[bytes, str]] = [
    (b"", "malformed"),
    (GOOD, "malformed"),
    (GOOD[:-40], "malformed"),
    (DONE, "malformed"),
    (b"<!doctype html><html></html>", "malformed"),
    (b'{"error":{"message":"no","type":"insufficient_quota"}}', "quota"),
    (GOOD + b"data: {broken\n\n" + DONE, "malformed"),
    (GOOD + b"data: [1]\n\n" + DONE, "malformed"),
    (GOOD + sse(chunk({"content": "é"})).decode("unicode_escape").encode("latin-1")[:-3] + b"\xff\n\n", "malformed"),
    (sse({"error": {"message": "overloaded", "type": "overloaded_error"}}), "overloaded"),
    (GOOD + sse({"error": {"message": "boom", "code": 502}}), "server"),
    (GOOD + sse({"error": {"message": "boom"}}), "error_in_stream"),
    (GOOD + sse(chunk({}, "error")), "error_in_stream"),
    (sse(chunk({"content": "he"}), chunk({}, "insufficient_system_resource")) + DONE, "overloaded"),
    (sse(chunk({"content": "he"}), chunk({}, "abort")) + DONE, "server"),
    (sse(chunk({"content": "he"})) + DONE, "malformed"),
    (b"data: " + b"x" * 2_000_000, "malformed"),
]


@pytest.mark.parametrize(("data", "error_class"), BROKEN)
@pytest.mark.parametrize("size", [17, 100_000])
def test_a_broken_stream_is_never_a_success(data: bytes, error_class: str, size: int) -> None:
    steps = relayed(data, size=size)
    faults = [step.fault for step in steps if step.fault is not None]
    assert [fault.error_class for fault in faults] == [error_class]
    assert b"[DONE]" not in out_of(steps)


def test_an_error_event_is_kept_from_the_client() -> None:
    assert b"boom" not in out_of(relayed(GOOD + sse({"error": {"message": "boom"}})))


def test_a_row_may_allow_an_end_without_a_marker() -> None:
    steps = relayed(GOOD, is_done_marker_sent=False)
    assert steps[-1].fault is None
    assert out_of(steps) == GOOD + DONE
    assert relayed(GOOD[:-100], is_done_marker_sent=False)[-1].fault is not None


@pytest.mark.parametrize("dialect", ["anthropic_messages", "openai_responses"])
def test_no_row_excuses_the_end_event_of_other_dialects(dialect: DialectName) -> None:
    stream = made(dialect, dialect, is_done_marker_sent=False).stream()
    assert steps_of(stream, [sse(*anthropic_stream()[:-1], named=True)])[-1].fault is not None


def test_nan_in_a_chunk_becomes_null() -> None:
    data = b'data: {"choices":[{"index":0,"delta":{"content":"x"},"logprobs":{"content":[NaN]}}]}\n\n'
    steps = relayed(data + GOOD + DONE)
    assert b"NaN" not in out_of(steps)
    assert steps[-1].fault is None
    assert any(step.notes for step in steps)


def anthropic_stream() -> list[dict[str, Any]]:
    usage = {"input_tokens": 5, "cache_read_input_tokens": 3, "cache_creation_input_tokens": 2, "output_tokens": 1}
    return [
        {"type": "message_start", "message": {"id": "m", "model": "claude", "content": [], "usage": usage}},
        {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
        {"type": "ping"},
        {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "hey"}},
        {"type": "content_block_stop", "index": 0},
        {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 9}},
        {"type": "message_stop"},
    ]


def test_anthropic_streams_pass_and_are_counted() -> None:
    data = sse(*anthropic_stream(), named=True)
    steps = steps_of(made("anthropic_messages", "anthropic_messages").stream(), cut(data, 33))
    assert out_of(steps) == data
    assert steps[-1].usage == Usage(10, 9, 3, 2)
    assert (steps[-1].stop_reason, steps[-1].model_answered) == ("stop", "claude")


def test_the_output_count_of_a_stream_that_only_began_is_unknown() -> None:
    steps = steps_of(made("anthropic_messages", "anthropic_messages").stream(), [sse(*anthropic_stream()[:4])])
    assert steps[-1].fault is not None
    assert steps[-1].usage == Usage(10, None, 3, 2)


def test_an_overloaded_event_inside_a_200_is_overload() -> None:
    event = {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}
    steps = steps_of(made("anthropic_messages", "anthropic_messages").stream(), [sse(*anthropic_stream()[:4], event)])
    fault = steps[0].fault
    assert fault is not None
    assert fault.error_class == "overloaded"
    assert b"message_stop" not in out_of(steps)


def test_a_responses_stream_ends_with_its_completed_event() -> None:
    response = {
        "id": "resp_1",
        "model": "m",
        "status": "completed",
        "output": [],
        "usage": {"input_tokens": 3, "output_tokens": 1},
    }
    data = sse(
        {"type": "response.created", "response": {**response, "status": "in_progress", "usage": None}},
        {"type": "response.output_text.delta", "delta": "hey"},
        {"type": "response.completed", "response": response},
        named=True,
    )
    steps = steps_of(made("openai_responses", "openai_responses").stream(), cut(data, 50))
    assert out_of(steps) == data
    assert b"response.completed" in steps[-1].out
    assert b"response.completed" not in out_of(steps[:-1])
    assert steps[-1].usage == Usage(3, 1)
    cut_off = steps_of(made("openai_responses", "openai_responses").stream(), [data[:200]])
    assert cut_off[-1].fault is not None


def test_a_failed_response_is_a_fault() -> None:
    failed = {
        "type": "response.failed",
        "response": {"id": "r", "status": "failed", "error": {"code": "server_error", "message": "x"}},
    }
    (step,) = made("openai_responses", "openai_responses").stream().feed(sse(failed))
    assert step.fault is not None
    assert step.fault.error_class == "server"


def test_a_gemini_stream_ends_where_every_candidate_said_why() -> None:
    part = {"candidates": [{"content": {"parts": [{"text": "he"}]}, "index": 0}], "modelVersion": "g"}
    last = {
        "candidates": [{"content": {"parts": [{"text": "y"}]}, "finishReason": "STOP", "index": 0}],
        "usageMetadata": {"promptTokenCount": 3, "candidatesTokenCount": 2, "thoughtsTokenCount": 4},
    }
    steps = steps_of(made("gemini", "gemini").stream(), [sse(part), sse(last)])
    assert steps[-1].fault is None
    assert steps[-1].usage == Usage(3, 6, tokens_reasoning=4)
    assert steps_of(made("gemini", "gemini").stream(), [sse(part)])[-1].fault is not None


def test_a_prompt_that_gemini_blocked_is_an_answer_to_its_own_clients() -> None:
    blocked = {"promptFeedback": {"blockReason": "SAFETY"}, "usageMetadata": {"promptTokenCount": 3}}
    served = made("gemini", "gemini").answer(200, json.dumps(blocked).encode())
    assert isinstance(served, Served)
    assert served.is_content_filter
    steps = steps_of(made("gemini", "gemini").stream(), [sse(blocked)])
    assert (steps[-1].fault, steps[-1].stop_reason) == (None, "content_filter")


def test_completions_stream_through() -> None:
    data = sse(
        {"choices": [{"text": "hi", "finish_reason": None}]},
        {"choices": [{"text": "", "finish_reason": "stop"}]},
        "[DONE]",
    )
    steps = steps_of(made("openai_completions", "openai_completions").stream(), cut(data, 11))
    assert out_of(steps) == data
    assert steps[-1].stop_reason == "stop"
