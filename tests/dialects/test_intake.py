"""What ingress reads of a request: every malformed part has an error that names its path, and nothing is a fault."""

import json
from typing import Any

import pytest

from tests.dialects import support
from tests.dialects.support import asked, made
from tollway.dialects.bridge import Intake, read_intake
from tollway.wire.plan import DialectName
from tollway.wire.refusals import Refusal

CHAT: dict[str, Any] = {"model": "gpt-4o", "messages": [{"role": "user", "content": "hi"}]}
MESSAGES: dict[str, Any] = {"model": "claude", "max_tokens": 64, "messages": [{"role": "user", "content": "hi"}]}
RESPONSES: dict[str, Any] = {"model": "gpt-4o", "input": "hi"}
PNG = "iVBORw0KGgo" * 40


def read(dialect: DialectName, body: Any, **more: Any) -> Intake:
    found = read_intake(dialect, body if isinstance(body, bytes) else json.dumps(body).encode(), **more)
    assert isinstance(found, Intake), found
    return found


def refused(dialect: DialectName, body: Any, **more: Any) -> Refusal:
    found = read_intake(dialect, body if isinstance(body, bytes) else json.dumps(body).encode(), **more)
    assert isinstance(found, Refusal), found
    assert found.code == "invalid_request_body"
    return found


def with_content(*parts: Any) -> dict[str, Any]:
    return {**CHAT, "messages": [{"role": "user", "content": list(parts)}]}


PATHS: list[tuple[DialectName, Any, str | None]] = [
    ("openai_chat", {**CHAT, "model": 3}, "model"),
    ("openai_chat", {**CHAT, "model": ""}, "model"),
    ("openai_chat", {"messages": CHAT["messages"]}, "model"),
    ("openai_chat", {"model": "x"}, "messages"),
    ("openai_chat", {**CHAT, "messages": []}, "messages"),
    ("openai_chat", {**CHAT, "messages": "hi"}, "messages"),
    ("openai_chat", {**CHAT, "models": "gpt-4o"}, "models"),
    ("openai_chat", {**CHAT, "models": ["a", 3]}, "models[1]"),
    ("openai_chat", {**CHAT, "max_tokens": 0}, "max_tokens"),
    ("openai_chat", {**CHAT, "max_completion_tokens": -5}, "max_completion_tokens"),
    ("openai_chat", {**CHAT, "n": 0}, "n"),
    ("openai_chat", {**CHAT, "stream": "yes"}, "stream"),
    ("openai_chat", {**CHAT, "temperature": "hot"}, "temperature"),
    ("openai_chat", {**CHAT, "messages": [{"content": "x"}]}, "messages[0].role"),
    ("openai_chat", {**CHAT, "messages": [*CHAT["messages"], {"role": "user", "content": 7}]}, "messages[1].content"),
    ("openai_chat", with_content({"text": "no type"}), "messages[0].content[0].type"),
    ("openai_chat", with_content({"type": "text"}), "messages[0].content[0].text"),
    ("openai_chat", with_content({"type": "image_url"}), "messages[0].content[0].image_url"),
    ("openai_chat", with_content({"type": "image_url", "image_url": "x"}), "messages[0].content[0].image_url"),
    ("openai_chat", with_content({"type": "image_url", "image_url": {}}), "messages[0].content[0].image_url.url"),
    ("openai_chat", with_content({"type": "input_audio", "input_audio": {"data": "x"}}),
     "messages[0].content[0].input_audio.format"),
    ("openai_chat", {**CHAT, "tools": [{"type": "function", "function": {}}]}, "tools[0].function.name"),
    ("openai_chat", {**CHAT, "response_format": {"type": "json_schema", "json_schema": {}}},
     "response_format.json_schema.name"),
    ("anthropic_messages", {"model": "x", "messages": MESSAGES["messages"]}, "max_tokens"),
    ("anthropic_messages", {**MESSAGES, "messages": [{"role": "user"}]}, "messages[0].content"),
    ("anthropic_messages", {**MESSAGES, "messages": [{"role": "user", "content": [{"type": "image"}]}]},
     "messages[0].content[0].source"),
    ("anthropic_messages", {**MESSAGES, "system": 3}, "system"),
    ("openai_responses", {"model": "x"}, "input"),
    ("openai_responses", {**RESPONSES, "input": [{"role": "user"}]}, "input[0].content"),
    ("openai_responses", {**RESPONSES, "input": [{"type": "function_call", "name": "f"}]}, "input[0].call_id"),
    ("openai_responses", {**RESPONSES, "input": [{"role": "user", "content": [{"type": "input_image"}]}]},
     "input[0].content[0].image_url"),
    ("openai_completions", {"model": 1, "prompt": "x"}, "model"),
    ("openai_embeddings", {"model": "x"}, "input"),
    ("openai_embeddings", {"model": "x", "input": []}, "input"),
    ("openai_embeddings", {"model": "x", "input": ["a", ""]}, "input[1]"),
    ("openai_embeddings", {"model": "x", "input": ["a", 3]}, "input"),
    ("openai_embeddings", {"model": "x", "input": "a", "dimensions": 0}, "dimensions"),
    ("gemini", {"contents": []}, "contents"),
    ("gemini", {"contents": [{"parts": [{"text": 3}]}]}, "contents[0].parts[0].text"),
    ("openai_chat", [1], None),
    ("openai_chat", b"not json", None),
    ("openai_chat", b"", None),
    ("openai_chat", b'{"model": "x", "messages": [{"role": "user", "content": NaN}]}', None),
    ("openai_chat", b'{"model": "x", "temperature": Infinity, "messages": []}', None),
    ("openai_chat", b'{"model": "x", "messages": [], "note": "\xff"}', None),
    ("openai_chat", b'{"model": "x", "messages": []', None),
    ("openai_chat", b'{"model": "a", "messages": [], "model": "b"}', "model"),
    ("openai_chat", b'{"model":"a","messages":[],"\\u006dodel":"b"}', "model"),
    ("openai_chat", b'{\n "model": "a",\n "messages": [],\n "stream": true,\n "stream": false\n}', "stream"),
]  # fmt: skip


@pytest.mark.parametrize(("dialect", "body", "path"), PATHS)
def test_a_malformed_part_is_named_by_its_path(dialect: DialectName, body: Any, path: str | None) -> None:
    refusal = refused(dialect, body)
    assert refusal.param == path
    assert path is None or path in refusal.message


@pytest.mark.parametrize("depth", [65, 500, 200_000])
def test_a_body_that_is_too_deep_is_refused(depth: int) -> None:
    body = b'{"model":"x","messages":[],"deep":' + b"[" * depth + b"]" * depth + b"}"
    assert "nested" in refused("openai_chat", body).message


def test_brackets_inside_strings_do_not_count_as_depth() -> None:
    body = {**CHAT, "messages": [{"role": "user", "content": "[{" * 500 + '\\"]'}]}
    assert read("openai_chat", body).model == "gpt-4o"


def test_a_wide_body_is_not_a_deep_one() -> None:
    assert read("openai_chat", {**CHAT, "metadata_list": [[] for _ in range(1000)]}).model == "gpt-4o"


def test_more_than_ten_thousand_messages_are_refused() -> None:
    assert refused("openai_chat", {**CHAT, "messages": CHAT["messages"] * 10_001}).param == "messages"


def test_fields_that_nobody_knows_are_no_error() -> None:
    body = {**with_content({"type": "text", "text": "x", "new": 1}, {"type": "hologram", "hologram": {}}), "zz": [1]}
    assert read("openai_chat", body).model == "gpt-4o"


def test_the_caller_s_limit_is_the_smaller_of_the_two() -> None:
    body = {**CHAT, "max_tokens": 10, "max_completion_tokens": 7, "n": 3}
    found = read("openai_chat", body)
    assert (found.tokens_output_wanted, found.choices) == (7, 3)
    assert read("openai_chat", CHAT).tokens_output_wanted is None


def test_stream_and_usage_are_what_was_asked() -> None:
    body = {**CHAT, "stream": True, "stream_options": {"include_usage": True}}
    assert (read("openai_chat", body).is_stream, read("openai_chat", body).is_usage_asked) == (True, True)
    assert not read("openai_chat", {**CHAT, "stream": True}).is_usage_asked


def test_needs_are_what_the_body_uses() -> None:
    image = {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PNG}"}}
    body = {
        **with_content(image, {"type": "input_audio", "input_audio": {"data": PNG, "format": "wav"}}),
        "tools": [{"type": "function", "function": {"name": "f"}}],
        "response_format": {"type": "json_schema", "json_schema": {"name": "x", "schema": {}}},
        "reasoning_effort": "high",
    }
    assert read("openai_chat", body).needs == ("audio", "image", "json_schema", "reasoning", "tools")


def test_inline_media_are_not_counted_as_text() -> None:
    image = {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PNG}"}}
    body = json.dumps(with_content(image)).encode()
    found = read("openai_chat", body)
    assert found.text_bytes == len(body) - len(PNG)
    assert (found.media, found.media_bytes) == (1, len(PNG) * 3 // 4)


def test_text_bytes_bound_the_text_from_above() -> None:
    text = "naïve 日本語 \n\t"
    found = read("openai_chat", {**CHAT, "messages": [{"role": "user", "content": text}]})
    assert found.text_bytes >= len(text.encode())


def test_media_inside_tool_results_are_seen() -> None:
    source = {"type": "base64", "media_type": "image/png", "data": PNG}
    result = {"type": "tool_result", "tool_use_id": "t", "content": [{"type": "image", "source": source}]}
    body = {**MESSAGES, "messages": [{"role": "user", "content": [result]}]}
    assert "image" in read("anthropic_messages", body).needs
    assert read("anthropic_messages", body).media_bytes == len(PNG) * 3 // 4


def test_cache_control_is_seen() -> None:
    system = [{"type": "text", "text": "long", "cache_control": {"type": "ephemeral"}}]
    assert read("anthropic_messages", {**MESSAGES, "system": system}).is_caching
    assert not read("anthropic_messages", MESSAGES).is_caching


def test_a_count_needs_no_output_limit() -> None:
    body = {"model": "claude", "messages": MESSAGES["messages"]}
    assert read("anthropic_messages", body, surface="count_tokens").model == "claude"


def test_a_stored_conversation_needs_no_input() -> None:
    assert read("openai_responses", {"model": "x", "previous_response_id": "resp_1"}).model == "x"


def test_every_prompt_of_a_list_gets_its_own_answers() -> None:
    assert read("openai_completions", {"model": "x", "prompt": ["a", "b"], "n": 2}).choices == 4
    assert read("openai_completions", {"model": "x", "prompt": [1, 2, 3]}).choices == 1
    assert read("openai_completions", {"model": "x", "prompt": "a"}).tokens_output_wanted == 16


@pytest.mark.parametrize("given", ["a", ["a", "b"], [1, 2, 3], [[1, 2], [3]]])
def test_embeddings_take_texts_and_tokens(given: Any) -> None:
    found = read("openai_embeddings", {"model": "x", "input": given})
    assert found.tokens_output_wanted == 0


FOREIGN: list[tuple[DialectName, str, dict[str, Any]]] = [
    ("anthropic_messages", "messages[0].content[0].type", {"type": "search_result", "source": "https://x.test"}),
    ("anthropic_messages", "messages[0].content[0].type",
     {"type": "web_search_tool_result", "tool_use_id": "s", "content": {"type": "web_search_tool_result_error"}}),
    ("anthropic_messages", "messages[0].content[0].type",
     {"type": "code_execution_tool_result", "tool_use_id": "s", "content": {"type": "code_execution_result"}}),
    ("openai_chat", "messages[0].content[0].type", {"type": "hologram", "text": 7, "file": "x"}),
    ("openai_responses", "input[0].type",
     {"type": "computer_call_output", "call_id": "c", "output": {"type": "computer_screenshot", "image_url": "x"}}),
]  # fmt: skip


@pytest.mark.parametrize(("dialect", "path", "part"), FOREIGN)
def test_kinds_that_nobody_here_reads_pass_as_they_are_and_are_named_across_dialects(
    dialect: DialectName, path: str, part: dict[str, Any]
) -> None:
    turn = {"role": "user", "content": [part]}
    body = {**RESPONSES, "input": [part]} if dialect == "openai_responses" else {**MESSAGES, "messages": [turn]}
    assert read(dialect, body).model == body["model"]
    assert json.loads(asked(made(dialect, dialect), body).body) == {**body, "model": "sent-model"}
    assert support.refused(made(dialect, "gemini"), body).param == path


def test_a_malformed_part_beside_a_kind_that_nobody_reads_is_still_named() -> None:
    parts = [{"type": "search_result", "source": "https://x.test"}, {"type": "image", "source": "https://x.test"}]
    body = {**MESSAGES, "messages": [{"role": "user", "content": parts[::-1]}]}
    assert refused("anthropic_messages", body).param == "messages[0].content[0].source"
