"""Agents that stream, call tools in parallel and go on for several turns, at a provider of another dialect, with a
fail-over in the middle; what they cost is what the balance lost."""

from collections.abc import Callable
from typing import Any, Final

import pytest

from tests.sdk.conftest import HOUSES, Bill, Street, every_provider
from tests.sdk.tools import FOR_CHAT, FOR_MESSAGES, FOR_RESPONSES, HEARD, TASK, TOOLS, use

TURNS_MAX: Final = 8
TURNS: Final = 4
"""Two calls in parallel, one, another one, and the last word."""

FALLBACK: Final = dict(zip(HOUSES.values(), reversed(HOUSES.values()), strict=True))

every_fault = pytest.mark.parametrize("fault", ["fail-503", "fail-cut;after=-1", "fail-garbage;after=0"])

Turned = Callable[[int], None]
"""Called before each turn with its number."""


class Spent:
    """Tokens as the SDK was told them."""

    def __init__(self) -> None:
        self.input = 0
        self.output = 0

    def add(self, tokens_input: int, tokens_output: int) -> None:
        """Another answer."""
        self.input += tokens_input
        self.output += tokens_output


def run_messages(street: Street, bill: Bill, models: tuple[str, ...], before: Turned) -> tuple[str, Spent]:
    """An agent on the Anthropic SDK, as coding agents are written: the last text, and what it was told it used."""
    client, spent = street.anthropic(), Spent()
    messages: list[Any] = [{"role": "user", "content": TASK}]
    for turn in range(TURNS_MAX):
        before(turn)
        with client.messages.stream(
            model=models[0],
            max_tokens=1024,
            system=[{"type": "text", "text": "You report.", "cache_control": {"type": "ephemeral"}}],
            tools=FOR_MESSAGES,
            messages=messages,
            extra_body={"models": models[1:]},
        ) as stream:
            message = stream.get_final_message()
            bill.note(stream.response.headers)
        spent.add(message.usage.input_tokens, message.usage.output_tokens)
        uses = [block for block in message.content if block.type == "tool_use"]
        assert (message.stop_reason == "tool_use") is bool(uses)
        if not uses:
            return "".join(block.text for block in message.content if block.type == "text"), spent
        results = [
            {"type": "tool_result", "tool_use_id": block.id, "content": TOOLS[block.name](**block.input)}
            for block in uses
        ]
        messages += [{"role": "assistant", "content": message.content}, {"role": "user", "content": results}]
    raise AssertionError("the agent did not come to an end")


def run_responses(street: Street, bill: Bill, models: tuple[str, ...], before: Turned) -> tuple[str, Spent]:
    """An agent on the Responses API that keeps the conversation itself, reasoning included."""
    client, spent = street.openai(), Spent()
    items: list[Any] = [{"role": "user", "content": TASK}]
    for turn in range(TURNS_MAX):
        before(turn)
        with client.responses.stream(
            model=models[0],
            instructions="You report.",
            tools=FOR_RESPONSES,
            input=items,
            store=False,
            include=["reasoning.encrypted_content"],
            extra_body={"models": models[1:]},
        ) as stream:
            response = stream.get_final_response()
            bill.note(stream._response.headers)
        assert response.usage is not None
        spent.add(response.usage.input_tokens, response.usage.output_tokens)
        calls = [item for item in response.output if item.type == "function_call"]
        if not calls:
            return response.output_text, spent
        items += response.output
        items += [
            {"type": "function_call_output", "call_id": call.call_id, "output": use(call.name, call.arguments)}
            for call in calls
        ]
    raise AssertionError("the agent did not come to an end")


def run_chat(street: Street, bill: Bill, models: tuple[str, ...], before: Turned) -> tuple[str, Spent]:
    """An agent on chat completions."""
    client, spent = street.openai(), Spent()
    messages: list[Any] = [{"role": "developer", "content": "You report."}, {"role": "user", "content": TASK}]
    for turn in range(TURNS_MAX):
        before(turn)
        with client.chat.completions.stream(
            model=models[0],
            tools=FOR_CHAT,
            messages=messages,
            stream_options={"include_usage": True},
            extra_body={"models": models[1:]},
        ) as stream:
            completion = stream.get_final_completion()
            bill.note(stream._response.headers)
        assert completion.usage is not None
        spent.add(completion.usage.prompt_tokens, completion.usage.completion_tokens)
        message = completion.choices[0].message
        if not message.tool_calls:
            return message.content or "", spent
        messages.append(message)
        messages += [
            {
                "role": "tool",
                "tool_call_id": call.id,
                "content": use(call.function.name, call.function.arguments),
            }
            for call in message.tool_calls
        ]
    raise AssertionError("the agent did not come to an end")


every_agent = pytest.mark.parametrize("run", [run_messages, run_responses, run_chat])


@every_agent
@every_provider
def test_an_agent_goes_through_its_turns_and_the_balance_falls_by_what_they_cost(
    street: Street, bill: Bill, provider: str, run: Any
) -> None:
    said, spent = run(street, bill, (f"{provider}:think",), lambda turn: None)
    rows = bill.settle()
    assert said == HEARD[provider == "google"]
    assert [row["provider"] for row in rows] == [provider] * TURNS
    assert sum(row["inputTokens"] for row in rows) == spent.input
    assert sum(row["outputTokens"] for row in rows) == spent.output
    assert {row["certainty"] for row in rows} == {"reported"}


@every_fault
@every_agent
@every_provider
def test_a_provider_that_breaks_in_the_middle_is_not_noticed_by_the_agent(
    street: Street, bill: Bill, provider: str, run: Any, fault: str
) -> None:
    """The second turn is served by a provider of another dialect, thoughts and all; the third by the first again."""
    other = FALLBACK[provider]

    def break_in_the_middle(turn: int) -> None:
        if turn == 1:
            street.behave("echo", **{"as": fault, "until_requests": 1})

    said, spent = run(street, bill, (f"{provider}:echo", f"{other}:think"), break_in_the_middle)
    rows = bill.settle()
    assert said == HEARD[provider == "google"]
    assert [row["provider"] for row in rows] == [provider, provider, other, provider, provider]
    assert [row["isError"] for row in rows] == [False, True, False, False, False]
    assert not float(rows[1]["totalCost"] or 0)
    assert sum(row["outputTokens"] for row in rows if not row["isError"]) == spent.output
