"""Tools that run at the provider: which are billed per use, how many searches can happen, and how they are limited."""

import json
from typing import Any

import pytest

from tests.dialects.support import made, refused
from tollway.dialects.bridge import read_intake
from tollway.dialects.exchange import Intake
from tollway.dialects.hosted import SEARCHES_MAX, limited
from tollway.wire.plan import DialectName, Surface

BODIES: dict[DialectName, dict[str, Any]] = {
    "openai_chat": {"model": "m", "messages": [{"role": "user", "content": "hello"}]},
    "openai_responses": {"model": "m", "input": "hello"},
    "openai_completions": {"model": "m", "prompt": "hello"},
    "anthropic_messages": {"model": "m", "max_tokens": 9, "messages": [{"role": "user", "content": "hello"}]},
    "gemini": {"model": "m", "contents": [{"parts": [{"text": "hello"}]}]},
}


def read(dialect: DialectName, surface: Surface | None = None, **fields: Any) -> Intake:
    intake = read_intake(dialect, json.dumps(BODIES[dialect] | fields).encode(), surface=surface)
    assert isinstance(intake, Intake), intake
    return intake


def claude(**tool: Any) -> dict[str, Any]:
    return {"type": "web_search_20250305", "name": "web_search", **tool}


FUNCTION = {"type": "function", "name": "f", "parameters": {"type": "object"}}


@pytest.mark.parametrize(
    ("dialect", "fields", "searches"),
    [
        ("anthropic_messages", {"tools": [claude()]}, SEARCHES_MAX),
        ("anthropic_messages", {"tools": [claude(max_uses=3)]}, 3),
        ("anthropic_messages", {"tools": [claude(max_uses=30)]}, 30),
        ("anthropic_messages", {"tools": [claude(max_uses=None)]}, SEARCHES_MAX),
        ("anthropic_messages", {"tools": [claude(max_uses=0)]}, SEARCHES_MAX),
        ("anthropic_messages", {"tools": [claude(max_uses="3")]}, SEARCHES_MAX),
        ("anthropic_messages", {"tools": [claude(max_uses=2), claude(max_uses=3, type="web_search_20260209")]}, 5),
        ("openai_responses", {"tools": [{"type": "web_search"}]}, SEARCHES_MAX),
        ("openai_responses", {"tools": [{"type": "web_search_2025_08_26"}], "max_tool_calls": 2}, 2),
        ("openai_responses", {"tools": [FUNCTION], "max_tool_calls": 2}, 0),
        ("gemini", {"tools": [{"googleSearch": {}}]}, 1),
        ("gemini", {"tools": [{"google_search_retrieval": {}}]}, 1),
        ("gemini", {"tools": [{"googleSearch": None}]}, 0),
    ],
)
def test_the_searches_that_can_happen_are_the_requests_own_limit_or_ours(
    dialect: DialectName, fields: dict[str, Any], searches: int
) -> None:
    intake = read(dialect, **fields)
    assert (intake.searches, intake.billed_tools) == (searches, ())


@pytest.mark.parametrize(
    ("dialect", "fields", "tools"),
    [
        ("anthropic_messages", {"tools": [{"type": "code_execution_20250825", "name": "c"}]}, ("code_execution",)),
        ("anthropic_messages", {"tools": [{"type": "web_search_next", "name": "c"}]}, ("web_search_next",)),
        ("anthropic_messages", {"tools": [{"type": "crystal_ball_20300101", "name": "c"}]}, ("crystal_ball",)),
        ("openai_responses", {"tools": [{"type": "file_search", "vector_store_ids": []}]}, ("file_search",)),
        ("openai_responses", {"tools": [{"type": "code_interpreter", "container": "c"}]}, ("code_interpreter",)),
        ("openai_responses", {"tools": [{"type": "image_generation"}]}, ("image_generation",)),
        ("openai_responses", {"tools": [{"type": "web_search_preview"}]}, ("web_search_preview",)),
        ("openai_responses", {"tools": [{"type": "shell"}]}, ("shell",)),
        ("openai_responses", {"tools": [{"type": "namespace", "tools": [{"type": "file_search"}]}]}, ("file_search",)),
        ("openai_chat", {"tools": [{"type": "web_search"}]}, ("web_search",)),
        ("openai_chat", {"tools": [{"type": "builtin_function"}]}, ("builtin_function",)),
        ("openai_chat", {"web_search_options": {}}, ("web_search_options",)),
        ("openai_chat", {"plugins": [{"id": "web"}]}, ("plugins",)),
        ("openai_chat", {"search_parameters": {"mode": "auto"}}, ("search_parameters",)),
        ("openai_completions", {"plugins": [{"id": "web"}]}, ("plugins",)),
        ("gemini", {"tools": [{"googleMaps": {}}, {"fileSearch": {}}]}, ("fileSearch", "googleMaps")),
        ("openai_responses", {"tools": [{"type": "what is this?"}]}, ("tools[0]",)),
        ("openai_responses", {"tools": [{"type": "x" * 100}]}, ("tools[0]",)),
    ],
)
def test_tools_that_are_billed_per_use_are_named_and_unknown_ones_count_as_billed(
    dialect: DialectName, fields: dict[str, Any], tools: tuple[str, ...]
) -> None:
    intake = read(dialect, **fields)
    assert (intake.searches, intake.billed_tools) == (0, tools)


@pytest.mark.parametrize(
    ("dialect", "fields"),
    [
        ("anthropic_messages", {"tools": [{"name": "f", "input_schema": {}}, {"type": "custom", "name": "g"}]}),
        ("anthropic_messages", {"tools": [{"type": "bash_20250124", "name": "bash"}]}),
        ("anthropic_messages", {"tools": [{"type": "text_editor_20250728", "name": "e"}]}),
        ("anthropic_messages", {"tools": [{"type": "computer_20251124", "name": "computer"}]}),
        ("anthropic_messages", {"tools": [{"type": "memory_20250818", "name": "memory"}]}),
        ("anthropic_messages", {"tools": [{"type": "web_fetch_20250910", "name": "web_fetch"}]}),
        ("anthropic_messages", {"tools": [{"type": "tool_search_tool_regex_20251119", "name": "t"}]}),
        ("anthropic_messages", {"tools": [{"type": "mcp_toolset", "mcp_server_name": "s"}]}),
        ("openai_responses", {"tools": [FUNCTION, {"type": "custom", "name": "c"}, {"type": "apply_patch"}]}),
        ("openai_responses", {"tools": [{"type": "local_shell"}, {"type": "mcp", "server_label": "s"}]}),
        ("openai_responses", {"tools": [{"type": "shell", "environment": {"type": "local"}}]}),
        ("openai_responses", {"tools": [{"type": "namespace", "tools": [FUNCTION]}]}),
        ("openai_responses", {"tools": []}),
        ("openai_completions", {"tools": [{"type": "function", "function": {"name": "f"}}]}),
        ("openai_chat", {"tools": [{"type": "function", "function": {"name": "f"}}]}),
        (
            "openai_chat",
            {"tools": [{"type": "custom", "custom": {"name": "f"}}], "plugins": [], "enable_search": False},
        ),
        ("openai_chat", {"web_search_options": None}),
        ("gemini", {"tools": [{"functionDeclarations": [{"name": "f"}]}, {"urlContext": {}}, {"codeExecution": {}}]}),
    ],
)
def test_tools_that_run_at_the_client_or_cost_only_tokens_are_not_billed(
    dialect: DialectName, fields: dict[str, Any]
) -> None:
    intake = read(dialect, **fields)
    assert (intake.searches, intake.billed_tools) == (0, ())


def test_counting_tokens_searches_nothing() -> None:
    intake = read("anthropic_messages", "count_tokens", tools=[claude(), {"type": "code_execution_20250825"}])
    assert (intake.searches, intake.billed_tools) == (0, ())


def limits(dialect: DialectName, body: bytes) -> dict[str, Any]:
    return json.loads(limited(dialect, body))


def test_a_search_without_a_limit_gets_ours_and_all_else_stays_as_it_is() -> None:
    tools = b'[{"name" :"f","input_schema":{"a": 1.0}},{"type":"web_search_20250305","x": [1.50]}]'
    body = b'{"model": "m",  "tools":%b}' % tools
    out = limited("anthropic_messages", body)
    assert b'{"name" :"f","input_schema":{"a": 1.0}}' in out
    assert b'"x":[1.50]' in out
    assert json.loads(out)["tools"][1] == {"type": "web_search_20250305", "x": [1.5], "max_uses": SEARCHES_MAX}


@pytest.mark.parametrize("given", [None, -1, "many", 2.5, True])
def test_what_is_no_limit_is_replaced_by_ours(given: Any) -> None:
    told = limits("anthropic_messages", json.dumps({"tools": [claude(max_uses=given)]}).encode())
    assert told["tools"][0]["max_uses"] == SEARCHES_MAX
    asked = {"tools": [{"type": "web_search"}], "max_tool_calls": given}
    assert limits("openai_responses", json.dumps(asked).encode())["max_tool_calls"] == SEARCHES_MAX


@pytest.mark.parametrize(
    ("dialect", "fields"),
    [
        ("anthropic_messages", {"tools": [claude(max_uses=3)]}),
        ("anthropic_messages", {"tools": [claude(max_uses=0)]}),
        ("anthropic_messages", {"tools": [{"name": "f"}], "max_tokens": 5}),
        ("openai_responses", {"tools": [{"type": "web_search"}], "max_tool_calls": 4}),
        ("openai_responses", {"tools": [{"type": "web_search"}], "max_tool_calls": 0}),
        ("openai_responses", {"tools": [FUNCTION]}),
        ("openai_chat", {"tools": [{"type": "function", "function": {"name": "f"}}]}),
        ("gemini", {"tools": [{"googleSearch": {}}]}),
    ],
)
def test_a_request_with_a_limit_or_without_a_search_stays_byte_for_byte(
    dialect: DialectName, fields: dict[str, Any]
) -> None:
    body = json.dumps(fields).encode()
    assert limited(dialect, body) is body


@pytest.mark.parametrize("limit", [b"1e999", b"9" * 400, b"-1e999", b"3.0"])
def test_a_number_beyond_every_range_is_no_limit(limit: bytes) -> None:
    asked = b'{"model":"m","input":"x","tools":[{"type":"web_search"}],"max_tool_calls":%b}' % limit
    intake = read_intake("openai_responses", asked)
    assert isinstance(intake, Intake)
    sent = limits("openai_responses", asked)["max_tool_calls"]
    assert intake.searches == sent
    offered = b'[{"type":"web_search_20250305","max_uses":%b}]' % limit
    body = b'{"model":"m","max_tokens":9,"messages":[{"role":"user","content":"x"}],"tools":%b}' % offered
    intake = read_intake("anthropic_messages", body)
    assert isinstance(intake, Intake)
    sent = limits("anthropic_messages", body)["tools"][0]["max_uses"]
    assert intake.searches == sent or intake.billed_tools == ("tools",)


@pytest.mark.parametrize("field", ["web_search_options", "search_parameters", "plugins", "enable_search"])
@pytest.mark.parametrize("provider", ["anthropic_messages", "openai_responses", "gemini"])
def test_no_field_that_asks_for_a_search_is_carried_to_another_dialect(provider: DialectName, field: str) -> None:
    refusal = refused(made("openai_chat", provider), BODIES["openai_chat"] | {field: {"a": 1}})
    assert (refusal.code, refusal.param) == ("unsupported_parameter", field)


def test_a_search_that_hides_behind_escapes_is_limited_too() -> None:
    for hidden in (b"w\\u0065b_search", b"web\\u005fsearch", b"\\u0077\\u0065\\u0062_search"):
        body = b'{"model":"m","input":"x","tools":[{"type":"%b"}]}' % hidden
        intake = read_intake("openai_responses", body)
        assert isinstance(intake, Intake)
        assert intake.searches == SEARCHES_MAX
        assert limits("openai_responses", body)["max_tool_calls"] == SEARCHES_MAX


def test_a_limit_that_is_given_twice_is_sent_once_as_it_was_held() -> None:
    twice = b'[{"type":"web_search_20250305","max_uses":900,"max_uses":2}]'
    body = b'{"model":"m","max_tokens":9,"messages":[{"role":"user","content":"x"}],"tools":%b}' % twice
    intake = read_intake("anthropic_messages", body)
    assert isinstance(intake, Intake)
    assert intake.searches == 2
    assert b"900" not in limited("anthropic_messages", body)
