"""The parameters that an account says its provider takes: others stay behind by name, or the request is refused."""

import json
from typing import Any

import pytest

from tests.dialects.support import CHAT, CROSS, asked, made, refused
from tollway.dialects.providers import row_of_candidate
from tollway.wire.plan import Candidate, DialectName

USER: Any = {"role": "user", "content": "q"}
TOOL: Any = {"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}
LEAST: dict[DialectName, dict[str, Any]] = {
    "openai_chat": {"model": "m", "messages": [USER]},
    "openai_responses": {"model": "m", "input": "q"},
    "openai_completions": {"model": "m", "prompt": "q"},
    "openai_embeddings": {"model": "m", "input": "q"},
    "anthropic_messages": {"model": "m", "messages": [USER], "max_tokens": 99},
    "gemini": {"contents": [{"role": "user", "parts": [{"text": "q"}]}]},
}


def out_of(client: DialectName, fields: dict[str, Any], *listed: str, provider: DialectName | None = None, **how: Any):
    """What a provider with this list is sent, and what is named as left behind."""
    bridge = made(client, provider or client, supported_params=listed)
    out = asked(bridge, {**LEAST[client], **fields}, **how)
    return json.loads(out.body), out.dropped


def refusal_of(client: DialectName, fields: dict[str, Any], *listed: str, provider: DialectName | None = None):
    bridge = made(client, provider or client, supported_params=listed)
    refusal = refused(bridge, {**LEAST[client], **fields})
    assert refusal.code == "unsupported_parameter"
    return refusal


# -- one dialect


def test_without_a_list_everything_is_passed_on() -> None:
    body = {**LEAST["openai_chat"], "temperature": 0.5, "stop": ["x"], "vendor": 1}
    assert asked(made("openai_chat", "openai_chat"), body).dropped == ()


def test_what_is_not_in_the_list_stays_behind_by_name() -> None:
    fields = {"temperature": 0.5, "seed": 1, "user": "u", "vendor": {"deep": 1}, "top_p": 0.5}
    sent, dropped = out_of("openai_chat", fields, "top_p", "vendor")
    assert sent == {**LEAST["openai_chat"], "model": "sent-model", "vendor": {"deep": 1}, "top_p": 0.5}
    assert dropped == ("temperature", "seed", "user")


@pytest.mark.parametrize("dialect", LEAST)
def test_what_a_request_cannot_be_without_goes_though_the_list_is_empty(dialect: DialectName) -> None:
    sent, dropped = out_of(dialect, {"models": ["other"]})
    assert dropped == ()
    assert sent.keys() == LEAST[dialect].keys()


SYSTEMS: list[tuple[DialectName, dict[str, Any]]] = [
    ("anthropic_messages", {"system": "s"}),
    ("openai_responses", {"instructions": "s"}),
    ("gemini", {"systemInstruction": {"parts": [{"text": "s"}]}}),
]


@pytest.mark.parametrize(("dialect", "fields"), SYSTEMS)
def test_a_system_prompt_is_part_of_the_conversation(dialect: DialectName, fields: dict[str, Any]) -> None:
    sent, dropped = out_of(dialect, fields)
    assert dropped == ()
    assert sent.items() >= fields.items()


def test_a_stream_stays_one_and_is_asked_for_its_usage() -> None:
    sent, dropped = out_of("openai_chat", {"stream": True}, is_stream=True)
    assert (sent["stream"], sent["stream_options"], dropped) == (True, {"include_usage": True}, ())


MEANT: list[tuple[DialectName, dict[str, Any], str]] = [
    ("openai_chat", {"tools": [TOOL]}, "tools[0]"),
    ("openai_chat", {"response_format": {"type": "json_object"}}, "response_format"),
    ("openai_chat", {"response_format": {"type": "grammar"}}, "response_format.type"),
    ("openai_chat", {"stop": "x"}, "stop"),
    ("openai_chat", {"n": 2}, "n"),
    ("openai_chat", {"logprobs": True}, "logprobs"),
    ("openai_chat", {"web_search_options": {}}, "web_search_options"),
    ("openai_chat", {"modalities": ["audio"], "audio": {"voice": "x", "format": "wav"}}, "audio"),
    ("openai_responses", {"text": {"format": {"type": "json_object"}}}, "text.format"),
    ("openai_responses", {"tools": [{"type": "web_search"}]}, "tools[0]"),
    ("openai_responses", {"previous_response_id": "resp_1"}, "previous_response_id"),
    ("openai_completions", {"stop": "x"}, "stop"),
    ("openai_completions", {"suffix": "x"}, "suffix"),
    ("openai_completions", {"echo": True}, "echo"),
    ("openai_completions", {"n": 2}, "n"),
    ("openai_embeddings", {"dimensions": 3}, "dimensions"),
    ("openai_embeddings", {"encoding_format": "base64"}, "encoding_format"),
    ("anthropic_messages", {"stop_sequences": ["x"]}, "stop_sequences"),
    ("anthropic_messages", {"tools": [{"name": "f", "input_schema": {"type": "object"}}]}, "tools[0]"),
    ("anthropic_messages", {"mcp_servers": [{"type": "url", "url": "https://x.test"}]}, "mcp_servers"),
    ("gemini", {"tools": [{"functionDeclarations": [{"name": "f"}]}]}, "tools[0]"),
    ("gemini", {"generationConfig": {"stopSequences": ["x"]}}, "generationConfig.stopSequences"),
]  # fmt: skip


@pytest.mark.parametrize(("dialect", "fields", "path"), MEANT)
def test_what_the_answer_would_not_be_the_same_without_is_refused_by_its_path(
    dialect: DialectName, fields: dict[str, Any], path: str
) -> None:
    refusal = refusal_of(dialect, fields, "temperature")
    assert refusal.param == path
    assert "supportedParams" in refusal.message


@pytest.mark.parametrize(("dialect", "fields", "path"), MEANT)
def test_and_goes_where_it_is_in_the_list(dialect: DialectName, fields: dict[str, Any], path: str) -> None:
    listed = (path.partition("[")[0].rpartition(".")[2] if dialect == "gemini" else name for name in fields)
    sent, dropped = out_of(dialect, fields, *listed)
    assert dropped == ()
    assert sent.items() >= fields.items()


LEFT: list[tuple[DialectName, dict[str, Any]]] = [
    ("openai_chat", {"temperature": 1.5, "top_p": 0.1, "presence_penalty": 1, "frequency_penalty": 1, "top_k": 3}),
    ("openai_chat", {"reasoning_effort": "high", "logit_bias": {"1": 5}, "service_tier": "flex", "store": True}),
    ("openai_responses", {"reasoning": {"effort": "low"}, "text": {"verbosity": "low"}, "metadata": {"a": "b"}}),
    ("openai_completions", {"best_of": 3, "temperature": 0.3, "user": "u"}),
    ("openai_embeddings", {"user": "u"}),
    ("anthropic_messages", {"thinking": {"type": "enabled", "budget_tokens": 2000}, "top_k": 3, "metadata": {}}),
    ("gemini", {"safetySettings": [{"category": "c", "threshold": "t"}]}),
]


@pytest.mark.parametrize(("dialect", "fields"), LEFT)
def test_how_the_model_is_to_answer_may_stay_behind(dialect: DialectName, fields: dict[str, Any]) -> None:
    sent, dropped = out_of(dialect, fields)
    assert sent.keys() == LEAST[dialect].keys()
    assert dropped == tuple(fields)


NEUTRAL: list[tuple[DialectName, dict[str, Any]]] = [
    ("openai_chat", {"n": 1, "stop": None, "response_format": {"type": "text"}, "modalities": ["text"]}),
    ("openai_chat", {"tools": [], "tool_choice": "none"}),
    ("openai_chat", {"tool_choice": "required", "parallel_tool_calls": False}),
    ("openai_chat", {"logprobs": False, "functions": [], "parallel_tool_calls": True}),
    ("openai_embeddings", {"encoding_format": "float"}),
    ("openai_completions", {"suffix": "", "echo": False, "n": 1}),
]


@pytest.mark.parametrize(("dialect", "fields"), NEUTRAL)
def test_a_value_that_asks_for_nothing_is_no_reason_to_refuse(dialect: DialectName, fields: dict[str, Any]) -> None:
    sent, _ = out_of(dialect, fields)
    assert sent.keys() == LEAST[dialect].keys()


CHOICES: list[tuple[DialectName, dict[str, Any], Any, Any]] = [
    ("openai_chat", {"tools": [TOOL]}, "auto", "required"),
    ("anthropic_messages", {"tools": [{"name": "f", "input_schema": {"type": "object"}}]}, {"type": "auto"},
     {"type": "auto", "disable_parallel_tool_use": True}),
]  # fmt: skip


@pytest.mark.parametrize(("dialect", "tools", "usual", "other"), CHOICES)
def test_the_usual_choice_of_tools_may_stay_behind_and_another_may_not(
    dialect: DialectName, tools: dict[str, Any], usual: Any, other: Any
) -> None:
    sent, dropped = out_of(dialect, {**tools, "tool_choice": usual}, "tools")
    assert (sent["tools"], dropped) == (tools["tools"], ("tool_choice",))
    assert (refusal_of(dialect, {**tools, "tool_choice": other}, "tools").param or "").startswith("tool_choice")


def test_what_the_row_calls_harmless_is_not_refused() -> None:
    bridge = made("openai_chat", "openai_chat", supported_params=(), refused_params=("stop",))
    assert asked(bridge, {**LEAST["openai_chat"], "stop": ["x"], "seed": 1}).dropped == ("stop", "seed")


def test_what_is_left_behind_fits_a_header_however_much_it_is() -> None:
    _, dropped = out_of("openai_chat", {f"{number}{'x' * 300}": 1 for number in range(500)})
    assert len(", ".join(dropped)) < 4000
    assert dropped[-1] == "and 468 more"


# -- Gemini has most of its parameters inside an object


def test_the_fields_of_gemini_s_config_are_parameters() -> None:
    fields = {"generationConfig": {"temperature": 0.5, "topK": 3, "maxOutputTokens": 9}}
    sent, dropped = out_of("gemini", fields, "temperature")
    assert sent["generationConfig"] == {"temperature": 0.5, "maxOutputTokens": 9}
    assert dropped == ("generationConfig.topK",)


def test_gemini_s_config_may_be_listed_as_a_whole() -> None:
    fields = {"generationConfig": {"temperature": 0.5, "topK": 3}}
    assert out_of("gemini", fields, "generationConfig")[1] == ()


# -- the output limit


@pytest.mark.parametrize("dialect", [name for name in LEAST if name not in ("openai_embeddings", "gemini")])
def test_the_output_limit_of_the_hold_is_sent_whatever_the_list_says(dialect: DialectName) -> None:
    sent, _ = out_of(dialect, {}, cap=7)
    assert 7 in sent.values()


def test_the_output_limit_of_the_hold_is_sent_to_gemini_whatever_the_list_says() -> None:
    assert out_of("gemini", {}, cap=7)[0]["generationConfig"] == {"maxOutputTokens": 7}


NAMES: list[tuple[tuple[str, ...] | None, str]] = [
    (None, "max_tokens"),
    ((), "max_tokens"),
    (("temperature",), "max_tokens"),
    (("max_completion_tokens",), "max_completion_tokens"),
    (("max_tokens", "max_completion_tokens"), "max_tokens"),
]


@pytest.mark.parametrize(("listed", "name"), NAMES)
@pytest.mark.parametrize("wanted", [{}, {"max_tokens": 90}, {"max_completion_tokens": 90}])
@pytest.mark.parametrize("client", ["openai_chat", "anthropic_messages"])
def test_the_output_limit_goes_under_the_name_that_is_in_the_list(
    client: DialectName, wanted: dict[str, int], listed: tuple[str, ...] | None, name: str
) -> None:
    own = Candidate("own", "Own", "m", "m", "m", "openai_chat", "", is_managed=False, base_url="https://h.test/v1",
                    supported_params=listed)  # fmt: skip
    row = row_of_candidate(own)
    given = wanted if client == "openai_chat" else {}
    bridge = made(client, "openai_chat", output_limit_param=row.output_limit_param, supported_params=listed)
    out = asked(bridge, {**LEAST[client], **given}, cap=7)
    assert {key: value for key, value in json.loads(out.body).items() if key.startswith("max_")} == {name: 7}
    assert out.dropped == ()


@pytest.mark.parametrize(
    ("listed", "name"), [(None, ""), (("temperature",), ""), (("max_completion_tokens",), "max_completion_tokens")]
)
def test_azure_keeps_the_name_that_the_caller_uses_unless_the_list_has_one(
    listed: tuple[str, ...] | None, name: str
) -> None:
    own = Candidate("own", "Own", "m", "m", "m", "openai_chat", "aigpk_1", is_managed=False,
                    base_url="https://acme.openai.azure.com/openai/v1", supported_params=listed)  # fmt: skip
    assert row_of_candidate(own).output_limit_param == name


def test_the_list_is_in_the_row_of_a_custom_provider() -> None:
    own = Candidate("own", "Own", "m", "m", "m", "gemini", "", is_managed=False, base_url="https://h.test",
                    supported_params=("a", "b"))  # fmt: skip
    assert row_of_candidate(own).supported_params == ("a", "b")


# -- across dialects


def test_the_list_is_of_the_provider_s_names() -> None:
    fields = {"temperature": 0.5, "stop_sequences": ["x"], "metadata": {"user_id": "u"}}
    sent, dropped = out_of("anthropic_messages", fields, "stop", provider="openai_chat")
    assert sent.keys() == {"model", "messages", "max_tokens", "stop"}
    assert dropped == ("temperature", "user")


def test_what_is_refused_has_the_path_that_the_caller_wrote() -> None:
    refusal = refusal_of("anthropic_messages", {"stop_sequences": ["x"]}, "temperature", provider="openai_chat")
    assert refusal.param == "stop_sequences"
    refusal = refusal_of(
        "openai_chat", {"response_format": {"type": "json_object"}}, "stop", provider="openai_responses"
    )
    assert refusal.param == "response_format"


def test_gemini_s_own_names_are_listed_for_clients_of_others() -> None:
    fields = {"temperature": 0.5, "top_p": 0.5, "max_tokens": 9}
    sent, dropped = out_of("openai_chat", fields, "topP", provider="gemini")
    assert sent["generationConfig"] == {"topP": 0.5, "maxOutputTokens": 9}
    assert dropped == ("generationConfig.temperature",)


@pytest.mark.parametrize(("client", "provider"), CROSS)
def test_a_plain_request_passes_between_all_though_the_list_is_empty(
    client: DialectName, provider: DialectName
) -> None:
    sent, dropped = out_of(client, {}, provider=provider, cap=50)
    assert set(dropped) <= {"store"}  # with which a provider of responses is asked to keep nothing
    without = {name for name in LEAST[provider] if name != "model" or provider != "gemini"}
    assert sent.keys() >= without


@pytest.mark.parametrize("provider", CHAT)
def test_all_that_is_listed_goes_across_as_without_a_list(provider: DialectName) -> None:
    fields = {"temperature": 0.5, "tools": [TOOL], "tool_choice": "auto", "max_tokens": 90}
    plain = asked(made("openai_chat", provider), {**LEAST["openai_chat"], **fields})
    listed = tuple(json.loads(plain.body))
    assert out_of("openai_chat", fields, *listed, provider=provider) == (json.loads(plain.body), plain.dropped)
