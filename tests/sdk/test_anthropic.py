"""The `anthropic` package on `/v1/messages` and `/v1/messages/count_tokens`."""

from typing import Any

import anthropic
import pytest
from anthropic import beta_tool

from tests.sdk.conftest import Street, every_provider
from tests.sdk.tools import FOR_MESSAGES, TASK, Weather

SAY = "one two three four"
CITIES = [{"city": "Oslo"}, {"city": "Rome"}]


def ask(text: str = SAY, **more: Any) -> dict[str, Any]:
    return {"max_tokens": 512, "messages": [{"role": "user", "content": text}], **more}


@every_provider
def test_a_message_is_read_whole(street: Street, provider: str) -> None:
    raw = street.anthropic().messages.with_raw_response.create(model=f"{provider}:echo", **ask(system="Be brief."))
    message = raw.parse()
    assert [block.text for block in message.content if block.type == "text"] == [SAY]
    assert (message.type, message.role, message.stop_reason) == ("message", "assistant", "end_turn")
    assert message.usage.input_tokens > 0
    assert message.usage.output_tokens > 0
    assert raw.headers["tollway-model"] == f"{provider}:echo"


@every_provider
def test_a_stream_s_events_are_in_the_order_of_the_dialect(street: Street, provider: str) -> None:
    events = list(street.anthropic().messages.create(model=f"{provider}:echo", **ask(), stream=True))
    kinds = [event.type for event in events]
    pieces = kinds.count("content_block_delta")
    assert kinds == [
        "message_start",
        "content_block_start",
        *["content_block_delta"] * pieces,
        "content_block_stop",
        "message_delta",
        "message_stop",
    ]
    assert pieces > 1
    assert events[-2].usage.output_tokens > 0


@every_provider
def test_the_stream_helper_s_final_message_has_thoughts_text_and_usage(street: Street, provider: str) -> None:
    with street.anthropic().messages.stream(model=f"{provider}:think", **ask()) as stream:
        text = "".join(stream.text_stream)
        message = stream.get_final_message()
    assert text == SAY
    assert [block.type for block in message.content] == ["thinking", "text"]
    assert message.stop_reason == "end_turn"
    assert message.usage.output_tokens > 0


@every_provider
def test_parallel_tool_uses_are_read_whole_and_streamed(street: Street, provider: str) -> None:
    told = ask(TASK, model=f"{provider}:echo", tools=FOR_MESSAGES)
    whole = street.anthropic().messages.create(**told)
    with street.anthropic().messages.stream(**told) as stream:
        stream.until_done()
        streamed = stream.get_final_message()
    for message in (whole, streamed):
        uses = [block for block in message.content if block.type == "tool_use"]
        assert [use.input for use in uses] == CITIES
        assert len({use.id for use in uses}) == 2
        assert message.stop_reason == "tool_use"


@every_provider
def test_the_parse_helper_reads_structured_output(street: Street, provider: str) -> None:
    parsed = street.anthropic().messages.parse(model=f"{provider}:echo", **ask(), output_format=Weather)
    assert isinstance(parsed.parsed_output, Weather)


@every_provider
@pytest.mark.parametrize("is_stream", [False, True])
def test_the_tool_runner_runs_until_the_model_has_heard_enough(street: Street, provider: str, is_stream: bool) -> None:
    asked: list[str] = []

    @beta_tool
    def weather(city: str) -> str:
        """The weather in a city."""
        asked.append(city)
        return f"fine in {city}"

    runner = street.anthropic().beta.messages.tool_runner(
        model=f"{provider}:echo", tools=[weather], stream=is_stream, **ask(TASK)
    )
    final = runner.until_done()
    assert asked == ["Oslo", "Rome"]
    text = "".join(block.text for block in final.content if block.type == "text")
    assert text.startswith("The tool answered: ")
    assert "fine in Oslo" in text
    assert "fine in Rome" in text


@every_provider
def test_an_output_limit_and_a_stop_sequence_are_told(street: Street, provider: str) -> None:
    messages = street.anthropic().messages
    limited = messages.create(model=f"{provider}:echo", **ask("word " * 50) | {"max_tokens": 5})
    assert limited.stop_reason == "max_tokens"
    assert limited.usage.output_tokens == 5
    if provider != "responses-house":
        stopped = messages.create(model=f"{provider}:echo", **ask(stop_sequences=["three"]))
        assert [block.text.strip() for block in stopped.content if block.type == "text"] == ["one two"]


@every_provider
def test_what_a_filter_withheld_is_a_refusal(street: Street, provider: str) -> None:
    message = street.anthropic().messages.create(model=f"{provider}:fail-filter", **ask())
    assert message.stop_reason == "refusal"


@every_provider
def test_tokens_are_counted(street: Street, provider: str) -> None:
    counted = street.anthropic().messages.count_tokens(
        model=f"{provider}:echo", messages=[{"role": "user", "content": "word " * 100}], tools=FOR_MESSAGES
    )
    assert 90 < counted.input_tokens < 400


@every_provider
async def test_the_asynchronous_client_streams_too(street: Street, provider: str) -> None:
    client = anthropic.AsyncAnthropic(base_url=street.gateway.base_url, api_key=street.key)
    async with client, client.messages.stream(model=f"{provider}:echo", **ask()) as stream:
        message = await stream.get_final_message()
    assert [block.text for block in message.content if block.type == "text"] == [SAY]


def test_a_bearer_token_serves_as_well(street: Street) -> None:
    client = street.anthropic(api_key=None, auth_token=street.key)
    assert client.messages.create(model="chat-house:echo", **ask()).content


def test_cache_breakpoints_reach_who_has_them_and_are_named_where_dropped(street: Street) -> None:
    marked = [{"type": "text", "text": "Be brief.", "cache_control": {"type": "ephemeral"}}]
    create = street.anthropic().messages.with_raw_response.create
    assert "tollway-dropped" not in create(model="messages-house:echo", **ask(system=marked)).headers
    assert "cache_control" in create(model="chat-house:echo", **ask(system=marked)).headers["tollway-dropped"]


def test_models_are_listed_for_its_clients_too(street: Street) -> None:
    client = street.anthropic()
    (echo,) = [model for model in client.models.list() if model.id == "messages-house:echo"]
    assert (echo.type, echo.display_name, echo.max_tokens) == ("model", "echo", 16_384)
    assert client.models.retrieve("messages-house:echo").created_at == echo.created_at
    assert echo.created_at.tzinfo is not None
