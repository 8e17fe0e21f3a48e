"""Provider errors: classified by their words, with the wait they name, and shown in the client's dialect."""

import json
from datetime import UTC, datetime
from email.utils import format_datetime
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.dialects.support import CHAT, NOW_MS, made, out_of, sse, steps_of
from tollway.dialects.bridge import error_event, receipt_comment, write_refusal
from tollway.dialects.classify import classify, read_error
from tollway.dialects.faults import FAULTS, STATUS_WITHOUT_ANSWER, ErrorClass, Fault
from tollway.dialects.waits import read_retry_after
from tollway.wire.plan import DialectName
from tollway.wire.refusals import REFUSALS, refuse


def openai(message: str = "", code: str | None = None, kind: str | None = None) -> dict[str, Any]:
    return {"error": {"message": message, "type": kind, "param": None, "code": code}}


def anthropic(kind: str, message: str = "") -> dict[str, Any]:
    return {"type": "error", "error": {"type": kind, "message": message}}


def google(code: int, status: str, message: str = "") -> dict[str, Any]:
    return {"error": {"code": code, "message": message, "status": status}}


ERRORS: list[tuple[int, Any, ErrorClass]] = [
    (429, openai("Rate limit reached for gpt-4o", "rate_limit_exceeded", "requests"), "rate_limit"),
    (429, openai("You exceeded your current quota", "insufficient_quota", "insufficient_quota"), "quota"),
    (429, openai("You exceeded your current quota, please check your plan"), "quota"),
    (429, {"error": "too many"}, "rate_limit"),
    (402, openai("Insufficient Balance", "invalid_request_error", "unknown_error"), "quota"),
    (400, anthropic("invalid_request_error", "Your credit balance is too low to access the API"), "quota"),
    (401, openai("Incorrect API key provided", "invalid_api_key", "invalid_request_error"), "bad_credential"),
    (401, anthropic("authentication_error", "invalid x-api-key"), "bad_credential"),
    (403, anthropic("permission_error"), "bad_credential"),
    (400, google(400, "INVALID_ARGUMENT", "API key not valid. Please pass a valid API key."), "bad_credential"),
    (404, openai("The model `x` does not exist", "model_not_found", "invalid_request_error"), "model_missing"),
    (404, anthropic("not_found_error", "model: x"), "model_missing"),
    (404, google(404, "NOT_FOUND"), "model_missing"),
    (400, openai("This model's maximum context length is 8192 tokens", "context_length_exceeded"), "context_length"),
    (400, anthropic("invalid_request_error", "prompt is too long: 210000 tokens > 200000 maximum"), "context_length"),
    (
        400,
        google(400, "INVALID_ARGUMENT", "The input token count (2) exceeds the maximum number of tokens"),
        "context_length",
    ),
    (413, anthropic("request_too_large"), "too_large"),
    (413, None, "too_large"),
    (400, openai("Your request was rejected", "content_policy_violation"), "content_policy"),
    (
        400,
        openai("The response was filtered due to Azure's content management policy", "content_filter"),
        "content_policy",
    ),
    (400, openai("Invalid value: 'x'", "invalid_value", "invalid_request_error"), "bad_request"),
    (422, {"detail": [{"msg": "field required", "loc": ["body", "x"]}]}, "bad_request"),
    (408, None, "retryable_conflict"),
    (409, None, "retryable_conflict"),
    (425, None, "retryable_conflict"),
    (500, openai("The server had an error", None, "server_error"), "server"),
    (500, anthropic("api_error"), "server"),
    (502, None, "server"),
    (503, openai("overloaded", "engine_overloaded"), "overloaded"),
    (503, google(503, "UNAVAILABLE", "The model is overloaded."), "overloaded"),
    (504, None, "server"),
    (522, None, "server"),
    (529, anthropic("overloaded_error", "Overloaded"), "overloaded"),
    (200, anthropic("overloaded_error", "Overloaded"), "overloaded"),
    (200, openai("boom"), "error_in_stream"),
    (200, {"error": {"message": "boom", "code": 429}}, "rate_limit"),
    (200, {"error": {"message": "boom", "code": "503"}}, "overloaded"),
    (500, {"object": "error", "message": "vllm died", "code": 500}, "server"),
    (418, None, "bad_request"),
    (600, openai("boom"), "server"),
    (
        403,
        {"error": {"message": "Your chosen model requires moderation and your input was flagged", "code": 403}},
        "content_policy",
    ),
    (429, google(429, "RESOURCE_EXHAUSTED", "Quota exceeded for quota metric"), "rate_limit"),
]


@pytest.mark.parametrize(("status", "body", "expected"), ERRORS)
def test_an_error_is_classified_by_its_words_and_then_by_its_status(
    status: int, body: Any, expected: ErrorClass
) -> None:
    raw = json.dumps(body).encode() if body is not None else b"<html>nginx</html>"
    assert classify(status, read_error(raw)) == expected


def test_every_class_has_a_rule_and_a_status() -> None:
    assert set(FAULTS) == set(get_args(ErrorClass)) == set(STATUS_WITHOUT_ANSWER)


@given(st.binary(max_size=300), st.integers(100, 599))
def test_no_error_body_is_a_surprise(body: bytes, status: int) -> None:
    fault = made("openai_chat", "openai_chat").fault(status, {}, body, now_ms=NOW_MS)
    assert fault.error_class in FAULTS
    assert fault.status >= 400
    json.loads(fault.body)


def at(seconds: float) -> str:
    return format_datetime(datetime.fromtimestamp(NOW_MS / 1000 + seconds, UTC), usegmt=True)


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({}, None),
        ({"retry-after": "1"}, 1.0),
        ({"retry-after": "600"}, 600.0),
        ({"retry-after": at(30)}, 30.0),
        ({"retry-after": at(-30)}, 0.0),
        ({"retry-after": "soon"}, None),
        ({"retry-after": "-5"}, None),
        ({"retry-after": "1e9"}, None),
        ({"retry-after": "99999999999"}, None),
        ({"retry-after-ms": "1500", "retry-after": "2"}, 1.5),
        ({"retry-after-ms": "x", "retry-after": "2"}, 2.0),
        ({"x-ratelimit-reset-requests": "6m0s"}, 360.0),
        ({"x-ratelimit-reset-tokens": "20ms"}, 0.02),
        (
            {
                "x-ratelimit-reset-requests": "1h",
                "x-ratelimit-remaining-requests": "7",
                "x-ratelimit-reset-tokens": "2s",
            },
            2.0,
        ),
        ({"x-ratelimit-reset": str(NOW_MS // 1000 + 20)}, 20.0),
        ({"x-ratelimit-reset": str(NOW_MS + 20_000), "x-ratelimit-remaining": "0"}, 20.0),
        ({"x-ratelimit-reset-requests": "10s", "x-ratelimit-reset-tokens": "1m0s"}, 60.0),
        ({"anthropic-ratelimit-requests-reset": "2025-11-20T00:54:00Z"}, 40.0),
        ({"anthropic-ratelimit-requests-reset": "yesterday"}, None),
    ],
)
def test_the_wait_is_what_the_provider_named(headers: dict[str, str], expected: float | None) -> None:
    wait = read_retry_after(headers, now_ms=NOW_MS)
    assert wait == expected if expected is None else wait == pytest.approx(expected)


def test_google_names_its_wait_in_the_body_and_the_header_wins() -> None:
    info = {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "33s"}
    error = google(429, "RESOURCE_EXHAUSTED", "Resource has been exhausted")
    error["error"]["details"] = [{"@type": "type.googleapis.com/google.rpc.QuotaFailure"}, info]
    attempt = made("openai_chat", "gemini")
    body = json.dumps(error).encode()
    assert attempt.fault(429, {}, body, now_ms=NOW_MS).retry_after_s == 33.0
    assert attempt.fault(429, {"retry-after": "2"}, body, now_ms=NOW_MS).retry_after_s == 2.0


def test_no_client_is_sent_a_status_that_http_does_not_have() -> None:
    for status in (600, 999):
        fault = made("openai_chat", "openai_chat").fault(status, {}, b"{}", now_ms=NOW_MS)
        assert (fault.error_class, fault.status) == ("server", 502)


def test_a_fault_carries_its_wait_and_the_provider_s_status() -> None:
    body = json.dumps(openai("slow", "rate_limit_exceeded")).encode()
    fault = made("openai_chat", "openai_chat").fault(429, {"retry-after": "3"}, body, now_ms=NOW_MS)
    assert (fault.error_class, fault.status, fault.retry_after_s, fault.code) == (
        "rate_limit",
        429,
        3.0,
        "rate_limit_exceeded",
    )
    assert fault.body == body


SHAPES: dict[DialectName, Any] = {
    "openai_chat": lambda body: (body["error"]["message"], body["error"]["type"]),
    "openai_responses": lambda body: (body["error"]["message"], body["error"]["type"]),
    "openai_completions": lambda body: (body["error"]["message"], body["error"]["type"]),
    "openai_embeddings": lambda body: (body["error"]["message"], body["error"]["type"]),
    "anthropic_messages": lambda body: (body["error"]["message"], body["type"] == "error" and body["error"]["type"]),
    "gemini": lambda body: (body["error"]["message"], body["error"]["status"]),
}


@pytest.mark.parametrize("provider", CHAT)
@pytest.mark.parametrize("client", CHAT)
def test_an_error_wears_the_client_s_dialect(client: DialectName, provider: DialectName) -> None:
    for error in (
        openai("the reason", kind="requests"),
        anthropic("rate_limit_error", "the reason"),
        google(429, "RESOURCE_EXHAUSTED", "the reason"),
    ):
        fault = made(client, provider).fault(429, {}, json.dumps(error).encode(), now_ms=NOW_MS)
        message, kind = SHAPES[client](json.loads(fault.body))
        assert message == "the reason"
        assert kind


def test_a_quoted_key_never_reaches_the_client() -> None:
    body = json.dumps(
        openai("Incorrect API key provided: sk-proj-abcdef****1234. In organization org-AbCdEf123456")
    ).encode()
    for status in (400, 401, 429):
        fault = made("openai_chat", "openai_chat").fault(status, {}, body, now_ms=NOW_MS)
        assert b"abcdef" not in fault.body
        assert b"AbCdEf123456" not in fault.body


def test_a_google_key_is_a_key() -> None:
    body = json.dumps(google(400, "INVALID_ARGUMENT", "Bad key AIzaSyA1234567890abcdefghijklmnopqrstu"))
    assert b"AIzaSy" not in made("gemini", "gemini").fault(400, {}, body.encode(), now_ms=NOW_MS).body


def test_a_code_that_is_a_number_is_no_code_word() -> None:
    body = json.dumps(google(503, "UNAVAILABLE", "busy")).encode()
    error = json.loads(made("openai_chat", "gemini").fault(503, {}, body, now_ms=NOW_MS).body)["error"]
    assert (error["code"], error["type"]) == (None, "service_unavailable_error")


def test_anthropic_s_type_follows_the_status_where_the_provider_s_says_nothing() -> None:
    body = json.dumps(openai("no", "invalid_api_key", "invalid_request_error")).encode()
    fault = made("anthropic_messages", "openai_chat").fault(401, {}, body, now_ms=NOW_MS)
    assert json.loads(fault.body)["error"]["type"] == "authentication_error"


UNFINISHED: dict[DialectName, Any] = {
    "openai_chat": {"choices": [{"index": 0, "message": {"content": "he"}, "finish_reason": None}]},
    "openai_responses": {"id": "r", "status": "in_progress", "output": []},
    "anthropic_messages": {"content": [{"type": "text", "text": "he"}], "stop_reason": None},
    "gemini": {"candidates": [{"content": {"parts": [{"text": "he"}]}}]},
}


@pytest.mark.parametrize("provider", CHAT)
@pytest.mark.parametrize("client", CHAT)
def test_a_whole_answer_that_does_not_say_why_it_stopped_is_none(client: DialectName, provider: DialectName) -> None:
    fault = made(client, provider).answer(200, json.dumps(UNFINISHED[provider]).encode())
    assert isinstance(fault, Fault)
    assert fault.error_class == "malformed"


def test_a_call_that_got_no_answer_has_a_gateway_status() -> None:
    assert made("openai_chat", "openai_chat").failed("connect", "no route").status == 502
    assert made("openai_chat", "openai_chat").failed("timeout", "slow").status == 504


@pytest.mark.parametrize("dialect", SHAPES)
@pytest.mark.parametrize("code", REFUSALS)
def test_every_refusal_has_a_body_in_every_dialect(dialect: DialectName, code: str) -> None:
    body = json.loads(write_refusal(dialect, refuse(code, param="messages[0]"), "rq_7"))
    message, kind = SHAPES[dialect](body)
    assert message == REFUSALS[code].sentence
    assert kind
    assert "rq_7" in json.dumps(body)
    assert code in json.dumps(body)


def test_anthropic_refusals_have_anthropic_s_own_types() -> None:
    body = json.loads(write_refusal("anthropic_messages", refuse("insufficient_credits"), "rq_1"))
    assert body == {
        "type": "error",
        "error": {
            "type": "billing_error",
            "message": REFUSALS["insufficient_credits"].sentence,
            "code": "insufficient_credits",
        },
        "request_id": "rq_1",
    }


@pytest.mark.parametrize("dialect", SHAPES)
def test_an_error_event_is_no_success(dialect: DialectName) -> None:
    event = error_event(dialect, refuse("upstream_error"), "rq_1")
    assert event.endswith(b"\n\n")
    assert b"upstream_error" in event
    assert not any(end in event for end in (b"[DONE]", b"message_stop", b"response.completed"))


def test_an_error_event_says_its_class_in_the_dialect_s_word() -> None:
    """Coding agents look for `overloaded_error` to try again."""
    for dialect, word in (("anthropic_messages", b"overloaded_error"), ("openai_chat", b"service_unavailable_error")):
        event = error_event(dialect, refuse("upstream_error", details={"class": "overloaded"}), "rq_1")
        assert word in event
        assert b'"code":"upstream_error"' in event


CODES = [
    (429, b'{"type":"error","error":{"type":"rate_limit_error","message":"slow down"}}', "rate_limit_exceeded"),
    (
        400,
        b'{"type":"error","error":{"type":"invalid_request_error","message":"prompt is too long"}}',
        "context_length",
    ),
    (400, b'{"error":{"code":400,"message":"The input token count exceeds the maximum"}}', "context_length"),
    (404, b'{"type":"error","error":{"type":"not_found_error","message":"model: none"}}', "model_not_found"),
]


@pytest.mark.parametrize(("status", "body", "code"), CODES)
def test_openai_clients_get_the_codes_that_they_act_on(status: int, body: bytes, code: str) -> None:
    fault = made("openai_chat", "anthropic_messages").fault(status, {}, body, now_ms=NOW_MS)
    assert json.loads(fault.body)["error"]["code"].startswith(code)


def test_a_receipt_is_a_comment() -> None:
    assert (
        receipt_comment({"tollway-cost": "0.000012", "tollway-model": "a:b"})
        == b": tollway-cost=0.000012 tollway-model=a:b\n\n"
    )


@pytest.mark.parametrize(
    ("reason", "expected"),
    [("error", "error_in_stream"), ("insufficient_system_resource", "overloaded"), ("abort", "server")],
)
def test_a_half_answer_is_no_answer_for_clients_of_another_dialect(reason: str, expected: ErrorClass) -> None:
    choice = {"index": 0, "message": {"content": "he"}, "finish_reason": reason}
    whole = made("anthropic_messages", "openai_chat").answer(200, json.dumps({"choices": [choice]}).encode())
    assert isinstance(whole, Fault)
    assert whole.error_class == expected
    events = sse({"choices": [{"index": 0, "delta": {"content": "he"}}]}, {"choices": [{**choice, "message": None}]})
    steps = steps_of(made("anthropic_messages", "openai_chat").stream(), [events])
    assert [step.fault.error_class for step in steps if step.fault is not None] == [expected]
    assert b"message_stop" not in out_of(steps)


@pytest.mark.parametrize("client", ["openai_chat", "anthropic_messages"])
def test_a_stream_that_never_says_why_it_stopped_is_no_success(client: DialectName) -> None:
    events = sse({"choices": [{"index": 0, "delta": {"content": "he"}}]}, "[DONE]")
    steps = steps_of(made(client, "openai_chat").stream(), [events])
    assert [step.fault.error_class for step in steps if step.fault is not None] == ["malformed"]


@pytest.mark.parametrize("client", ["openai_chat", "anthropic_messages"])
def test_the_status_inside_a_stream_s_error_is_understood_for_every_client(client: DialectName) -> None:
    stream = made(client, "openai_chat").stream()
    (step,) = stream.feed(sse({"error": {"message": "Rate limit exceeded", "code": 429}}))
    assert step.fault is not None
    assert (step.fault.error_class, step.fault.status) == ("rate_limit", 429)
