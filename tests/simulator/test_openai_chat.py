"""OpenAI chat, as its official client reads it."""

import httpx
import openai
import pytest

from tollway.simulator import Simulator

HELLO = [{"role": "user", "content": "hello big wide world"}]


async def test_it_echoes_and_counts_four_bytes_a_token(chat: openai.AsyncOpenAI) -> None:
    answer = await chat.chat.completions.create(model="simulator:echo", messages=HELLO)
    assert answer.choices[0].message.content == "hello big wide world"
    assert answer.choices[0].finish_reason == "stop"
    assert answer.usage
    assert (answer.usage.prompt_tokens, answer.usage.completion_tokens, answer.usage.total_tokens) == (5, 5, 10)


@pytest.mark.parametrize("is_usage_asked", [True, False])
async def test_a_stream_tells_its_usage_only_if_asked(chat: openai.AsyncOpenAI, is_usage_asked: bool) -> None:
    options = {"stream_options": {"include_usage": True}} if is_usage_asked else {}
    stream = await chat.chat.completions.create(model="ECHO", messages=HELLO, stream=True, **options)
    chunks = [chunk async for chunk in stream]
    said = [chunk.choices[0].delta.content for chunk in chunks if chunk.choices]
    assert said == ["", "hello ", "big ", "wide ", "world", None]
    assert [chunk.usage.total_tokens for chunk in chunks if chunk.usage] == ([10] if is_usage_asked else [])
    assert [len(chunk.choices) for chunk in chunks] == [1] * 6 + [0] * is_usage_asked


@pytest.mark.parametrize(
    ("model", "error"),
    [
        ("fail-400", openai.BadRequestError),
        ("fail-401", openai.AuthenticationError),
        ("fail-403", openai.PermissionDeniedError),
        ("fail-404", openai.NotFoundError),
        ("no-such-model", openai.NotFoundError),
        ("fail-429", openai.RateLimitError),
        ("fail-quota", openai.RateLimitError),
        ("fail-500", openai.InternalServerError),
        ("fail-503", openai.InternalServerError),
        ("fail-529", openai.InternalServerError),
        ("fail-reset", openai.APIConnectionError),
        ("fail-close", openai.APIConnectionError),
        ("fail-cut", openai.APIConnectionError),
    ],
)
async def test_it_fails_as_its_name_says(chat: openai.AsyncOpenAI, model: str, error: type[Exception]) -> None:
    with pytest.raises(error):
        await chat.chat.completions.create(model=model, messages=HELLO)


@pytest.mark.parametrize(
    ("model", "code"),
    [
        ("fail-context", "context_length_exceeded"),
        ("fail-quota", "insufficient_quota"),
        ("fail-429", "rate_limit_exceeded"),
        ("fail-401", "invalid_api_key"),
        ("fail-content-policy", "content_policy_violation"),
    ],
)
async def test_refusals_carry_the_code_of_the_real_provider(chat: openai.AsyncOpenAI, model: str, code: str) -> None:
    with pytest.raises(openai.APIStatusError) as caught:
        await chat.chat.completions.create(model=model, messages=HELLO)
    assert caught.value.code == code


async def test_the_tally_knows_what_was_served(
    simulator: Simulator, chat: openai.AsyncOpenAI, http: httpx.AsyncClient
) -> None:
    await chat.chat.completions.create(model="echo", messages=HELLO)
    with pytest.raises(openai.InternalServerError):
        await chat.chat.completions.create(model="fail-503", messages=HELLO)
    told = (await http.get("/_sim/tally")).json()
    assert told["totals"]["outcomes"] == {"completed": 1, "failed": 1}
    assert (told["totals"]["tokens_input"], told["totals"]["tokens_output"]) == (5, 5)
    assert [(row["seq"], row["model"], row["credential"], row["status"]) for row in told["requests"]] == [
        (1, "echo", "1234", 200),
        (2, "fail-503", "1234", 503),
    ]
    assert simulator.tally.totals("echo").tokens_output == 5


async def test_it_calls_several_tools_at_once(chat: openai.AsyncOpenAI) -> None:
    asked = {
        "model": "echo",
        "messages": [{"role": "user", "content": 'call:add({"a": 1}) and call:sub({"b": 2})'}],
        "tools": [{"type": "function", "function": {"name": name, "parameters": {}}} for name in ("add", "sub")],
    }
    whole = (await chat.chat.completions.create(**asked)).choices[0]
    async with chat.chat.completions.stream(**asked) as stream:
        folded = (await stream.get_final_completion()).choices[0]
    for choice in (whole, folded):
        calls = [(call.function.name, call.function.arguments) for call in choice.message.tool_calls]
        assert calls == [("add", '{"a": 1}'), ("sub", '{"b": 2}')]
        assert choice.finish_reason == "tool_calls"
    assert len({call.id for call in whole.message.tool_calls}) == 2


async def test_a_tool_result_is_echoed(chat: openai.AsyncOpenAI) -> None:
    call = {"id": "c", "type": "function", "function": {"name": "add", "arguments": "{}"}}
    told = [
        *HELLO,
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "c", "content": "42"},
    ]
    answer = await chat.chat.completions.create(model="echo", messages=told)
    assert answer.choices[0].message.content == "The tool answered: 42"


async def test_reasoning_comes_before_the_text(chat: openai.AsyncOpenAI) -> None:
    answer = await chat.chat.completions.create(model="think", messages=HELLO)
    assert answer.choices[0].message.reasoning_content
    assert answer.usage.completion_tokens_details.reasoning_tokens == 20
    stream = await chat.chat.completions.create(model="think", messages=HELLO, stream=True)
    kinds = [set(chunk.choices[0].delta.model_dump(exclude_none=True)) async for chunk in stream]
    assert kinds.index({"reasoning_content"}) < kinds.index({"content"})


async def test_structured_output_is_an_instance_of_the_schema(chat: openai.AsyncOpenAI) -> None:
    schema = {"type": "object", "required": ["n"], "properties": {"n": {"type": "integer"}}}
    wanted = {"type": "json_schema", "json_schema": {"name": "n", "schema": schema}}
    answer = await chat.chat.completions.create(model="echo", messages=HELLO, response_format=wanted)
    assert answer.choices[0].message.content == '{"n":0}'


async def test_limits_stops_choices_and_logprobs_are_honoured(chat: openai.AsyncOpenAI) -> None:
    cut = await chat.chat.completions.create(model="echo", messages=HELLO, max_completion_tokens=2, n=3, logprobs=True)
    assert [choice.message.content for choice in cut.choices] == ["hello bi"] * 3
    assert [choice.finish_reason for choice in cut.choices] == ["length"] * 3
    assert cut.choices[0].logprobs.content[0].token == "hello bi"
    assert cut.usage.completion_tokens == 6
    stopped = await chat.chat.completions.create(model="echo", messages=HELLO, stop=" wide")
    assert stopped.choices[0].message.content == "hello big"


async def test_a_runaway_ignores_the_limit(chat: openai.AsyncOpenAI) -> None:
    answer = await chat.chat.completions.create(model="runaway", messages=HELLO, max_tokens=2)
    assert answer.usage.completion_tokens == 25_000


async def test_a_broken_body_is_refused_as_the_provider_does(http: httpx.AsyncClient) -> None:
    for body in (b"{", b"[]", b'{"model": 3}', b'{"model": "echo"}', b"[" * 100_000):
        refused = await http.post("/v1/chat/completions", content=body)
        assert (refused.status_code, refused.json()["error"]["type"]) == (400, "invalid_request_error")
