"""What providers are known to refuse is never sent to them: their documented rules, held against the writers."""

import json
from typing import Any

import pytest

from tests.dialects.support import asked, chunk, made, out_of, refused, sse, steps_of
from tollway.dialects.bridge import bridge
from tollway.dialects.built_in import BUILT_IN
from tollway.dialects.rows import ProviderRow
from tollway.wire.plan import DialectName

ROWS = {found.id: found for found in BUILT_IN}
USER = {"role": "user", "content": "q"}
CALLING: Any = {
    "role": "assistant",
    "content": None,
    "tool_calls": [
        {"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}"}},
        {"id": "c2", "type": "function", "function": {"name": "f", "arguments": "{}"}},
    ],
}
RESULTS = [{"role": "tool", "tool_call_id": name, "content": "r"} for name in ("c1", "c2")]
TOOL: Any = {"type": "function", "function": {"name": "f", "parameters": {}}}
PNG = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "AAAA"}}


def chat(*messages: Any, **more: Any) -> dict[str, Any]:
    return {"model": "m", "messages": list(messages) or [USER], **more}


def sent(body: dict[str, Any], provider: DialectName, *, model: str, client: DialectName = "openai_chat") -> Any:
    return json.loads(asked(made(client, provider), body, model=model).body)


def sent_to(provider: str, body: dict[str, Any], *, model: str, client: DialectName = "anthropic_messages") -> Any:
    found = bridge(client, ROWS[provider].dialects["chat"], ROWS[provider])
    return json.loads(asked(found, body, model=model).body)  # pyright: ignore[reportArgumentType]  there is a way


# -- Anthropic


CLAUDE = "claude-sonnet-4-5"
SAMPLED: list[tuple[str, dict[str, Any], dict[str, Any], tuple[str, ...]]] = [
    (CLAUDE, {"temperature": 0.2, "top_p": 0.9}, {"temperature": 0.2}, ("top_p",)),
    (CLAUDE, {"temperature": 0.2, "top_p": 1}, {"temperature": 0.2}, ()),
    (CLAUDE, {"temperature": 1, "top_p": 0.9}, {"top_p": 0.9}, ()),
    ("claude-sonnet-4-20250514", {"temperature": 0.2, "top_p": 0.9}, {"temperature": 0.2, "top_p": 0.9}, ()),
    (CLAUDE, {"temperature": 0.2, "reasoning_effort": "low"}, {}, ("temperature",)),
    (CLAUDE, {"temperature": 1, "top_p": 0.99, "reasoning_effort": "low"}, {"top_p": 0.99}, ()),
    (CLAUDE, {"top_p": 0.5, "top_k": 3, "reasoning_effort": "low"}, {}, ("top_p", "top_k")),
    (CLAUDE, {"temperature": 0.2, "reasoning_effort": "none"}, {"temperature": 0.2}, ()),
]


@pytest.mark.parametrize(("model", "asked_for", "taken", "named"), SAMPLED)
def test_anthropic_gets_only_the_sampling_that_it_takes_together(
    model: str, asked_for: dict[str, Any], taken: dict[str, Any], named: tuple[str, ...]
) -> None:
    out = asked(made("openai_chat", "anthropic_messages"), chat(max_tokens=9000, **asked_for), model=model)
    body = json.loads(out.body)
    assert {name: body[name] for name in ("temperature", "top_p", "top_k") if name in body} == taken
    assert out.dropped == named


def test_anthropic_does_not_think_where_a_tool_must_be_called() -> None:
    body = chat(max_tokens=9000, tools=[TOOL], tool_choice="required", reasoning_effort="low", temperature=0.5)
    out = asked(made("openai_chat", "anthropic_messages"), body, model=CLAUDE)
    assert out.dropped == ("reasoning",)
    assert "thinking" not in json.loads(out.body)
    assert json.loads(out.body)["temperature"] == 0.5


def test_a_conversation_that_the_assistant_begins_reaches_anthropic_with_a_turn_of_the_user_first() -> None:
    messages = sent(chat({"role": "assistant", "content": "Hi!"}, USER), "anthropic_messages", model=CLAUDE)["messages"]
    assert [message["role"] for message in messages] == ["user", "assistant", "user"]


def test_text_of_white_space_alone_and_white_space_at_the_end_stay_behind() -> None:
    turns = [
        {"role": "system", "content": ""},
        {"role": "user", "content": [{"type": "text", "text": " "}, {"type": "text", "text": "q"}]},
        {"role": "assistant", "content": "\n"},
        USER,
        {"role": "assistant", "content": "Sure: "},
    ]
    body = sent(chat(*turns), "anthropic_messages", model=CLAUDE)
    assert "system" not in body
    said = [block["text"] for message in body["messages"] for block in message["content"]]
    assert said == ["q", "q", "Sure:"]


@pytest.mark.parametrize("provider", ["anthropic_messages", "gemini"])
def test_a_system_prompt_alone_is_what_the_user_says(provider: DialectName) -> None:
    body = sent(chat({"role": "system", "content": "Say hi."}), provider, model="m")
    turns = body.get("messages") or body["contents"]
    assert [turn["role"] for turn in turns] == ["user"]
    assert "Say hi." in json.dumps(turns)
    assert not body.keys() & {"system", "systemInstruction"}


@pytest.mark.parametrize("provider", ["anthropic_messages", "openai_responses"])
def test_the_parameters_of_a_function_have_a_type(provider: DialectName) -> None:
    tool = sent(chat(tools=[TOOL]), provider, model="m")["tools"][0]
    assert (tool.get("input_schema") or tool["parameters"])["type"] == "object"


# -- Gemini


def parts_of(body: Any, key: str) -> list[Any]:
    return [part for content in body["contents"] for part in content["parts"] if key in part]


def test_gemini_3_gets_a_signature_on_the_first_of_another_model_s_calls() -> None:
    for model, signatures in (("gemini-3-pro-preview", 1), ("gemini-2.5-flash", 0)):
        calls = parts_of(sent(chat(USER, CALLING, *RESULTS), "gemini", model=model), "functionCall")
        assert [call.get("thoughtSignature") for call in calls] == [
            "skip_thought_signature_validator" if signatures else None,
            None,
        ]


@pytest.mark.parametrize(("model", "is_inside"), [("gemini-2.5-pro", False), ("gemini-3-pro-preview", True)])
def test_images_in_results_are_beside_them_for_gemini_before_3(model: str, is_inside: bool) -> None:
    called = {"role": "assistant", "content": [{"type": "tool_use", "id": "t", "name": "f", "input": {}}]}
    result = {"type": "tool_result", "tool_use_id": "t", "content": [{"type": "text", "text": "r"}, PNG]}
    turns = [USER, called, {"role": "user", "content": [result]}]
    body = sent(chat(*turns, max_tokens=9), "gemini", model=model, client="anthropic_messages")
    response = parts_of(body, "functionResponse")[0]["functionResponse"]
    assert ("parts" in response) is is_inside
    assert len(parts_of(body, "inlineData")) == (not is_inside)
    assert [content["role"] for content in body["contents"]] == ["user", "model", "user"]


BUDGETS = [
    ("gemini-2.5-flash", 31_999, 24_576),
    ("gemini-2.5-flash-lite", 100, 512),
    ("gemini-2.5-pro", 65_536, 32_768),
    ("gemini-2.5-pro", 2000, 2000),
]


@pytest.mark.parametrize(("model", "budget", "taken"), BUDGETS)
def test_gemini_s_budget_is_within_what_the_model_takes(model: str, budget: int, taken: int) -> None:
    body = chat(max_tokens=99_000, thinking={"type": "enabled", "budget_tokens": budget})
    config = sent(body, "gemini", model=model, client="anthropic_messages")["generationConfig"]
    assert config["thinkingConfig"]["thinkingBudget"] == taken


# -- words of effort


EFFORTS = [
    ("openai", "gpt-5-mini", "none", "minimal"),
    ("openai", "gpt-5.1", "minimal", "none"),
    ("openai", "gpt-5.1", "max", "high"),
    ("openai", "gpt-5.2", "max", "xhigh"),
    ("openai", "o3", "none", "low"),
    ("groq", "openai/gpt-oss-120b", "max", "high"),
    ("openrouter", "anthropic/claude-opus-4.6", "max", "xhigh"),
]


@pytest.mark.parametrize(("provider", "model", "word", "taken"), EFFORTS)
def test_effort_is_said_in_a_word_that_the_model_knows(provider: str, model: str, word: str, taken: str) -> None:
    wish = {"thinking": {"type": "disabled"}} if word == "none" else {"output_config": {"effort": word}}
    assert sent_to(provider, chat(max_tokens=9000, **wish), model=model)["reasoning_effort"] == taken


@pytest.mark.parametrize(
    ("model", "word", "taken"),
    [("gemini-3-pro-preview", "none", "low"), ("gemini-3-flash", "none", "minimal"), ("gemini-3.1-pro", "max", "high")],
)
def test_gemini_s_level_is_one_that_the_model_knows(model: str, word: str, taken: str) -> None:
    wish = {"thinking": {"type": "disabled"}} if word == "none" else {"output_config": {"effort": word}}
    config = sent_to("google", chat(max_tokens=9000, **wish), model=model)["generationConfig"]
    assert config["thinkingConfig"]["thinkingLevel"] == taken


# -- what asks for nothing is not said


def test_a_choice_of_tools_where_there_are_none_stays_behind() -> None:
    body = {"model": "m", "input": "q", "tool_choice": "auto", "parallel_tool_calls": True}
    assert sent(body, "openai_chat", model="m", client="openai_responses").keys() == {"model", "messages"}


def test_the_usual_verbosity_is_not_said() -> None:
    body = {"model": "m", "input": "q", "text": {"verbosity": "medium", "format": {"type": "text"}}}
    assert sent(body, "openai_chat", model="m", client="openai_responses").keys() == {"model", "messages"}


def test_a_row_names_what_its_provider_refuses_of_a_request_from_elsewhere() -> None:
    found = bridge("openai_responses", "openai_chat", ROWS["mistral"])
    out = asked(found, {"model": "m", "input": "q", "user": "u", "text": {"verbosity": "low"}})  # pyright: ignore[reportArgumentType]
    assert set(out.dropped) == {"user", "verbosity"}
    assert json.loads(out.body).keys() == {"model", "messages"}


def test_mistral_gets_ids_of_calls_that_it_takes_and_results_still_find_their_calls() -> None:
    names = ("toolu_01A09q90qw90lq917835lq9", "abcDEF123")
    calls = [{"type": "tool_use", "id": name, "name": "f", "input": {}} for name in names]
    results = [{"type": "tool_result", "tool_use_id": name, "content": "r"} for name in names]
    turns = [USER, {"role": "assistant", "content": calls}, {"role": "user", "content": results}]
    tools = [{"name": "f", "input_schema": {"type": "object"}}]
    body = sent_to("mistral", {"model": "m", "max_tokens": 9, "messages": turns, "tools": tools}, model="mistral-large")
    called = [call["id"] for call in body["messages"][1]["tool_calls"]]
    assert [turn["tool_call_id"] for turn in body["messages"][2:]] == called
    assert all(len(name) == 9 and name.isalnum() for name in called)
    assert called[0] != called[1] == "abcDEF123"


# -- a model that does not reason


WISHES: list[tuple[dict[str, Any], tuple[str, ...]]] = [
    ({"thinking": {"type": "enabled", "budget_tokens": 2000}}, ("thinking",)),
    ({"thinking": {"type": "adaptive"}, "output_config": {"effort": "high"}}, ("output_config.effort", "thinking")),
    ({"thinking": {"type": "disabled"}}, ()),
]


@pytest.mark.parametrize("provider", ["openai_chat", "openai_responses", "gemini"])
@pytest.mark.parametrize(("wish", "named"), WISHES)
def test_a_model_that_does_not_reason_is_not_asked_to_and_the_wish_is_named(
    provider: DialectName, wish: dict[str, Any], named: tuple[str, ...]
) -> None:
    target = ProviderRow("acme", "Acme", "https://api.acme.test/v1", {"chat": provider})
    found = bridge("anthropic_messages", provider, target, is_reasoning=False)
    out = asked(found, chat(max_tokens=9000, **wish), model="gpt-4o")  # pyright: ignore[reportArgumentType]  it exists
    assert out.dropped == named
    assert not any(word in out.body.lower() for word in (b"reasoning", b"thinking", b"effort"))


# -- Gemini's streams


def test_log_probabilities_that_come_without_text_belong_to_the_text_before() -> None:
    tokens = {"chosenCandidates": [{"token": "Hel", "logProbability": -0.1}]}
    head = {"responseId": "r", "modelVersion": "m"}
    said: Any = {"index": 0, "content": {"role": "model", "parts": [{"text": "Hel"}]}}
    last: Any = {"index": 0, "content": {"parts": [{"text": ""}]}, "finishReason": "STOP", "logprobsResult": tokens}
    found = made("openai_chat", "gemini")
    asked(found, chat(logprobs=True, stream=True), is_stream=True)
    chunks = [{**head, "candidates": [candidate]} for candidate in (said, last)]
    out = out_of(steps_of(found.stream(), [sse(*chunks)])).decode()
    assert '"token":"Hel","logprob":-0.1' in out


def test_a_function_s_result_that_is_no_object_is_text() -> None:
    turns: list[Any] = [
        {"role": "model", "parts": [{"functionCall": {"name": "f", "id": "c"}}]},
        {"role": "user", "parts": [{"functionResponse": {"name": "f", "id": "c", "response": [1]}}]},
    ]
    result = sent({"model": "m", "contents": turns}, "openai_chat", model="m", client="gemini")["messages"][1]
    assert (result["role"], result["content"]) == ("tool", "[1]")


# -- what providers answer


def answered_by(provider: DialectName, *chunks: Any, client: DialectName = "openai_chat") -> str:
    found = made(client, provider)
    asked(found, chat(stream=True), is_stream=True)
    return out_of(steps_of(found.stream(), [sse(*chunks)])).decode()


def test_calls_that_all_have_the_index_0_are_told_apart_by_their_ids() -> None:
    def call(name: str) -> dict[str, Any]:
        given = {"index": 0, "id": name, "type": "function", "function": {"name": "f", "arguments": "{}"}}
        return chunk({"tool_calls": [given]})

    found = made("anthropic_messages", "openai_chat")
    asked(found, chat(max_tokens=9, stream=True), is_stream=True)
    more = chunk({"tool_calls": [{"index": 0, "id": "", "function": {"name": "", "arguments": " "}}]})
    data = sse(call("c1"), call("c2"), more, chunk({}, "tool_calls"), "[DONE]")
    out = out_of(steps_of(found.stream(), [data])).decode()
    assert out.count('"type":"tool_use"') == 2
    assert (out.count('"id":"c1"'), out.count('"id":"c2"')) == (1, 1)


def test_what_gemini_draws_is_an_image_in_the_text_whole_and_streamed() -> None:
    drawn: Any = {"parts": [{"text": "See: "}, {"inlineData": {"mimeType": "image/png", "data": "AAAA"}}]}
    body: Any = {"responseId": "r", "modelVersion": "m", "candidates": [{"content": drawn, "finishReason": "STOP"}]}
    found = made("openai_chat", "gemini")
    asked(found, chat())
    served = found.answer(200, json.dumps(body).encode())
    shown = "See: ![image/png](data:image/png;base64,AAAA)"
    assert json.loads(getattr(served, "body", b"{}"))["choices"][0]["message"]["content"] == shown
    assert "![image/png](data:image/png;base64,AAAA)" in answered_by("gemini", body)


# -- output limits


LIMITS: list[tuple[DialectName, dict[str, Any], str]] = [
    ("openai_chat", {"max_tokens": 15}, "max_tokens"),
    ("openai_chat", {"max_tokens": 90, "max_completion_tokens": 1}, "max_completion_tokens"),
    ("anthropic_messages", {"max_tokens": 1}, "max_tokens"),
]


@pytest.mark.parametrize(("client", "limit", "path"), LIMITS)
def test_a_limit_below_what_the_model_takes_is_neither_sent_nor_raised(
    client: DialectName, limit: dict[str, int], path: str
) -> None:
    found = bridge(client, "openai_responses", ROWS["openai"])
    refusal = refused(found, chat(**limit), model="gpt-5-codex")  # pyright: ignore[reportArgumentType]  it exists
    assert (refusal.code, refusal.param) == ("unsupported_parameter", path)
    assert "16" in refusal.message


def test_nor_is_one_that_the_hold_or_the_account_sets() -> None:
    found = bridge("openai_chat", "openai_responses", ROWS["openai"])
    refusal = refused(found, chat(max_tokens=500), model="gpt-5-codex", cap=8)  # pyright: ignore[reportArgumentType]
    assert refusal.code == "unsupported_parameter"


def test_the_least_limit_goes_and_so_does_none() -> None:
    found = bridge("openai_chat", "openai_responses", ROWS["openai"])
    for limit in ({"max_tokens": 16}, {}):
        out = asked(found, chat(**limit), model="gpt-5-codex")  # pyright: ignore[reportArgumentType]  it exists
        assert json.loads(out.body).get("max_output_tokens") == limit.get("max_tokens")


def test_a_server_of_responses_of_which_nothing_is_known_is_asked_for_a_single_token() -> None:
    assert sent(chat(max_tokens=1), "openai_responses", model="m")["max_output_tokens"] == 1


def test_clients_of_responses_send_what_they_like() -> None:
    found = bridge("openai_responses", "openai_responses", ROWS["openai"])
    out = asked(found, {"model": "m", "input": "q", "max_output_tokens": 1}, model="gpt-5-codex")  # pyright: ignore[reportArgumentType]
    assert json.loads(out.body)["max_output_tokens"] == 1
