"""Anthropic messages, as its official client reads them."""

import anthropic
import pytest

HELLO = [{"role": "user", "content": "hello big wide world"}]
TOOLS = [{"name": name, "input_schema": {"type": "object"}} for name in ("add", "sub")]
CALLS = [{"role": "user", "content": 'call:add({"a": 1}) and call:sub({"b": 2})'}]


async def test_it_echoes_and_counts_four_bytes_a_token(claude: anthropic.AsyncAnthropic) -> None:
    answer = await claude.messages.create(model="simulator:echo", max_tokens=100, messages=HELLO)
    assert [block.text for block in answer.content] == ["hello big wide world"]
    assert (answer.stop_reason, answer.usage.input_tokens, answer.usage.output_tokens) == ("end_turn", 5, 5)


async def test_cached_input_is_counted_apart(claude: anthropic.AsyncAnthropic) -> None:
    model = "echo;in=100;cached=60;cache_write=30"
    usage = (await claude.messages.create(model=model, max_tokens=100, messages=HELLO)).usage
    assert (usage.input_tokens, usage.cache_read_input_tokens, usage.cache_creation_input_tokens) == (10, 60, 30)


async def test_it_says_that_it_searched_as_often_as_it_may(claude: anthropic.AsyncAnthropic) -> None:
    tool = {"type": "web_search_20250305", "name": "web_search", "max_uses": 2}
    asked = {"model": "echo;searches=5", "max_tokens": 100, "messages": HELLO}
    answer = await claude.messages.create(**asked, tools=[tool])
    assert answer.usage.server_tool_use is not None
    assert answer.usage.server_tool_use.web_search_requests == 2
    assert (await claude.messages.create(**asked)).usage.server_tool_use is None


async def test_a_stream_folds_to_the_whole_answer(claude: anthropic.AsyncAnthropic) -> None:
    asked = {"model": "think", "max_tokens": 500, "messages": CALLS, "tools": TOOLS}
    whole = await claude.messages.create(**asked)
    async with claude.messages.stream(**asked) as stream:
        folded = await stream.get_final_message()

    def content(message: anthropic.types.Message) -> list[object]:
        return [block.model_dump(exclude={"id"}) for block in message.content]

    assert content(folded) == content(whole)
    assert [block.type for block in whole.content] == ["thinking", "tool_use", "tool_use"]
    assert (folded.stop_reason, folded.usage.output_tokens) == (whole.stop_reason, whole.usage.output_tokens)


async def test_the_events_come_in_the_official_order(claude: anthropic.AsyncAnthropic) -> None:
    async with await claude.messages.create(model="echo", max_tokens=9, messages=HELLO, stream=True) as stream:
        events = [event.type async for event in stream]
    assert events == [
        "message_start",
        "content_block_start",
        *["content_block_delta"] * 4,
        "content_block_stop",
        "message_delta",
        "message_stop",
    ]


async def test_a_tool_result_is_echoed(claude: anthropic.AsyncAnthropic) -> None:
    result = {"type": "tool_result", "tool_use_id": "toolu_1", "content": [{"type": "text", "text": "42"}]}
    asked = [*CALLS, {"role": "assistant", "content": "…"}, {"role": "user", "content": [result]}]
    answer = await claude.messages.create(model="echo", max_tokens=100, messages=asked, tools=TOOLS)
    assert answer.content[0].text == "The tool answered: 42"


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"max_tokens": 2}, "max_tokens"),
        ({"max_tokens": 50, "stop_sequences": ["wide"]}, "stop_sequence"),
        ({"max_tokens": 50, "model": "fail-filter"}, "refusal"),
    ],
)
async def test_the_stop_reason_says_why(
    claude: anthropic.AsyncAnthropic, options: dict[str, object], reason: str
) -> None:
    answer = await claude.messages.create(**{"model": "echo", "messages": HELLO, **options})
    assert answer.stop_reason == reason


async def test_structured_output_is_an_instance_of_the_schema(claude: anthropic.AsyncAnthropic) -> None:
    schema = {"type": "object", "required": ["n"], "properties": {"n": {"type": "integer"}}}
    config = {"format": {"type": "json_schema", "schema": schema}}
    answer = await claude.messages.create(model="echo", max_tokens=50, messages=HELLO, output_config=config)
    assert answer.content[0].text == '{"n":0}'


async def test_tokens_are_counted_as_they_are_billed(claude: anthropic.AsyncAnthropic) -> None:
    count = await claude.messages.count_tokens(model="echo", messages=HELLO, system="be kind to me, ok?")
    assert count.input_tokens == -(-(20 + 18) // 4)


@pytest.mark.parametrize(
    ("model", "error", "kind"),
    [
        ("fail-400", anthropic.BadRequestError, "invalid_request_error"),
        ("fail-401", anthropic.AuthenticationError, "authentication_error"),
        ("fail-403", anthropic.PermissionDeniedError, "permission_error"),
        ("fail-404", anthropic.NotFoundError, "not_found_error"),
        ("fail-429", anthropic.RateLimitError, "rate_limit_error"),
        ("fail-500", anthropic.InternalServerError, "api_error"),
        ("fail-529", anthropic.APIStatusError, "overloaded_error"),
        ("fail-quota", anthropic.BadRequestError, "invalid_request_error"),
    ],
)
async def test_errors_are_those_of_the_real_provider(
    claude: anthropic.AsyncAnthropic, model: str, error: type[anthropic.APIStatusError], kind: str
) -> None:
    with pytest.raises(error) as caught:
        await claude.messages.create(model=model, max_tokens=9, messages=HELLO)
    assert caught.value.body == {
        "type": "error",
        "error": {"type": kind, "message": caught.value.body["error"]["message"]},
        "request_id": caught.value.response.headers["request-id"],
    }


async def test_an_error_inside_a_stream_follows_the_content(claude: anthropic.AsyncAnthropic) -> None:
    said: list[str] = []
    with pytest.raises(anthropic.APIStatusError, match="overloaded_error"):
        async with await claude.messages.create(
            model="fail-error-in-stream;after=1", max_tokens=9, messages=HELLO, stream=True
        ) as stream:
            said.extend([event.delta.text async for event in stream if event.type == "content_block_delta"])
    assert said == []


async def test_max_tokens_is_required(claude: anthropic.AsyncAnthropic) -> None:
    with pytest.raises(anthropic.BadRequestError, match="max_tokens"):
        await claude.post("/v1/messages", body={"model": "echo", "messages": HELLO}, cast_to=object)


async def test_models_are_listed(claude: anthropic.AsyncAnthropic) -> None:
    listed = await claude.models.list()
    assert "echo" in [model.id for model in listed.data]
