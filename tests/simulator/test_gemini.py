"""Gemini, as its official client reads it."""

import httpx
import pytest
from google import genai
from google.genai import errors

CALL = 'call:add({"a": 1})'
TOOLS = {"tools": [{"function_declarations": [{"name": "add"}]}]}
Client = genai.client.AsyncClient

# The official client subclasses its own HTTP client's session, which that client warns about.
pytestmark = pytest.mark.filterwarnings("ignore:Inheritance class AiohttpClientSession:DeprecationWarning")


async def test_it_echoes_and_counts_four_bytes_a_token(gemini: Client) -> None:
    answer = await gemini.models.generate_content(model="simulator:echo", contents="hello big wide world")
    usage = answer.usage_metadata
    assert usage
    assert answer.text == "hello big wide world"
    assert (usage.prompt_token_count, usage.candidates_token_count, usage.total_token_count) == (5, 5, 10)


async def test_thoughts_are_marked_and_counted_apart(gemini: Client) -> None:
    answer = await gemini.models.generate_content(model="think", contents="hello big wide world")
    assert [bool(part.thought) for part in answer.candidates[0].content.parts] == [True, False]
    assert (answer.usage_metadata.thoughts_token_count, answer.usage_metadata.candidates_token_count) == (20, 5)


async def test_a_stream_ends_with_its_finish_and_usage(gemini: Client) -> None:
    stream = await gemini.models.generate_content_stream(model="echo;chunks=3", contents="one two three")
    chunks = [chunk async for chunk in stream]
    assert [chunk.text for chunk in chunks] == ["one ", "two ", "three", ""]
    assert [chunk.candidates[0].finish_reason for chunk in chunks] == [None, None, None, "STOP"]
    assert chunks[-1].usage_metadata.total_token_count == 8


async def test_without_sse_a_stream_is_one_json_array(http: httpx.AsyncClient) -> None:
    body = {"contents": [{"role": "user", "parts": [{"text": "one two"}]}]}
    chunks = (await http.post("/v1beta/models/echo:streamGenerateContent", json=body)).json()
    assert [chunk["candidates"][0]["content"]["parts"][0]["text"] for chunk in chunks] == ["one ", "two", ""]


async def test_it_calls_and_echoes_tools(gemini: Client) -> None:
    answer = await gemini.models.generate_content(model="echo", contents=CALL, config=TOOLS)
    assert [(call.name, call.args) for call in answer.function_calls] == [("add", {"a": 1})]
    result = {"role": "user", "parts": [{"function_response": {"name": "add", "response": {"sum": 42}}}]}
    told = [{"role": "user", "parts": [{"text": CALL}]}, answer.candidates[0].content, result]
    again = await gemini.models.generate_content(model="echo", contents=told, config=TOOLS)
    assert again.text == 'The tool answered: {"sum":42}'


@pytest.mark.parametrize(
    ("model", "config", "finish"),
    [("echo", {"max_output_tokens": 2}, "MAX_TOKENS"), ("fail-filter", {}, "SAFETY"), ("echo", {}, "STOP")],
)
async def test_the_finish_reason_says_why(gemini: Client, model: str, config: dict[str, object], finish: str) -> None:
    answer = await gemini.models.generate_content(model=model, contents="hello big world", config=config)
    assert answer.candidates[0].finish_reason == finish


async def test_an_offending_prompt_gets_no_candidates_and_no_error(gemini: Client) -> None:
    answer = await gemini.models.generate_content(model="fail-content-policy", contents="x")
    assert answer.candidates is None
    assert answer.prompt_feedback.block_reason == "PROHIBITED_CONTENT"


async def test_structured_output_is_an_instance_of_the_schema(gemini: Client) -> None:
    schema = {"type": "OBJECT", "required": ["n"], "properties": {"n": {"type": "INTEGER"}}}
    config = {"response_mime_type": "application/json", "response_schema": schema}
    assert (await gemini.models.generate_content(model="echo", contents="x", config=config)).text == '{"n":0}'


async def test_it_embeds_and_counts(gemini: Client) -> None:
    embedded = await gemini.models.embed_content(
        model="embed", contents=["a", "b"], config={"output_dimensionality": 8}
    )
    assert [len(one.values) for one in embedded.embeddings] == [8, 8]
    assert (await gemini.models.count_tokens(model="echo", contents="12345")).total_tokens == 2


@pytest.mark.parametrize(
    ("model", "code", "status"),
    [
        ("fail-401", 401, "UNAUTHENTICATED"),
        ("fail-key", 400, "INVALID_ARGUMENT"),
        ("fail-429", 429, "RESOURCE_EXHAUSTED"),
        ("fail-404", 404, "NOT_FOUND"),
        ("fail-503", 503, "UNAVAILABLE"),
    ],
)
async def test_errors_are_those_of_the_real_provider(gemini: Client, model: str, code: int, status: str) -> None:
    with pytest.raises(errors.APIError) as caught:
        await gemini.models.generate_content(model=model, contents="x")
    assert (caught.value.code, caught.value.status) == (code, status)


async def test_an_error_inside_a_stream_follows_the_content(gemini: Client) -> None:
    said: list[str | None] = []
    stream = await gemini.models.generate_content_stream(model="fail-error-in-stream", contents="a b c d")
    with pytest.raises(errors.ServerError, match="UNAVAILABLE"):
        said.extend([chunk.text async for chunk in stream])


async def test_the_key_may_be_in_the_query(http: httpx.AsyncClient) -> None:
    body = {"contents": [{"parts": [{"text": "x"}]}]}
    del http.headers["authorization"]
    refused = await http.post("/v1beta/models/echo:generateContent?key=bad-9999", json=body)
    assert refused.status_code == 400
    assert refused.json()["error"]["details"][0]["reason"] == "API_KEY_INVALID"
