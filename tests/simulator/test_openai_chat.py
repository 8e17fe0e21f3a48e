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
