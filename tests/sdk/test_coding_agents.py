"""Requests as coding agents send them, with all their hints, at providers that have never heard of those."""

from typing import Any, Final

from tests.sdk.conftest import Street, every_provider
from tests.sdk.tools import FOR_MESSAGES, FOR_RESPONSES

PIXEL: Final = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR4nGNgYGBgAAAABQABpfZFQAAAAABJRU5ErkJggg=="
HEARD: Final = ("say done", "The tool answered: fine")
"""What the simulator echoes: the last words, or the results of the same turn where its dialect has both in one."""

MARK: Final = {"type": "ephemeral"}


def text(words: str, **more: Any) -> dict[str, Any]:
    return {"type": "text", "text": words, **more}


def picture() -> dict[str, Any]:
    return {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PIXEL}}


ON_MESSAGES: Final[dict[str, Any]] = {
    "max_tokens": 8192,
    "system": [text("You are a coding agent."), text("Be careful.", cache_control=MARK)],
    "thinking": {"type": "enabled", "budget_tokens": 2048},
    "metadata": {"user_id": "user_1_account__session_2"},
    "tools": [*FOR_MESSAGES[:-1], {**FOR_MESSAGES[-1], "cache_control": MARK}],
    "messages": [
        {"role": "user", "content": [text("<system-reminder>today</system-reminder>"), text("Look at both.")]},
        {
            "role": "assistant",
            "content": [
                {"type": "thinking", "thinking": "Both at once.", "signature": "c2lnbmVk"},
                {"type": "redacted_thinking", "data": "c2VjcmV0"},
                text("Looking."),
                {"type": "tool_use", "id": "toolu_01A", "name": "weather", "input": {"city": "Oslo"}},
                {"type": "tool_use", "id": "toolu_01B", "name": "weather", "input": {"city": "Rome"}},
            ],
        },
        {
            "role": "user",
            "content": [
                {"type": "tool_result", "tool_use_id": "toolu_01A", "content": [text("fine"), picture()]},
                {"type": "tool_result", "tool_use_id": "toolu_01B", "content": "no such city", "is_error": True},
                text("And now: say done", cache_control=MARK),
            ],
        },
    ],
}

ON_RESPONSES: Final[dict[str, Any]] = {
    "instructions": "You are a coding agent.",
    "tools": FOR_RESPONSES,
    "tool_choice": "auto",
    "parallel_tool_calls": True,
    "reasoning": {"effort": "medium", "summary": "auto"},
    "store": False,
    "include": ["reasoning.encrypted_content"],
    "prompt_cache_key": "session-7",
    "text": {"verbosity": "low"},
    "input": [
        {"type": "message", "role": "developer", "content": [{"type": "input_text", "text": "<permissions/>"}]},
        {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "Look at both."}]},
        {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "Z0FBQUFB"},
        {"type": "function_call", "name": "weather", "arguments": '{"city":"Oslo"}', "call_id": "call_A"},
        {"type": "function_call", "name": "weather", "arguments": '{"city":"Rome"}', "call_id": "call_B"},
        {"type": "function_call_output", "call_id": "call_A", "output": "fine"},
        {
            "type": "function_call_output",
            "call_id": "call_B",
            "output": [{"type": "input_image", "image_url": f"data:image/png;base64,{PIXEL}"}],
        },
        {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "And now: say done"}]},
    ],
}


@every_provider
def test_a_request_of_a_claude_style_agent_is_served_everywhere(street: Street, provider: str) -> None:
    with street.anthropic().beta.messages.stream(
        model=f"{provider}:think",
        betas=["interleaved-thinking-2025-05-14", "fine-grained-tool-streaming-2025-05-14"],
        context_management={"edits": [{"type": "clear_tool_uses_20250919"}]},
        **ON_MESSAGES,
    ) as stream:
        message = stream.get_final_message()
    words = "".join(block.text for block in message.content if block.type == "text")
    assert HEARD[provider == "messages-house"] in words
    assert message.stop_reason == "end_turn"


@every_provider
def test_a_request_of_a_responses_agent_is_served_everywhere(street: Street, provider: str) -> None:
    with street.openai().responses.stream(model=f"{provider}:think", **ON_RESPONSES) as stream:
        response = stream.get_final_response()
    assert HEARD[provider == "messages-house"] in response.output_text
    assert response.status == "completed"


@every_provider
def test_what_is_dropped_of_it_is_named(street: Street, provider: str) -> None:
    raw = street.anthropic().messages.with_raw_response.create(model=f"{provider}:think", **ON_MESSAGES)
    dropped = {name.strip() for name in raw.headers.get("tollway-dropped", "").split(",")} - {""}
    expected = {
        "messages-house": set[str](),
        "google": {"system[].cache_control", "tools[].cache_control", "metadata.user_id"},
    }
    assert expected.get(provider, {"system[].cache_control", "tools[].cache_control"}) <= dropped
    assert bool(dropped) is (provider != "messages-house")
