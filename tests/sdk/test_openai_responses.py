"""The `openai` package on `/v1/responses`."""

import json
from typing import Any

import openai
import pytest

from tests.sdk.conftest import Street, every_provider
from tests.sdk.tools import FOR_RESPONSES, TASK, Weather

SAY = "one two three four"


@every_provider
def test_an_answer_is_read_whole(street: Street, provider: str) -> None:
    response = street.openai().responses.create(model=f"{provider}:echo", input=SAY, instructions="Be brief.")
    assert response.output_text == SAY
    assert response.status == "completed"
    assert response.usage is not None
    assert response.usage.total_tokens == response.usage.input_tokens + response.usage.output_tokens


@every_provider
def test_a_stream_is_numbered_and_every_item_that_begins_is_done(street: Street, provider: str) -> None:
    events = list(street.openai().responses.create(model=f"{provider}:think", input=SAY, stream=True))
    kinds = [event.type for event in events]
    assert kinds[0] == "response.created"
    assert kinds[-1] == "response.completed"
    assert [event.sequence_number for event in events] == list(range(len(events)))
    assert kinds.count("response.output_item.added") == kinds.count("response.output_item.done") == 2
    assert kinds.count("response.content_part.added") == kinds.count("response.content_part.done")
    deltas = [event.delta for event in events if event.type == "response.output_text.delta"]
    assert "".join(deltas) == SAY
    assert len(deltas) > 1


@every_provider
def test_the_stream_helper_s_snapshot_is_the_whole_answer(street: Street, provider: str) -> None:
    with street.openai().responses.stream(model=f"{provider}:think", input=SAY) as stream:
        texts = [event.text for event in stream if event.type == "response.output_text.done"]
        final = stream.get_final_response()
    assert texts == [final.output_text] == [SAY]
    assert [item.type for item in final.output] == ["reasoning", "message"]
    assert final.usage is not None
    assert final.usage.output_tokens > 0


@every_provider
def test_parallel_tool_calls_are_read_whole_and_streamed(street: Street, provider: str) -> None:
    told: dict[str, Any] = {"model": f"{provider}:echo", "input": TASK, "tools": FOR_RESPONSES}
    whole = street.openai().responses.create(**told)
    with street.openai().responses.stream(**told) as stream:
        done = [event for event in stream if event.type == "response.function_call_arguments.done"]
        streamed = stream.get_final_response()
    assert [json.loads(event.arguments) for event in done] == [{"city": "Oslo"}, {"city": "Rome"}]
    for response in (whole, streamed):
        calls = [item for item in response.output if item.type == "function_call"]
        assert [json.loads(call.arguments) for call in calls] == [{"city": "Oslo"}, {"city": "Rome"}]
        assert len({call.call_id for call in calls}) == 2


@every_provider
def test_the_parse_helper_reads_structured_output(street: Street, provider: str) -> None:
    parsed = street.openai().responses.parse(model=f"{provider}:echo", input=SAY, text_format=Weather)
    assert isinstance(parsed.output_parsed, Weather)


@every_provider
def test_the_stream_helper_reads_structured_output(street: Street, provider: str) -> None:
    with street.openai().responses.stream(model=f"{provider}:echo", input=SAY, text_format=Weather) as stream:
        final = stream.get_final_response()
    assert isinstance(final.output_parsed, Weather)


@every_provider
def test_the_parse_helper_reads_strict_tool_calls(street: Street, provider: str) -> None:
    text = 'call:Weather({"city": "Oslo", "degrees": 7, "hours": []})'
    tool: Any = openai.pydantic_function_tool(Weather)
    parsed = street.openai().responses.parse(model=f"{provider}:echo", input=text, tools=[tool])
    calls = [item.parsed_arguments for item in parsed.output if item.type == "function_call"]
    assert calls == [Weather(city="Oslo", degrees=7, hours=[])]


@every_provider
def test_an_output_limit_makes_it_incomplete(street: Street, provider: str) -> None:
    told: dict[str, Any] = {"model": f"{provider}:echo", "input": "word " * 50, "max_output_tokens": 16}
    whole = street.openai().responses.create(**told)
    events = list(street.openai().responses.create(**told, stream=True))
    assert events[-1].type == "response.incomplete"
    for response in (whole, events[-1].response):
        assert response.status == "incomplete"
        assert response.incomplete_details is not None
        assert response.incomplete_details.reason == "max_output_tokens"


@every_provider
async def test_the_asynchronous_client_streams_too(street: Street, provider: str) -> None:
    client = openai.AsyncOpenAI(base_url=f"{street.gateway.base_url}/v1", api_key=street.key)
    async with client, client.responses.stream(model=f"{provider}:echo", input=SAY) as stream:
        final = await stream.get_final_response()
    assert final.output_text == SAY


@pytest.mark.parametrize("provider", ["chat-house", "messages-house", "google"])
def test_a_stored_conversation_is_refused_by_name(street: Street, provider: str) -> None:
    with pytest.raises(openai.BadRequestError) as raised:
        street.openai().responses.create(model=f"{provider}:echo", input=SAY, previous_response_id="resp_1")
    assert (raised.value.param, raised.value.code) == ("previous_response_id", "unsupported_parameter")
