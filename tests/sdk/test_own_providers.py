"""Custom providers of each dialect, Gemini's too, as stock clients see them."""

import json
from typing import Any

import openai
import pytest

from tests.sdk.conftest import Bill, Street, every_dialect
from tests.sdk.tools import FOR_CHAT, FOR_MESSAGES, TASK
from tollway.wire.plan import DialectName

CITIES = [{"city": "Oslo"}, {"city": "Rome"}]


@every_dialect
def test_openai_s_client_streams_tool_calls_of_it(street: Street, bill: Bill, dialect: DialectName) -> None:
    chat = street.openai().chat.completions
    messages = [{"role": "user", "content": TASK}]
    with chat.stream(model=f"{street.own(dialect)}:echo", messages=messages, tools=FOR_CHAT) as stream:
        calls = stream.get_final_completion().choices[0].message.tool_calls or []
        bill.note(stream._response.headers)
    assert [json.loads(call.function.arguments) for call in calls] == CITIES
    (row,) = bill.settle()
    assert (row["provider"], row["isError"]) == (street.own(dialect), False)


@every_dialect
def test_anthropic_s_client_streams_tool_uses_of_it(street: Street, dialect: DialectName) -> None:
    with street.anthropic().messages.stream(
        model=f"{street.own(dialect)}:think",
        max_tokens=512,
        messages=[{"role": "user", "content": TASK}],
        tools=FOR_MESSAGES,
    ) as stream:
        message = stream.get_final_message()
    assert [block.type for block in message.content] == ["thinking", "tool_use", "tool_use"]
    assert [block.input for block in message.content if block.type == "tool_use"] == CITIES


@every_dialect
def test_it_can_be_tried_out_beforehand(street: Street, dialect: DialectName) -> None:
    listed = street.gateway.api("/providers")["aiGatewayProviders"]
    made = {each["providerId"]: each["id"] for each in listed}
    found = street.gateway.post(f"/providers/{made[street.own(dialect)]}/test", {})
    assert found["reachable"]
    assert found["statusCode"] in (200, 404)


def listed(street: Street, provider: str, surface: str, *params: str) -> str:
    """An account's own provider that takes these parameters and no others."""
    takes = {"format": "openai", "surface": surface, "supportedParams": [{"name": name} for name in params]}
    body = {"providerId": provider, "name": provider, "baseUrl": f"{street.simulator}/v1"}
    made = street.gateway.post("/providers", body | {"supportedApiSurfaces": [takes]})
    assert made["supportedApiSurfaces"] == [takes]
    return provider


def test_a_parameter_that_it_is_not_said_to_take_does_not_arrive_and_is_named(street: Street, bill: Bill) -> None:
    """The simulator's responses repeat the service that they were asked for."""
    create = street.openai().responses.with_raw_response.create
    asked: dict[str, Any] = {"input": "hello", "temperature": 0.5, "service_tier": "priority"}
    whole = create(model=f"{street.own('openai_responses')}:echo", **asked)
    assert (whole.parse().service_tier, whole.headers.get("tollway-dropped")) == ("priority", None)
    answer = create(model=f"{listed(street, 'own-listed', 'responses', 'temperature')}:echo", **asked)
    bill.note(whole.headers)
    bill.note(answer.headers)
    assert (answer.parse().service_tier, answer.headers["tollway-dropped"]) == ("default", "service_tier")
    assert answer.parse().output_text == "hello"
    rows = bill.settle()
    assert [(row["provider"], row["isError"]) for row in rows][1:] == [("own-listed", False)]


def test_a_stream_of_it_names_what_stayed_behind(street: Street) -> None:
    provider = listed(street, "own-streaming", "chat-completions", "temperature")
    create = street.openai().chat.completions.with_raw_response.create
    raw = create(
        model=f"{provider}:echo",
        messages=[{"role": "user", "content": "a b c"}],
        stream=True,
        stream_options={"include_usage": True},
        max_completion_tokens=1,
        temperature=0.5,
        seed=7,
        extra_body={"min_p": 0.1},
    )
    assert raw.headers["tollway-dropped"] == "seed, min_p"
    chunks = list(raw.parse())
    assert [choice.finish_reason for chunk in chunks for choice in chunk.choices][-1] == "length"
    assert chunks[-1].usage is not None
    assert chunks[-1].usage.completion_tokens == 1


def test_a_request_that_it_cannot_serve_is_refused_or_served_by_the_next(street: Street) -> None:
    provider, other = listed(street, "own-bare", "chat-completions"), street.own("openai_chat")
    create = street.openai().chat.completions.with_raw_response.create
    asked: dict[str, Any] = {"messages": [{"role": "user", "content": "a b c"}], "stop": "c"}
    with pytest.raises(openai.BadRequestError, match="supportedParams") as refused:
        create(model=f"{provider}:echo", **asked)
    assert (refused.value.code, refused.value.param) == ("unsupported_parameter", "stop")
    answer = create(model=f"{provider}:echo", **asked, extra_body={"models": [f"{other}:echo"]})
    assert answer.headers["tollway-model"] == f"{other}:echo"
    assert (answer.parse().choices[0].message.content or "").strip() == "a b"
