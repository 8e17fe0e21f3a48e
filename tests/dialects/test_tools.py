"""Custom tools and a choice among some of the tools, between the dialects of OpenAI."""

import json
from typing import Any

import pytest

from tests.dialects.support import NOW_MS, asked, cut, made, out_of, steps_of
from tollway.dialects.bridge import CHAT_DIALECTS, Served
from tollway.dialects.dialect import Reply
from tollway.dialects.fold import fold, unfold
from tollway.dialects.sse import Splitter
from tollway.wire import chat
from tollway.wire.plan import DialectName

CODE: Any = {"syntax": "lark", "definition": "start: /.+/"}
CHAT: dict[str, Any] = {
    "model": "m",
    "messages": [
        {"role": "user", "content": "q"},
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [{"id": "c1", "type": "custom", "custom": {"name": "code", "input": "print(1)\n"}}],
        },
        {"role": "tool", "tool_call_id": "c1", "content": "1"},
    ],
    "tools": [{"type": "custom", "custom": {"name": "code", "format": {"type": "grammar", "grammar": CODE}}}],
    "tool_choice": {"type": "custom", "custom": {"name": "code"}},
}
RESPONSES: dict[str, Any] = {
    "model": "m",
    "input": [
        {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "q"}]},
        {"type": "custom_tool_call", "call_id": "c1", "name": "code", "input": "print(1)\n"},
        {"type": "custom_tool_call_output", "call_id": "c1", "output": "1"},
    ],
    "tools": [{"type": "custom", "name": "code", "format": {"type": "grammar", **CODE}}],
    "tool_choice": {"type": "custom", "name": "code"},
}
BODIES: dict[DialectName, dict[str, Any]] = {"openai_chat": CHAT, "openai_responses": RESPONSES}
PAIRS: list[tuple[DialectName, DialectName]] = [
    ("openai_chat", "openai_responses"),
    ("openai_responses", "openai_chat"),
]
CALLED = chat.Answer(
    "answer7",
    "model-9",
    (chat.Choice((chat.ToolCall("c1", "code", "print(1)\n", is_custom=True),), "tool_calls"),),
    created_s=NOW_MS // 1000,
)


@pytest.mark.parametrize(("client", "provider"), PAIRS)
def test_custom_tools_their_calls_and_results_arrive(client: DialectName, provider: DialectName) -> None:
    sent = json.loads(asked(made(client, provider), {**BODIES[client], "model": "sent-model"}).body)
    assert sent == {**BODIES[provider], "model": "sent-model", **({"store": False} if "input" in sent else {})}


@pytest.mark.parametrize(("client", "provider"), PAIRS)
def test_the_call_of_a_custom_tool_arrives_whole_and_streamed(client: DialectName, provider: DialectName) -> None:
    reply = Reply("rq_1", NOW_MS // 1000, is_usage_asked=True)
    theirs, ours = CHAT_DIALECTS[provider], CHAT_DIALECTS[client]
    bridge = made(client, provider)
    asked(bridge, BODIES[client])
    served = bridge.answer(200, theirs.write_answer(CALLED, reply))
    assert isinstance(served, Served)
    answer = ours.read_answer(served.body, reply)
    assert isinstance(answer, chat.Answer)
    assert answer.choices == CALLED.choices
    writer = theirs.writer(reply)
    data = b"".join(map(writer.write, unfold(CALLED, chars=3))) + writer.finish()
    out = out_of(steps_of(bridge.stream(), cut(data, 61)))
    reader = ours.reader(reply)
    events = [event for frame in Splitter().feed(out) for event in reader.read(frame)]
    assert fold([*events, *reader.end()]).choices == CALLED.choices


@pytest.mark.parametrize("provider", ["anthropic_messages", "gemini"])
def test_the_call_of_a_custom_tool_in_the_history_is_refused_by_path(provider: DialectName) -> None:
    body = json.dumps({"model": "m", "messages": CHAT["messages"]}).encode()
    out = made("openai_chat", provider).request(body, model_sent="m", tokens_output_cap=None, is_stream=False)
    assert getattr(out, "param", None) == "messages[1].tool_calls[0]"


FUNCTIONS = [{"type": "function", "function": {"name": name, "parameters": {"type": "object"}}} for name in "ab"]
FLAT = [{"type": "function", "name": name, "parameters": {"type": "object"}, "strict": False} for name in "ab"]
SOME: list[tuple[DialectName, dict[str, Any]]] = [
    ("openai_chat", {
        "messages": [{"role": "user", "content": "q"}], "tools": FUNCTIONS,
        "tool_choice": {"type": "allowed_tools", "allowed_tools": {
            "mode": "required", "tools": [{"type": "function", "function": {"name": "b"}}]}},
    }),
    ("openai_responses", {
        "input": "q", "tools": FLAT,
        "tool_choice": {"type": "allowed_tools", "mode": "required", "tools": [{"type": "function", "name": "b"}]},
    }),
]  # fmt: skip


@pytest.mark.parametrize("provider", CHAT_DIALECTS)
@pytest.mark.parametrize(("client", "body"), SOME)
def test_a_choice_among_some_tools_is_a_choice_among_these(
    client: DialectName, body: dict[str, Any], provider: DialectName
) -> None:
    if client == provider:
        return
    out = asked(made(client, provider), {"model": "m", **body})
    fields = json.loads(out.body)
    assert "allowed" not in json.dumps(fields).replace("allowedFunctionNames", "")
    assert json.dumps(fields["tools"]).count('"name"') == 1
    choice = fields.get("tool_choice") or fields["toolConfig"]["functionCallingConfig"]
    assert choice in ("required", {"type": "any"}, {"mode": "ANY"})


def test_a_choice_among_tools_of_other_kinds_is_refused() -> None:
    choice = {"type": "allowed_tools", "mode": "auto", "tools": [{"type": "web_search"}]}
    body = json.dumps({"model": "m", "input": "q", "tools": FLAT, "tool_choice": choice}).encode()
    out = made("openai_responses", "gemini").request(body, model_sent="m", tokens_output_cap=None, is_stream=False)
    assert getattr(out, "param", None) == "tool_choice"
