"""OpenAI responses, legacy completions and embeddings, as the official client reads them."""

import math

import openai
import pytest

from tollway.simulator.dialects.openai_embeddings import DIMENSIONS, vector

TOOLS = [{"type": "function", "name": name, "parameters": {}, "strict": False} for name in ("add", "sub")]
CALLS = 'call:add({"a": 1}) and call:sub({"b": 2})'


async def test_responses_echo_and_count(chat: openai.AsyncOpenAI) -> None:
    answer = await chat.responses.create(model="echo", input="hello big wide world", instructions="be kind")
    assert (answer.output_text, answer.status, answer.instructions) == ("hello big wide world", "completed", "be kind")
    assert answer.usage
    assert (answer.usage.input_tokens, answer.usage.output_tokens, answer.usage.total_tokens) == (7, 5, 12)


async def test_response_events_come_in_the_official_order(chat: openai.AsyncOpenAI) -> None:
    stream = await chat.responses.create(model="echo", input="hello world", stream=True)
    events = [event async for event in stream]
    assert [event.type for event in events] == [
        "response.created",
        "response.in_progress",
        "response.output_item.added",
        "response.content_part.added",
        "response.output_text.delta",
        "response.output_text.delta",
        "response.output_text.done",
        "response.content_part.done",
        "response.output_item.done",
        "response.completed",
    ]
    assert [event.sequence_number for event in events] == list(range(10))


async def test_a_response_stream_folds_to_the_whole(chat: openai.AsyncOpenAI) -> None:
    async with chat.responses.stream(model="think", input=CALLS, tools=TOOLS) as stream:
        folded = await stream.get_final_response()
    assert [item.type for item in folded.output] == ["reasoning", "function_call", "function_call"]
    assert [item.arguments for item in folded.output[1:]] == ['{"a": 1}', '{"b": 2}']
    assert folded.usage.output_tokens_details.reasoning_tokens == 20


async def test_a_function_output_is_echoed(chat: openai.AsyncOpenAI) -> None:
    items = [
        {"role": "user", "content": CALLS},
        {"type": "function_call", "call_id": "c", "name": "add", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "c", "output": "42"},
    ]
    assert (await chat.responses.create(model="echo", input=items, tools=TOOLS)).output_text == "The tool answered: 42"


async def test_a_response_cut_by_its_limit_is_incomplete(chat: openai.AsyncOpenAI) -> None:
    answer = await chat.responses.create(model="echo", input="hello big wide world", max_output_tokens=2)
    assert (answer.status, answer.incomplete_details.reason) == ("incomplete", "max_output_tokens")
    stream = await chat.responses.create(model="echo", input="hello world", max_output_tokens=2, stream=True)
    assert [event.type async for event in stream][-1] == "response.incomplete"


async def test_a_failed_response_says_so_in_its_stream(chat: openai.AsyncOpenAI) -> None:
    stream = await chat.responses.create(model="fail-error-in-stream;after=0", input="hello world", stream=True)
    events = [event async for event in stream]
    assert [event.type for event in events][-2:] == ["error", "response.failed"]
    assert [event.sequence_number for event in events] == list(range(len(events)))
    assert "response.output_text.delta" not in [event.type for event in events]


async def test_response_text_follows_a_schema(chat: openai.AsyncOpenAI) -> None:
    schema = {"type": "object", "required": ["n"], "properties": {"n": {"type": "integer"}}}
    wanted = {"format": {"type": "json_schema", "name": "n", "schema": schema}}
    assert (await chat.responses.create(model="echo", input="x", text=wanted)).output_text == '{"n":0}'


async def test_legacy_completions_speak_json_and_sse(chat: openai.AsyncOpenAI) -> None:
    whole = await chat.completions.create(model="echo", prompt="hello world", max_tokens=50)
    stream = await chat.completions.create(model="echo", prompt="hello world", stream=True)
    chunks = [chunk async for chunk in stream]
    assert "".join(chunk.choices[0].text for chunk in chunks) == whole.choices[0].text == "hello world"
    assert [chunk.choices[0].finish_reason for chunk in chunks] == [None, None, "stop"]


async def test_several_prompts_give_several_choices(chat: openai.AsyncOpenAI) -> None:
    answer = await chat.completions.create(model="echo", prompt=["a", "b"], n=2)
    assert [choice.index for choice in answer.choices] == [0, 1, 2, 3]
    assert answer.usage.prompt_tokens == 2


@pytest.mark.parametrize(
    ("given", "tokens", "rows"),
    [("hello", 2, 1), (["hello", "abcd"], 3, 2), ([1, 2, 3], 3, 1), ([[1, 2, 3], [4]], 4, 2)],
)
async def test_embeddings_take_texts_and_tokens(
    chat: openai.AsyncOpenAI, given: object, tokens: int, rows: int
) -> None:
    answer = await chat.embeddings.create(model="embed", input=given, encoding_format="float")
    assert (answer.usage.prompt_tokens, answer.usage.total_tokens, len(answer.data)) == (tokens, tokens, rows)
    assert len(answer.data[0].embedding) == DIMENSIONS


async def test_base64_and_float_embeddings_are_the_same(chat: openai.AsyncOpenAI) -> None:
    floats = await chat.embeddings.create(model="embed", input="hello", encoding_format="float", dimensions=8)
    encoded = await chat.embeddings.create(model="embed", input="hello", dimensions=8)
    assert floats.data[0].embedding == encoded.data[0].embedding == list(vector("hello", 8))
    assert math.isclose(sum(value**2 for value in floats.data[0].embedding), 1, abs_tol=1e-6)


async def test_models_are_listed_one_by_one_too(chat: openai.AsyncOpenAI) -> None:
    assert "echo" in [model.id for model in (await chat.models.list()).data]
    assert (await chat.models.retrieve("Echo")).id == "echo"
    with pytest.raises(openai.NotFoundError):
        await chat.models.retrieve("nothing")
