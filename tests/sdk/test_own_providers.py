"""Custom providers of each dialect, Gemini's too, as stock clients see them."""

import json

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
