"""The `openai` package on `/v1/chat/completions`, `/v1/completions`, `/v1/embeddings` and `/v1/models`."""

import json
import math
from typing import Any

import openai
import pytest

from tests.sdk.conftest import Street, every_provider
from tests.sdk.tools import FOR_CHAT, TASK, Weather

SAY = "one two three four"
PIXEL = (
    "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR4nGNgYGBgAAAABQABpfZFQAAAAABJRU5E"
    "rkJggg=="
)


def ask(text: str = SAY, **more: Any) -> dict[str, Any]:
    return {"messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": text}], **more}


@every_provider
def test_an_answer_is_read_whole(street: Street, provider: str) -> None:
    raw = street.openai().chat.completions.with_raw_response.create(model=f"{provider}:echo", **ask())
    completion = raw.parse()
    assert completion.choices[0].message.content == SAY
    assert completion.choices[0].finish_reason == "stop"
    assert completion.usage is not None
    assert completion.usage.completion_tokens > 0
    assert completion.usage.total_tokens == completion.usage.prompt_tokens + completion.usage.completion_tokens
    assert raw.headers["tollway-model"] == f"{provider}:echo"


@every_provider
def test_a_stream_comes_in_pieces_and_ends_with_usage(street: Street, provider: str) -> None:
    stream = street.openai().chat.completions.create(
        model=f"{provider}:echo", **ask(), stream=True, stream_options={"include_usage": True}
    )
    chunks = list(stream)
    pieces = [chunk.choices[0].delta.content for chunk in chunks if chunk.choices and chunk.choices[0].delta.content]
    assert "".join(pieces) == SAY
    assert len(pieces) > 1
    assert [chunk.choices[0].finish_reason for chunk in chunks if chunk.choices][-1] == "stop"
    assert chunks[-1].usage is not None
    assert chunks[-1].choices == []


@every_provider
def test_who_does_not_ask_for_usage_gets_no_chunk_of_it(street: Street, provider: str) -> None:
    chunks = list(street.openai().chat.completions.create(model=f"{provider}:echo", **ask(), stream=True))
    assert all(chunk.choices for chunk in chunks)
    assert all(chunk.usage is None for chunk in chunks)


@every_provider
async def test_the_asynchronous_client_streams_too(street: Street, provider: str) -> None:
    async with openai.AsyncOpenAI(base_url=f"{street.gateway.base_url}/v1", api_key=street.key) as client:
        stream = await client.chat.completions.create(model=f"{provider}:echo", **ask(), stream=True)
        pieces = [chunk.choices[0].delta.content or "" async for chunk in stream]
    assert "".join(pieces) == SAY


@every_provider
def test_parallel_tool_calls_are_read_whole(street: Street, provider: str) -> None:
    completion = street.openai().chat.completions.create(model=f"{provider}:echo", **ask(TASK), tools=FOR_CHAT)
    calls = completion.choices[0].message.tool_calls or []
    assert completion.choices[0].finish_reason == "tool_calls"
    assert [json.loads(call.function.arguments) for call in calls] == [{"city": "Oslo"}, {"city": "Rome"}]
    assert len({call.id for call in calls}) == 2


@every_provider
def test_the_stream_helper_puts_parallel_tool_calls_together(street: Street, provider: str) -> None:
    chat = street.openai().chat.completions
    with chat.stream(model=f"{provider}:echo", **ask(TASK), tools=FOR_CHAT) as stream:
        kinds = [event.type for event in stream]
        final = stream.get_final_completion()
    calls = final.choices[0].message.tool_calls or []
    assert [json.loads(call.function.arguments) for call in calls] == [{"city": "Oslo"}, {"city": "Rome"}]
    assert kinds.count("tool_calls.function.arguments.done") == 2
    assert final.choices[0].finish_reason == "tool_calls"


@every_provider
def test_the_parse_helper_reads_structured_output(street: Street, provider: str) -> None:
    parsed = street.openai().chat.completions.parse(model=f"{provider}:echo", **ask(), response_format=Weather)
    assert isinstance(parsed.choices[0].message.parsed, Weather)


@every_provider
def test_the_stream_helper_reads_structured_output(street: Street, provider: str) -> None:
    chat = street.openai().chat.completions
    with chat.stream(model=f"{provider}:echo", **ask(), response_format=Weather) as stream:
        final = stream.get_final_completion()
    assert isinstance(final.choices[0].message.parsed, Weather)


@every_provider
def test_the_parse_helper_reads_strict_tool_calls(street: Street, provider: str) -> None:
    text = 'call:Weather({"city": "Oslo", "degrees": 7, "hours": []})'
    tool = openai.pydantic_function_tool(Weather)
    parsed = street.openai().chat.completions.parse(model=f"{provider}:echo", **ask(text), tools=[tool])
    calls = parsed.choices[0].message.tool_calls or []
    assert [call.function.parsed_arguments for call in calls] == [Weather(city="Oslo", degrees=7, hours=[])]


@every_provider
def test_reasoning_is_seen_and_counted(street: Street, provider: str) -> None:
    completion = street.openai().chat.completions.create(model=f"{provider}:think", **ask())
    message = completion.choices[0].message
    assert "repeat it word for word" in (message.model_extra or {})["reasoning_content"]
    assert message.content == SAY


@every_provider
def test_an_output_limit_is_kept_and_told(street: Street, provider: str) -> None:
    chat = street.openai().chat.completions
    completion = chat.create(model=f"{provider}:echo", **ask("word " * 50, max_completion_tokens=5))
    assert completion.choices[0].finish_reason == "length"
    assert completion.usage is not None
    assert completion.usage.completion_tokens == 5
    with pytest.raises(openai.LengthFinishReasonError):
        chat.parse(model=f"{provider}:echo", **ask(max_completion_tokens=2), response_format=Weather)


@every_provider
def test_what_a_filter_withheld_is_told(street: Street, provider: str) -> None:
    completion = street.openai().chat.completions.create(model=f"{provider}:fail-filter", **ask())
    assert completion.choices[0].finish_reason == "content_filter"


@every_provider
def test_an_image_arrives(street: Street, provider: str) -> None:
    parts: Any = [{"type": "text", "text": SAY}, {"type": "image_url", "image_url": {"url": PIXEL}}]
    messages: Any = [{"role": "user", "content": parts}]
    completion = street.openai().chat.completions.create(model=f"{provider}:echo", messages=messages)
    assert completion.choices[0].message.content == SAY
    assert completion.usage is not None
    assert completion.usage.prompt_tokens >= 85


@pytest.mark.parametrize("provider", ["chat-house", "google"])
@pytest.mark.parametrize("encoding", ["float", "base64", None])
def test_embeddings_are_the_same_in_every_encoding(street: Street, provider: str, encoding: Any) -> None:
    more: dict[str, Any] = {} if encoding is None else {"encoding_format": encoding}
    model = f"{provider}:embed"
    found = street.openai().embeddings.create(model=model, input=["one", "two"], dimensions=8, **more)
    plain = street.openai().embeddings.create(model=model, input=["one", "two"], dimensions=8, encoding_format="float")
    vectors = [item.embedding for item in plain.data]
    assert [len(vector) for vector in vectors] == [8, 8]
    if encoding == "base64":
        assert all(isinstance(item.embedding, str) for item in found.data)
    else:
        pairs = zip((item.embedding for item in found.data), vectors, strict=True)
        assert all(math.dist(one, other) < 1e-5 for one, other in pairs)


def test_legacy_completions_answer_whole_and_streamed(street: Street) -> None:
    client = street.openai()
    whole = client.completions.create(model="chat-house:echo", prompt=SAY)
    assert whole.choices[0].text == SAY
    stream = client.completions.create(model="chat-house:echo", prompt=SAY, stream=True)
    assert "".join(chunk.choices[0].text for chunk in stream if chunk.choices) == SAY


def test_models_are_listed_and_can_be_asked_for_by_the_listed_name(street: Street) -> None:
    client = street.openai()
    listed = {model.id for model in client.models.list()}
    assert {f"{provider}:echo" for provider in ("chat-house", "responses-house", "messages-house")} <= listed
    assert client.models.retrieve("chat-house:echo").id == "chat-house:echo"
    with pytest.raises(openai.NotFoundError):
        client.models.retrieve("chat-house:nothing")
