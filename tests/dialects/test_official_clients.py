"""Official SDKs as oracles: they parse everything we emit, whole and streamed, with their typed helpers."""

import json
from collections.abc import Callable
from typing import Any

import anthropic
import httpx2
import openai
import pytest
from anthropic import beta_tool
from google import genai
from google.genai import types as genai_types
from pydantic import BaseModel

from tests.dialects.support import CHAT
from tests.dialects.wire import Turn, Wire, said, stream_bytes
from tollway.wire import chat
from tollway.wire.plan import DialectName
from tollway.wire.usage import Usage

providers = pytest.mark.parametrize("provider", CHAT)
USAGE = Usage(21, 9, 4, 3, 2)
THOUGHT = chat.Thinking("Let me see.", chat.Signature("anthropic_messages", "ErUBsig="))
CALLS = (
    chat.ToolCall("call_1", "get_weather", '{"city":"Oslo"}'),
    chat.ToolCall("call_2", "get_weather", '{"city":"Rome"}'),
)


class Weather(BaseModel):
    """What is asked for as structured output."""

    city: str
    degrees: int


WEATHER = chat.Text('{"city":"Oslo","degrees":7}')


def with_openai(wire: Wire) -> openai.OpenAI:
    http = httpx2.Client(transport=wire.transport())
    return openai.OpenAI(api_key="tw-x", base_url="http://tollway.test/v1", http_client=http, max_retries=0)


def with_anthropic(wire: Wire) -> anthropic.Anthropic:
    http = httpx2.Client(transport=wire.transport())
    return anthropic.Anthropic(api_key="tw-x", base_url="http://tollway.test", http_client=http, max_retries=0)


def with_google(wire: Wire) -> genai.Client:
    http = httpx2.Client(transport=wire.transport())
    options = genai_types.HttpOptions(base_url="http://tollway.test", httpx_client=http)
    return genai.Client(api_key="tw-x", http_options=options)


def hello(**more: Any) -> dict[str, Any]:
    return {"model": "m", "messages": [{"role": "user", "content": "hi"}], **more}


CHAT_TOOL: Any = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    },
}

# -- OpenAI chat


@providers
def test_openai_chat_reads_a_whole_answer(provider: DialectName) -> None:
    wire = Wire("openai_chat", provider, [said(THOUGHT, chat.Text("Hello."), *CALLS, usage=USAGE)])
    completion = with_openai(wire).chat.completions.create(**hello(tools=[CHAT_TOOL]))
    message = completion.choices[0].message
    assert message.content == "Hello."
    assert [(call.id, call.function.name) for call in message.tool_calls or () if call.type == "function"] == [
        ("call_1", "get_weather"),
        ("call_2", "get_weather"),
    ]
    assert completion.choices[0].finish_reason == "tool_calls"
    assert completion.usage is not None
    assert (completion.usage.prompt_tokens, completion.usage.completion_tokens) == (21, 9)
    assert completion.usage.prompt_tokens_details is not None
    assert completion.usage.prompt_tokens_details.cached_tokens == 4
    assert (message.model_extra or {}).get("reasoning_content") == "Let me see."


@providers
def test_openai_chat_s_stream_helper_reads_a_stream(provider: DialectName) -> None:
    wire = Wire("openai_chat", provider, [said(THOUGHT, chat.Text("Hello there."), *CALLS, usage=USAGE)])
    options = {"include_usage": True}
    with with_openai(wire).chat.completions.stream(**hello(tools=[CHAT_TOOL], stream_options=options)) as stream:
        deltas = "".join(event.delta for event in stream if event.type == "content.delta")
        final = stream.get_final_completion()
    assert deltas == final.choices[0].message.content == "Hello there."
    calls = final.choices[0].message.tool_calls or []
    assert [json.loads(call.function.arguments)["city"] for call in calls] == ["Oslo", "Rome"]
    assert final.usage is not None
    assert final.usage.total_tokens == 30


@providers
def test_openai_chat_s_parse_helper_reads_structured_output(provider: DialectName) -> None:
    wire = Wire("openai_chat", provider, [said(WEATHER)])
    parsed = with_openai(wire).chat.completions.parse(**hello(), response_format=Weather)
    assert parsed.choices[0].message.parsed == Weather(city="Oslo", degrees=7)
    form = wire.conversations[0].format
    assert form is not None
    assert json.loads(bytes(form.schema))["properties"].keys() == {"city", "degrees"}


@providers
def test_openai_chat_reads_a_refusal_of_the_model(provider: DialectName) -> None:
    wire = Wire("openai_chat", provider, [said(chat.Refused("I will not."))])
    message = with_openai(wire).chat.completions.create(**hello()).choices[0].message
    assert "I will not." in (message.refusal, message.content)


def test_openai_chat_reads_log_probabilities() -> None:
    for provider in ("openai_chat", "openai_responses", "gemini"):
        token = chat.TokenLogprob("Hi", -0.25, (chat.Alternative("Ho", -2.0),))
        answer = chat.Answer("a", "m", (chat.Choice((chat.Text("Hi"),), "stop", "", (token,)),), Usage(1, 1))
        wire = Wire("openai_chat", provider, [answer])
        choice = with_openai(wire).chat.completions.create(**hello(logprobs=True, top_logprobs=1)).choices[0]
        assert choice.logprobs is not None
        (found,) = choice.logprobs.content or ()
        assert (found.token, found.logprob, found.top_logprobs[0].token) == ("Hi", -0.25, "Ho")


OPENAI_ERRORS: list[tuple[int, type[openai.APIStatusError]]] = [
    (400, openai.BadRequestError),
    (401, openai.AuthenticationError),
    (403, openai.PermissionDeniedError),
    (404, openai.NotFoundError),
    (422, openai.UnprocessableEntityError),
    (429, openai.RateLimitError),
    (500, openai.InternalServerError),
]


@providers
@pytest.mark.parametrize(("status", "error"), OPENAI_ERRORS)
def test_openai_raises_its_own_errors(provider: DialectName, status: int, error: type[openai.APIStatusError]) -> None:
    body = {"error": {"message": "because", "type": "some_error", "code": "some_code"}}
    wire = Wire("openai_chat", provider, [httpx2.Response(status, json=body)])
    with pytest.raises(error) as raised:
        with_openai(wire).chat.completions.create(**hello())
    assert "because" in raised.value.message
    assert raised.value.code == "some_code"


def test_a_field_that_cannot_be_carried_is_named_to_the_openai_client() -> None:
    wire = Wire("openai_chat", "anthropic_messages", [])
    with pytest.raises(openai.BadRequestError) as raised:
        with_openai(wire).chat.completions.create(**hello(n=3))
    assert (raised.value.param, raised.value.code) == ("n", "unsupported_parameter")


@providers
def test_openai_chat_raises_when_a_stream_breaks(provider: DialectName) -> None:
    cut_short = stream_bytes(provider, said(chat.Text("Hello, this is going to be cut.")))[:-300]
    wire = Wire("openai_chat", provider, [cut_short])
    stream = with_openai(wire).chat.completions.create(**hello(stream=True))
    with pytest.raises(openai.APIError):
        list(stream)


# -- OpenAI responses


@providers
def test_openai_responses_reads_a_whole_answer(provider: DialectName) -> None:
    wire = Wire("openai_responses", provider, [said(THOUGHT, chat.Text("Hello."), *CALLS, usage=USAGE)])
    tool: Any = {"type": "function", **CHAT_TOOL["function"], "strict": False}
    response = with_openai(wire).responses.create(model="m", input="hi", tools=[tool], store=False)
    assert response.output_text == "Hello."
    assert [item.type for item in response.output] == ["reasoning", "message", "function_call", "function_call"]
    assert response.status == "completed"
    assert response.usage is not None
    assert (response.usage.input_tokens, response.usage.output_tokens_details.reasoning_tokens) == (21, 2)
    assert [json.loads(item.arguments)["city"] for item in response.output if item.type == "function_call"] == [
        "Oslo",
        "Rome",
    ]


@providers
def test_openai_responses_stream_helper_reads_a_stream(provider: DialectName) -> None:
    wire = Wire("openai_responses", provider, [said(THOUGHT, chat.Text("Hello there."), *CALLS, usage=USAGE)])
    tool: Any = {"type": "function", **CHAT_TOOL["function"], "strict": False}
    with with_openai(wire).responses.stream(model="m", input="hi", tools=[tool]) as stream:
        events = list(stream)
        final = stream.get_final_response()
    assert "".join(event.delta for event in events if event.type == "response.output_text.delta") == "Hello there."
    assert final.output_text == "Hello there."
    if provider != "openai_responses":
        numbers = [event.sequence_number for event in events]
        assert numbers == list(range(len(numbers)))
    done = [event for event in events if event.type == "response.function_call_arguments.done"]
    assert [json.loads(event.arguments)["city"] for event in done] == ["Oslo", "Rome"]
    assert final.usage is not None
    assert final.usage.total_tokens == 30


@providers
def test_openai_responses_parse_helper_reads_structured_output(provider: DialectName) -> None:
    wire = Wire("openai_responses", provider, [said(WEATHER)])
    parsed = with_openai(wire).responses.parse(model="m", input="hi", text_format=Weather)
    assert parsed.output_parsed == Weather(city="Oslo", degrees=7)


@providers
def test_an_answer_that_was_too_long_is_an_incomplete_response(provider: DialectName) -> None:
    wire = Wire("openai_responses", provider, [said(chat.Text("Hel"), stop="length")])
    response = with_openai(wire).responses.create(model="m", input="hi", max_output_tokens=16)
    assert response.status == "incomplete"
    assert response.incomplete_details is not None
    assert response.incomplete_details.reason == "max_output_tokens"


def test_a_stored_conversation_is_refused_where_there_is_no_store() -> None:
    wire = Wire("openai_responses", "openai_chat", [])
    with pytest.raises(openai.BadRequestError) as raised:
        with_openai(wire).responses.create(model="m", input="hi", previous_response_id="resp_1")
    assert raised.value.param == "previous_response_id"


@providers
def test_openai_responses_raises_when_a_stream_breaks(provider: DialectName) -> None:
    cut_short = stream_bytes(provider, said(chat.Text("Hello, this is going to be cut.")))[:-1500]
    wire = Wire("openai_responses", provider, [cut_short])
    with pytest.raises(openai.APIError):
        list(with_openai(wire).responses.create(model="m", input="hi", stream=True))


# -- Anthropic messages

ANTHROPIC_TOOL: Any = {
    "name": "get_weather",
    "input_schema": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
}


@providers
def test_anthropic_reads_a_whole_answer(provider: DialectName) -> None:
    wire = Wire("anthropic_messages", provider, [said(THOUGHT, chat.Text("Hello."), *CALLS, usage=USAGE)])
    message = with_anthropic(wire).messages.create(**hello(max_tokens=64, tools=[ANTHROPIC_TOOL]))
    assert [block.type for block in message.content] == ["thinking", "text", "tool_use", "tool_use"]
    assert [block.input for block in message.content if block.type == "tool_use"] == [
        {"city": "Oslo"},
        {"city": "Rome"},
    ]
    assert message.stop_reason == "tool_use"
    assert message.usage.cache_read_input_tokens == 4
    read_and_written = 4 + (message.usage.cache_creation_input_tokens or 0)
    assert message.usage.input_tokens == 21 - read_and_written
    thinking = next(block for block in message.content if block.type == "thinking")
    assert thinking.signature.endswith("ErUBsig=")


@providers
def test_anthropic_s_stream_helper_reads_a_stream(provider: DialectName) -> None:
    wire = Wire("anthropic_messages", provider, [said(THOUGHT, chat.Text("Hello there."), *CALLS, usage=USAGE)])
    with with_anthropic(wire).messages.stream(**hello(max_tokens=64, tools=[ANTHROPIC_TOOL])) as stream:
        text = "".join(stream.text_stream)
        message = stream.get_final_message()
    assert text == "Hello there."
    assert [block.type for block in message.content] == ["thinking", "text", "tool_use", "tool_use"]
    assert [block.input for block in message.content if block.type == "tool_use"] == [
        {"city": "Oslo"},
        {"city": "Rome"},
    ]
    assert message.stop_reason == "tool_use"
    assert message.usage.output_tokens == 9


ANTHROPIC_ERRORS: list[tuple[int, type[anthropic.APIStatusError], str]] = [
    (400, anthropic.BadRequestError, "invalid_request_error"),
    (401, anthropic.AuthenticationError, "authentication_error"),
    (404, anthropic.NotFoundError, "not_found_error"),
    (429, anthropic.RateLimitError, "rate_limit_error"),
    (500, anthropic.InternalServerError, "api_error"),
    (503, anthropic.ServiceUnavailableError, "overloaded_error"),
]


@providers
@pytest.mark.parametrize(("status", "error", "kind"), ANTHROPIC_ERRORS)
def test_anthropic_raises_its_own_errors(
    provider: DialectName, status: int, error: type[anthropic.APIStatusError], kind: str
) -> None:
    body = {"error": {"message": "because", "type": "some_error"}}
    wire = Wire("anthropic_messages", provider, [httpx2.Response(status, json=body)])
    with pytest.raises(error) as raised:
        with_anthropic(wire).messages.create(**hello(max_tokens=64))
    assert "because" in raised.value.message
    assert isinstance(raised.value.body, dict)
    assert raised.value.body["error"]["type"] == kind


@providers
def test_anthropic_raises_when_a_stream_breaks(provider: DialectName) -> None:
    cut_short = stream_bytes(provider, said(chat.Text("Hello, this is going to be cut.")))[:-300]
    wire = Wire("anthropic_messages", provider, [cut_short])
    with pytest.raises(anthropic.APIError), with_anthropic(wire).messages.stream(**hello(max_tokens=64)) as stream:
        stream.get_final_message()


# -- Gemini


@providers
def test_google_reads_a_whole_answer(provider: DialectName) -> None:
    wire = Wire("gemini", provider, [said(THOUGHT, chat.Text("Hello."), CALLS[0], usage=USAGE)])
    response = with_google(wire).models.generate_content(model="m", contents="hi")
    assert response.text == "Hello."
    assert [(call.name, call.args) for call in response.function_calls or ()] == [("get_weather", {"city": "Oslo"})]
    assert response.usage_metadata is not None
    assert response.usage_metadata.total_token_count == 30
    assert response.candidates is not None
    assert response.candidates[0].finish_reason == genai_types.FinishReason.STOP


@providers
def test_google_reads_a_stream(provider: DialectName) -> None:
    wire = Wire("gemini", provider, [said(THOUGHT, chat.Text("Hello there."), CALLS[0], usage=USAGE)])
    chunks = list(with_google(wire).models.generate_content_stream(model="m", contents="hi"))
    parts = [part for chunk in chunks for candidate in chunk.candidates or () for part in candidate.content.parts or ()]
    assert "".join(part.text or "" for part in parts if not part.thought) == "Hello there."
    assert "".join(part.text or "" for part in parts if part.thought) == "Let me see."
    assert [part.function_call.args for part in parts if part.function_call] == [{"city": "Oslo"}]
    assert chunks[-1].usage_metadata is not None
    assert chunks[-1].usage_metadata.prompt_token_count == 21


@providers
def test_google_raises_its_own_errors(provider: DialectName) -> None:
    wire = Wire("gemini", provider, [httpx2.Response(429, json={"error": {"message": "because", "type": "x"}})])
    with pytest.raises(genai.errors.ClientError) as raised:
        with_google(wire).models.generate_content(model="m", contents="hi")
    assert raised.value.code == 429
    assert raised.value.status == "RESOURCE_EXHAUSTED"


# -- agent loops: a model that calls a tool for two cities, and then says what it heard

TEMPERATURES = {"Oslo": "7 degrees", "Rome": "21 degrees"}


def model_that_asks_first(conversation: chat.Conversation) -> chat.Answer:
    """Calls for both cities at once; thinks aloud with a signature when it does."""
    results = [part for message in conversation.messages for part in message.parts if isinstance(part, chat.ToolResult)]
    if not results:
        return said(chat.Text("Looking."), *CALLS)
    heard = [part.text for result in results for part in result.parts if isinstance(part, chat.Text)]
    return said(chat.Text(" and ".join(heard)))


LOOP: list[Turn] = [model_that_asks_first, model_that_asks_first]


@providers
def test_an_agent_on_the_anthropic_sdk_loops_with_streamed_tools(provider: DialectName) -> None:
    @beta_tool
    def get_weather(city: str) -> str:
        """The weather in a city."""
        return TEMPERATURES[city]

    wire = Wire("anthropic_messages", provider, LOOP)
    thread: Any = {"thread": False} if provider == "anthropic_messages" else {}
    runner = with_anthropic(wire).beta.messages.tool_runner(
        model="m",
        max_tokens=1024,
        tools=[get_weather],
        messages=[{"role": "user", "content": "Oslo and Rome?"}],
        stream=True,
        **thread,
    )
    finals = [stream.get_final_message() for stream in runner]
    assert len(finals) == 2
    assert finals[-1].content[0].type == "text"
    assert finals[-1].content[0].text == "7 degrees and 21 degrees"
    _assert_loop(wire)


@providers
def test_an_agent_on_the_responses_api_loops_with_streamed_tools(provider: DialectName) -> None:
    wire = Wire("openai_responses", provider, LOOP)
    client = with_openai(wire)
    tool: Any = {"type": "function", **CHAT_TOOL["function"], "strict": False}
    items: list[Any] = [{"role": "user", "content": "Oslo and Rome?"}]
    for _ in range(3):
        with client.responses.stream(
            model="m", input=items, tools=[tool], store=False, include=["reasoning.encrypted_content"]
        ) as stream:
            response = stream.get_final_response()
        items += [item.model_dump(exclude_none=True) for item in response.output]
        calls = [item for item in response.output if item.type == "function_call"]
        if not calls:
            break
        for call in calls:
            output = TEMPERATURES[json.loads(call.arguments)["city"]]
            items.append({"type": "function_call_output", "call_id": call.call_id, "output": output})
    assert response.output_text == "7 degrees and 21 degrees"
    _assert_loop(wire)


@providers
def test_an_agent_on_chat_completions_loops_with_tools(provider: DialectName) -> None:
    wire = Wire("openai_chat", provider, LOOP)
    client = with_openai(wire)
    messages: list[Any] = [{"role": "user", "content": "Oslo and Rome?"}]
    for _ in range(3):
        message = client.chat.completions.create(model="m", messages=messages, tools=[CHAT_TOOL]).choices[0].message
        messages.append(message.model_dump(exclude_none=True))
        for call in message.tool_calls or ():
            assert call.type == "function"
            output = TEMPERATURES[json.loads(call.function.arguments)["city"]]
            messages.append({"role": "tool", "tool_call_id": call.id, "content": output})
        if not message.tool_calls:
            break
    assert message.content == "7 degrees and 21 degrees"
    _assert_loop(wire)


@providers
def test_an_agent_on_the_google_sdk_loops_with_automatic_calls(provider: DialectName) -> None:
    def get_weather(city: str) -> str:
        """The weather in a city."""
        return TEMPERATURES[city]

    wire = Wire("gemini", provider, LOOP)
    config = genai_types.GenerateContentConfig(tools=[get_weather])
    response = with_google(wire).models.generate_content(model="m", contents="Oslo and Rome?", config=config)
    assert response.text == "7 degrees and 21 degrees"
    _assert_loop(wire)


def _assert_loop(wire: Wire) -> None:
    """The provider saw both calls and their results, joined by id."""
    assert len(wire.conversations) == 2
    parts = [part for message in wire.conversations[1].messages for part in message.parts]
    calls = [part for part in parts if isinstance(part, chat.ToolCall)]
    results = [part for part in parts if isinstance(part, chat.ToolResult)]
    assert [json.loads(call.arguments) for call in calls] == [{"city": "Oslo"}, {"city": "Rome"}]
    assert [result.call_id for result in results] == [call.id for call in calls]
    assert [tool.name for tool in wire.conversations[0].tools] == ["get_weather"]


def test_a_signature_comes_back_to_its_issuer_through_a_foreign_client() -> None:
    """The thoughts of Anthropic go to an OpenAI client and back, over two turns, with their signature intact."""
    answer = said(THOUGHT, *CALLS[:1])
    wire = Wire("openai_chat", "anthropic_messages", [answer, said(chat.Text("done"))])
    client = with_openai(wire)
    messages: list[Any] = [{"role": "user", "content": "Oslo?"}]
    message = client.chat.completions.create(model="m", messages=messages, tools=[CHAT_TOOL]).choices[0].message
    messages += [message.model_dump(exclude_none=True), {"role": "tool", "tool_call_id": "call_1", "content": "7"}]
    client.chat.completions.create(model="m", messages=messages, tools=[CHAT_TOOL])
    assert wire.requests[1]["messages"][1]["content"][0] == {
        "type": "thinking",
        "thinking": "Let me see.",
        "signature": "ErUBsig=",
    }


@pytest.mark.parametrize("client", ["openai_chat", "anthropic_messages", "openai_responses"])
def test_gemini_s_signature_comes_back_on_its_call(client: DialectName) -> None:
    signed = chat.Thinking("", chat.Signature("gemini", "CiQB"))
    wire = Wire(client, "gemini", [said(signed, CALLS[0]), said(chat.Text("done"))])
    _CLIENT_LOOPS[client](wire)
    parts = wire.requests[1]["contents"][1]["parts"]
    assert [part["thoughtSignature"] for part in parts if "functionCall" in part] == ["CiQB"]


def _loop_chat(wire: Wire) -> None:
    client = with_openai(wire)
    messages: list[Any] = [{"role": "user", "content": "Oslo?"}]
    message = client.chat.completions.create(model="m", messages=messages, tools=[CHAT_TOOL]).choices[0].message
    messages += [message.model_dump(exclude_none=True), {"role": "tool", "tool_call_id": "call_1", "content": "7"}]
    client.chat.completions.create(model="m", messages=messages, tools=[CHAT_TOOL])


def _loop_messages(wire: Wire) -> None:
    client = with_anthropic(wire)
    messages: list[Any] = [{"role": "user", "content": "Oslo?"}]
    message = client.messages.create(model="m", max_tokens=99, messages=messages, tools=[ANTHROPIC_TOOL])
    result = {"type": "tool_result", "tool_use_id": "call_1", "content": "7"}
    messages += [{"role": "assistant", "content": message.content}, {"role": "user", "content": [result]}]
    client.messages.create(model="m", max_tokens=99, messages=messages, tools=[ANTHROPIC_TOOL])


def _loop_responses(wire: Wire) -> None:
    client = with_openai(wire)
    tool: Any = {"type": "function", **CHAT_TOOL["function"], "strict": False}
    items: list[Any] = [{"role": "user", "content": "Oslo?"}]
    response = client.responses.create(model="m", input=items, tools=[tool])
    items += [item.model_dump(exclude_none=True) for item in response.output]
    items.append({"type": "function_call_output", "call_id": "call_1", "output": "7"})
    client.responses.create(model="m", input=items, tools=[tool])


_CLIENT_LOOPS: dict[str, Callable[[Wire], None]] = {
    "openai_chat": _loop_chat,
    "anthropic_messages": _loop_messages,
    "openai_responses": _loop_responses,
}
