"""Every feature, from every client dialect to every provider dialect: carried, refused by path or dropped by name."""

from typing import Any

import pytest

from tests.dialects.exemplars import EXEMPLARS
from tests.dialects.support import CHAT, asked, made, refused
from tests.dialects.table import DOCS, outcome, written
from tollway.dialects.bridge import CHAT_DIALECTS
from tollway.dialects.features import FEATURES, Feature
from tollway.wire.plan import DialectName

CASES = [
    (client, provider, feature)
    for client in CHAT
    for provider in CHAT
    if client != provider
    for feature in EXEMPLARS[client]
]


@pytest.mark.parametrize(("client", "provider", "feature"), CASES)
def test_a_feature_is_carried_refused_or_dropped_as_the_tables_say(
    client: DialectName, provider: DialectName, feature: Feature
) -> None:
    is_carried = feature in CHAT_DIALECTS[provider].carries
    assert outcome(client, provider, feature) == ("carried" if is_carried else FEATURES[feature].fate)


@pytest.mark.parametrize("dialect", CHAT)
@pytest.mark.parametrize("feature", FEATURES)
def test_the_same_dialect_passes_every_feature(dialect: DialectName, feature: Feature) -> None:
    if feature in EXEMPLARS[dialect]:
        _, body = EXEMPLARS[dialect][feature]
        assert asked(made(dialect, dialect), body).dropped == ()


NEUTRAL = [
    ("openai_chat", {"n": 1, "presence_penalty": 0, "frequency_penalty": 0.0, "logit_bias": {}, "stop": []}),
    ("openai_chat", {"logprobs": False, "top_logprobs": 0, "function_call": "none", "functions": []}),
    ("openai_chat", {"tools": [], "parallel_tool_calls": False, "tool_choice": "auto"}),
    ("openai_chat", {"response_format": {"type": "text"}, "modalities": ["text"], "store": False, "metadata": {}}),
    ("openai_responses", {"truncation": "disabled", "background": False, "previous_response_id": None}),
    ("openai_responses", {"tools": [], "parallel_tool_calls": False, "tool_choice": "auto", "top_logprobs": 0}),
    ("openai_responses", {"text": {"format": {"type": "text"}}, "reasoning": {"effort": None, "summary": None}}),
    ("anthropic_messages", {"thinking": {"type": "disabled"}, "container": None, "mcp_servers": [], "tools": []}),
]


@pytest.mark.parametrize("provider", CHAT)
@pytest.mark.parametrize(("client", "fields"), NEUTRAL)
def test_values_that_ask_for_nothing_are_neither_refused_nor_named(
    client: DialectName, fields: dict[str, Any], provider: DialectName
) -> None:
    said = {"input": "q"} if client == "openai_responses" else {"messages": [{"role": "user", "content": "q"}]}
    limit = {"max_tokens": 9} if client == "anthropic_messages" else {}
    assert asked(made(client, provider), {"model": "m", **said, **limit, **fields}).dropped == ()


def test_an_empty_object_may_ask_for_something() -> None:
    body = {"model": "m", "messages": [{"role": "user", "content": "q"}], "web_search_options": {}}
    assert refused(made("openai_chat", "gemini"), body).param == "web_search_options"


def test_every_feature_has_an_exemplar_somewhere() -> None:
    shown = {feature for exemplars in EXEMPLARS.values() for feature in exemplars}
    assert set(FEATURES) - shown == {"token_input", "dimensions", "packed_vectors", "surrounding"}  # of other surfaces


def test_a_row_may_carry_more_than_its_dialect() -> None:
    _, body = EXEMPLARS["anthropic_messages"]["cache_control"]
    plain = asked(made("anthropic_messages", "openai_chat"), body)
    kept = asked(made("anthropic_messages", "openai_chat", features=("cache_control",)), body)
    assert plain.dropped == ("messages[].content[].cache_control",)
    assert kept.dropped == ()
    assert b'"cache_control":{"type":"ephemeral"}' in kept.body


def test_a_row_may_declare_a_field_harmless() -> None:
    _, body = EXEMPLARS["openai_chat"]["logprobs"]
    out = asked(made("openai_chat", "anthropic_messages", refused_params=("logprobs",)), body)
    assert out.dropped == ("logprobs",)


@pytest.mark.parametrize("field", ["reasoning_content", "reasoning_details"])
def test_a_provider_that_wants_its_reasoning_back_gets_it(field: str) -> None:
    thought = {"type": "thinking", "thinking": "t", "signature": "tw.c.sig" if field == "reasoning_details" else ""}
    body = {
        "model": "m",
        "max_tokens": 9,
        "messages": [{"role": "assistant", "content": [thought]}, {"role": "user", "content": "q"}],
    }
    out = asked(made("anthropic_messages", "openai_chat", features=("thinking", "thinking_signature")), body)
    assert f'"{field}"'.encode() in out.body


def test_the_published_table_is_what_the_bridges_do() -> None:
    assert DOCS.read_text() == written(), "run: python -m tests.dialects.table"


def test_what_is_dropped_fits_a_header_however_much_it_is() -> None:
    message = {"role": "user", "content": "q", **{f"{number}{'x' * 300}": 1 for number in range(500)}}
    dropped = asked(made("openai_chat", "gemini"), {"model": "m", "messages": [message]}).dropped
    assert len(", ".join(dropped)) < 4000
    assert dropped[-1] == "and 468 more"
