"""What stock clients raise: their own typed exceptions, with status, code and the path of what is wrong."""

from collections.abc import Callable
from typing import Any

import anthropic
import openai
import pytest

from tests.sdk.conftest import Street, every_dialect
from tollway.wire.plan import DialectName

WORDS = "one two three four five six seven eight"
STREAMS = pytest.mark.parametrize("stream", [False, True])
OpenAICall = Callable[..., Any]


def chat(street: Street, model: str, **more: Any) -> Any:
    told: dict[str, Any] = {"model": model, "messages": [{"role": "user", "content": WORDS}]}
    return street.openai().chat.completions.create(**(told | more))


def respond(street: Street, model: str, **more: Any) -> Any:
    return street.openai().responses.create(**({"model": model, "input": WORDS} | more))


def message(street: Street, model: str, **more: Any) -> Any:
    told: dict[str, Any] = {"model": model, "max_tokens": 99, "messages": [{"role": "user", "content": WORDS}]}
    return street.anthropic().messages.create(**(told | more))


every_openai_call = pytest.mark.parametrize("call", [chat, respond])

# -- the provider's own errors

OPENAI: list[tuple[str, type[openai.APIStatusError], int]] = [
    ("fail-400", openai.BadRequestError, 400),
    ("fail-401", openai.AuthenticationError, 401),
    ("fail-402", openai.APIStatusError, 402),
    ("fail-403", openai.PermissionDeniedError, 403),
    ("fail-404", openai.NotFoundError, 404),
    ("fail-413", openai.APIStatusError, 413),
    ("fail-422", openai.UnprocessableEntityError, 422),
    ("fail-429", openai.RateLimitError, 429),
    ("fail-500", openai.InternalServerError, 500),
    ("fail-503", openai.InternalServerError, 503),
    ("fail-529", openai.InternalServerError, 529),
    ("fail-reset", openai.InternalServerError, 502),
    ("fail-html", openai.InternalServerError, 502),
]
ANTHROPIC: list[tuple[str, type[anthropic.APIStatusError], int, str]] = [
    ("fail-400", anthropic.BadRequestError, 400, "invalid_request_error"),
    ("fail-401", anthropic.AuthenticationError, 401, "authentication_error"),
    ("fail-402", anthropic.APIStatusError, 402, "billing_error"),
    ("fail-403", anthropic.PermissionDeniedError, 403, "permission_error"),
    ("fail-404", anthropic.NotFoundError, 404, "not_found_error"),
    ("fail-413", anthropic.APIStatusError, 413, "request_too_large"),
    ("fail-422", anthropic.UnprocessableEntityError, 422, "invalid_request_error"),
    ("fail-429", anthropic.RateLimitError, 429, "rate_limit_error"),
    ("fail-500", anthropic.InternalServerError, 500, "api_error"),
    ("fail-503", anthropic.APIStatusError, 503, ""),
    ("fail-529", anthropic.APIStatusError, 529, "overloaded_error"),
    ("fail-reset", anthropic.APIStatusError, 502, "api_error"),
    ("fail-html", anthropic.APIStatusError, 502, "api_error"),
]


@STREAMS
@every_openai_call
@pytest.mark.parametrize(("model", "error", "status"), OPENAI, ids=[row[0] for row in OPENAI])
@every_dialect
def test_a_provider_s_error_is_openai_s_exception(
    street: Street,
    dialect: DialectName,
    model: str,
    error: type[openai.APIStatusError],
    status: int,
    call: OpenAICall,
    stream: bool,
) -> None:
    with pytest.raises(error) as raised:
        call(street, f"{street.own(dialect)}:{model}", stream=stream)
    assert raised.value.status_code == status
    assert raised.value.message
    assert raised.value.type
    assert (raised.value.request_id or "").startswith("rq_")


@STREAMS
@pytest.mark.parametrize(("model", "error", "status", "kind"), ANTHROPIC, ids=[row[0] for row in ANTHROPIC])
@every_dialect
def test_a_provider_s_error_is_anthropic_s_exception(
    street: Street,
    dialect: DialectName,
    model: str,
    error: type[anthropic.APIStatusError],
    status: int,
    kind: str,
    stream: bool,
) -> None:
    with pytest.raises(error) as raised:
        message(street, f"{street.own(dialect)}:{model}", stream=stream)
    assert raised.value.status_code == status
    assert raised.value.type == (kind or raised.value.type)
    assert (raised.value.request_id or "").startswith("rq_")


CODES = [
    ("fail-429", "rate_limit_exceeded"),
    ("fail-404", "model_not_found"),
    ("fail-context", "context_length_exceeded"),
    ("fail-content-policy", "content_policy_violation"),
]


@every_openai_call
@pytest.mark.parametrize(("model", "code"), CODES)
@every_dialect
def test_openai_s_codes_are_the_same_whoever_the_provider_is(
    street: Street, dialect: DialectName, model: str, code: str, call: OpenAICall
) -> None:
    with pytest.raises(openai.APIStatusError) as raised:
        call(street, f"{street.own(dialect)}:{model}")
    assert raised.value.code == code


@pytest.mark.parametrize("model", ["fail-cut", "fail-error-in-stream", "fail-no-done"])
@every_dialect
def test_a_stream_that_breaks_raises_in_every_client(street: Street, dialect: DialectName, model: str) -> None:
    asked = f"{street.own(dialect)}:{model}"
    for call in (chat, respond):
        with pytest.raises(openai.APIError) as raised:
            list(call(street, asked, stream=True))
        assert raised.value.code == "upstream_error"
    with pytest.raises(anthropic.APIStatusError) as broken:
        list(message(street, asked, stream=True))
    assert broken.value.type in ("api_error", "overloaded_error")


def test_a_stream_that_is_overloaded_says_so_to_a_client_that_would_try_again(street: Street) -> None:
    with pytest.raises(anthropic.APIStatusError) as raised:
        list(message(street, f"{street.own('anthropic_messages')}:fail-error-in-stream", stream=True))
    assert raised.value.type == "overloaded_error"


def test_when_all_fail_each_attempt_has_its_line(street: Street) -> None:
    more = {"models": [f"{street.own('gemini')}:fail-500"]}
    asked = f"{street.own('openai_chat')}:fail-503"
    with pytest.raises(openai.InternalServerError) as raised:
        chat(street, asked, extra_body=more)
    assert (raised.value.status_code, raised.value.code) == (503, "all_providers_failed")
    assert "own-gemini:fail-500" in raised.value.message
    with pytest.raises(anthropic.ServiceUnavailableError) as unavailable:
        message(street, asked, extra_body=more)
    assert "own-gemini:fail-500" in unavailable.value.message


# -- what the gateway itself refuses

BAD: list[tuple[str, dict[str, Any], str]] = [
    ("messages", {"messages": "hello"}, "messages"),
    ("role", {"messages": [{"role": "wizard", "content": "x"}]}, "messages[0].role"),
    ("content", {"messages": [{"role": "user", "content": 5}]}, "messages[0].content"),
    ("part", {"messages": [{"role": "user", "content": [{"type": "image_url"}]}]}, "messages[0].content[0].image_url"),
    ("temperature", {"temperature": "hot"}, "temperature"),
    ("tools", {"tools": [{"type": "function", "function": {}}]}, "tools[0].function.name"),
    ("n", {"n": 2}, "n"),
    ("unknown field", {"extra_body": {"frobnicate": 1}}, "frobnicate"),
]


@pytest.mark.parametrize(("more", "param"), [pytest.param(*row[1:], id=row[0]) for row in BAD])
def test_what_is_wrong_is_named_by_its_path(street: Street, more: dict[str, Any], param: str) -> None:
    with pytest.raises(openai.BadRequestError) as raised:
        chat(street, "messages-house:echo", **more)
    assert raised.value.param == param
    assert raised.value.code in ("invalid_request_body", "unsupported_parameter")


BAD_MESSAGES: list[tuple[str, dict[str, Any], str]] = [
    ("messages", {"messages": "hello"}, "messages"),
    ("role", {"messages": [{"role": "wizard", "content": "x"}]}, "messages[0].role"),
    ("block", {"messages": [{"role": "user", "content": [{"type": "image"}]}]}, "messages[0].content[0].source"),
    ("tools", {"tools": [{"name": 7}]}, "tools[0].name"),
    ("limit", {"max_tokens": -1}, "max_tokens"),
    ("unknown field", {"extra_body": {"frobnicate": 1}}, "frobnicate"),
]


@pytest.mark.parametrize(("more", "param"), [pytest.param(*row[1:], id=row[0]) for row in BAD_MESSAGES])
def test_anthropic_s_client_is_told_the_path_too(street: Street, more: dict[str, Any], param: str) -> None:
    with pytest.raises(anthropic.BadRequestError) as raised:
        message(street, "chat-house:echo", **more)
    assert raised.value.type == "invalid_request_error"
    assert isinstance(raised.value.body, dict)
    assert raised.value.body["error"]["param"] == param


def test_a_key_that_is_none_is_an_authentication_error(street: Street) -> None:
    with pytest.raises(openai.AuthenticationError) as raised:
        street.openai(api_key="sk-of-elsewhere").models.list()
    assert raised.value.code == "invalid_access_key"
    with pytest.raises(anthropic.AuthenticationError) as unknown:
        street.anthropic(api_key="sk-ant-of-elsewhere").messages.create(model="m", max_tokens=1, messages=[])
    assert unknown.value.type == "authentication_error"


def test_what_the_gateway_does_not_have_is_not_found(street: Street) -> None:
    for call in (lambda: street.openai().files.list(), lambda: street.openai().responses.retrieve("resp_1")):
        with pytest.raises(openai.NotFoundError) as raised:
            call()
        assert raised.value.code == "not_found"
    for ask in (street.anthropic().messages.batches.list, lambda: street.anthropic().models.retrieve("nothing")):
        with pytest.raises(anthropic.NotFoundError) as missing:
            ask()
        assert missing.value.type == "not_found_error"


def test_a_model_that_nobody_knows_is_said_with_near_names(street: Street) -> None:
    for call in (chat, respond):
        with pytest.raises(openai.UnprocessableEntityError) as raised:
            call(street, "ecco")
        assert (raised.value.code, raised.value.param) == ("model_unknown", "model")
    with pytest.raises(anthropic.UnprocessableEntityError):
        message(street, "ecco")


def test_a_deadline_is_an_error_with_its_code(street: Street) -> None:
    more = {"extra_headers": {"tollway-timeout": "0.3"}}
    with pytest.raises(openai.InternalServerError) as raised:
        chat(street, f"{street.own('openai_chat')}:fail-timeout", **more)
    assert (raised.value.status_code, raised.value.code) == (504, "total_timeout")
    with pytest.raises(anthropic.APIStatusError) as late:
        message(street, f"{street.own('openai_chat')}:fail-timeout", **more)
    assert (late.value.status_code, late.value.type) == (504, "timeout_error")


def test_an_account_without_credit_is_told_so(street: Street) -> None:
    poor = street.gateway.post("/accounts", {"name": "poor"})["apiKey"]["token"]
    key = street.gateway.post("/access-keys", {"name": "of the poor"}, key=poor)["token"]
    ask: Any = {"model": "chat-house:echo", "messages": [{"role": "user", "content": WORDS}]}
    with pytest.raises(openai.PermissionDeniedError) as raised:
        street.openai(api_key=key).chat.completions.create(**ask)
    assert raised.value.code == "insufficient_credits"
    with pytest.raises(anthropic.PermissionDeniedError) as broke:
        street.anthropic(api_key=key).messages.create(**ask, max_tokens=9)
    assert broke.value.type == "billing_error"


@pytest.mark.parametrize("name", ["\x14v", "a\r\nset-cookie: b", "\u0416"])
def test_names_of_the_caller_s_own_choosing_break_no_header(street: Street, name: str) -> None:
    messages: Any = [{"role": "user", "content": WORDS, name: 1}]
    raw = street.openai().chat.completions.with_raw_response
    answer = raw.create(model=f"{street.own('gemini')}:echo", messages=messages)
    assert answer.headers["tollway-dropped"].startswith("messages[].")
    assert "set-cookie" not in answer.headers


def test_an_answer_after_all_that_is_as_good_as_before(street: Street) -> None:
    assert chat(street, "chat-house:echo").choices[0].message.content == WORDS
