"""Generated conversations and answers, and what each dialect can say of them: the independent half of the matrix."""

import json
from collections.abc import Collection
from dataclasses import dataclass
from typing import TypeVar

from hypothesis import strategies as st
from msgspec import Raw
from msgspec.structs import replace

from tests.dialects.support import NOW_MS
from tollway.dialects.features import Feature
from tollway.wire import chat
from tollway.wire.plan import DialectName
from tollway.wire.usage import Usage

Draw = st.DrawFn
T = TypeVar("T")
CREATED_S = NOW_MS // 1000

texts = st.text(st.characters(exclude_categories=["Cs", "Cc"], exclude_characters="{"), min_size=1, max_size=12).map(
    lambda text: text.strip() or "a"  # Anthropic takes no text of white space alone, and none at the end
)
tokens = st.integers(1, 5000)
names = st.sampled_from(["look_up", "add", "get-weather"])
arguments = st.dictionaries(st.sampled_from("abc"), st.integers() | st.booleans() | texts, max_size=2).map(
    lambda found: json.dumps(found, separators=(",", ":"), ensure_ascii=False)
)
base64s = st.sampled_from(["AAAA", "aGVsbG8=", "iVBORw0KGgo="])

# -- requests ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Maker:
    """Draws parts of a conversation that uses no feature but these."""

    draw: Draw
    features: Collection[Feature]

    def has(self, feature: Feature) -> bool:
        return feature in self.features and self.draw(st.booleans())

    def maybe(self, feature: Feature, values: st.SearchStrategy[T]) -> T | None:
        return self.draw(values) if self.has(feature) else None


@st.composite
def conversations(draw: Draw, features: Collection[Feature]) -> chat.Conversation:
    make = Maker(draw, features)
    tools = _tools(make)
    return chat.Conversation(
        messages=(*_system(make), *_turns(make, tools)),
        tools=tools,
        tool_choice=_tool_choice(make, tools),
        is_parallel=False if tools and make.has("one_tool_call_at_a_time") else None,
        format=_format(make),
        reasoning=_reasoning(make),
        sampling=_sampling(make),
        tokens_output_max=draw(st.integers(100, 100_000)),
        choices=make.maybe("choices", st.integers(2, 4)) or 1,
        logprobs=make.maybe("logprobs", st.integers(1, 5)),
        verbosity=make.maybe("verbosity", st.sampled_from(["low", "high"])) or "",
        user=make.maybe("user", texts) or "",
        metadata=make.maybe("metadata", st.just({"trace": "7"})) or {},
    )


def _system(make: Maker) -> tuple[chat.Message, ...]:
    roles: list[chat.Role] = [role for role in ("system", "developer") if role in make.features]
    if not roles or not make.draw(st.booleans()):
        return ()
    return (chat.Message(make.draw(st.sampled_from(roles)), (chat.Text(make.draw(texts), _cache(make)),)),)


def _turns(make: Maker, tools: tuple[chat.Tool, ...]) -> tuple[chat.Message, ...]:
    turns: list[chat.Message] = [_user(make)]
    for number in range(make.draw(st.integers(0, 3))):
        answered = _answered(make, tools, number)
        calls = [part for part in answered.parts if isinstance(part, chat.ToolCall)]
        results = (chat.Message("tool", tuple(_result(make, call) for call in calls)),) if calls else ()
        said = () if calls and make.draw(st.booleans()) else (_user(make),)
        turns += [answered, *results, *said]
    return tuple(turns)


def _cache(make: Maker) -> chat.Cache | None:
    return make.maybe("cache_control", st.sampled_from([chat.Cache(), chat.Cache("1h")]))


def _user(make: Maker) -> chat.Message:
    said: list[chat.Part] = [chat.Text(make.draw(texts), _cache(make))]
    said += [replace(media, cache=_cache(make)) for media in _media(make)]
    return chat.Message("user", tuple(said), make.maybe("message_name", st.just("ann")) or "")


def _media(make: Maker) -> list[chat.Media]:
    data = make.draw(base64s)
    detail = make.maybe("image_detail", st.just("high")) or ""
    found = [
        make.maybe("image_data", st.just(chat.Media("image", "image/png", data, detail=detail))),
        make.maybe("image_url", st.just(chat.Media("image", url="https://pics.test/a.png", detail=detail))),
        make.maybe("image_file_id", st.just(chat.Media("image", file_id="file_7"))),
        make.maybe("audio_input", st.just(chat.Media("audio", "audio/wav", data))),
        make.maybe("file_data", st.just(chat.Media("file", "application/pdf", data, name="a.pdf"))),
        make.maybe("file_url", st.just(chat.Media("file", url="https://docs.test/a.pdf"))),
        make.maybe("file_id", st.just(chat.Media("file", file_id="file_8"))),
    ]
    return [media for media in found if media is not None]


def _answered(make: Maker, tools: tuple[chat.Tool, ...], turn: int) -> chat.Message:
    parts: list[chat.Part] = []
    if make.has("assistant_refusal"):
        return chat.Message("assistant", (chat.Refused(make.draw(texts)),))
    calls = make.draw(st.integers(0, 2)) if tools else 0
    if not calls or make.draw(st.booleans()):
        parts.append(chat.Text(make.draw(texts)))
    for number in range(calls):
        name = make.draw(st.sampled_from([tool.name for tool in tools]))
        parts.append(chat.ToolCall(f"call_{turn}_{number}", name, make.draw(arguments)))
    return chat.Message("assistant", tuple(parts))


def _result(make: Maker, call: chat.ToolCall) -> chat.ToolResult:
    parts: list[chat.Text | chat.Media] = [chat.Text(make.draw(texts))]
    if make.has("tool_result_media"):
        parts.append(chat.Media("image", "image/png", make.draw(base64s)))
    return chat.ToolResult(call.id, tuple(parts), make.has("tool_result_error"))


def _tools(make: Maker) -> tuple[chat.Tool, ...]:
    if "tools" not in make.features or not make.draw(st.booleans()):
        return ()
    schema = Raw(b'{"type":"object","properties":{"a":{"type":"integer"}}}')
    return tuple(
        chat.Tool(name, make.draw(texts), schema, True if make.has("tool_strict") else None, _cache(make))
        for name in make.draw(st.lists(names, min_size=1, max_size=3, unique=True))
    )


def _tool_choice(make: Maker, tools: tuple[chat.Tool, ...]) -> chat.ToolChoice | None:
    if tools and make.has("tool_choice_named"):
        return chat.ToolChoice("named", tools[0].name)
    modes: list[chat.ChoiceMode] = ["auto", "none", "required"]
    return make.maybe("tool_choice", st.sampled_from(modes).map(chat.ToolChoice)) if tools else None


def _format(make: Maker) -> chat.Format | None:
    if make.has("json_schema"):
        return chat.Format("json_schema", "answer", Raw(b'{"type":"object"}'), True)
    return chat.Format("json_object") if make.has("json_object") else None


def _reasoning(make: Maker) -> chat.Reasoning | None:
    words: list[chat.Effort] = ["none", "low", "medium", "high"]
    effort = make.maybe("reasoning_effort", st.sampled_from(words))
    return chat.Reasoning(effort) if effort is not None else None


def _sampling(make: Maker) -> chat.Sampling:
    hot = make.maybe("temperature_above_1", st.just(1.5))
    return chat.Sampling(
        hot or make.maybe("temperature", st.sampled_from([0.0, 0.5, 1.0])),
        make.maybe("top_p", st.just(0.9)),
        make.maybe("top_k", st.just(40)),
        make.maybe("presence_penalty", st.just(0.5)),
        make.maybe("frequency_penalty", st.just(-0.5)),
        make.maybe("seed", st.integers(0, 99)),
        tuple(make.maybe("stop", st.lists(texts, min_size=1, max_size=2)) or ()),
    )


# -- what a dialect makes of a request ---------------------------------------------------------------------------------


def carried(conversation: chat.Conversation, features: Collection[Feature]) -> chat.Conversation:
    """What is left when hints that these features lack are dropped."""
    sampling = conversation.sampling
    return replace(
        conversation,
        messages=tuple(_carried_message(message, features) for message in conversation.messages),
        tools=tuple(_carried_tool(tool, features) for tool in conversation.tools),
        is_parallel=conversation.is_parallel if "one_call_of_one_tool" in features else None,
        sampling=sampling if "seed" in features else replace(sampling, seed=None),
        verbosity=conversation.verbosity if "verbosity" in features else "",
        user=conversation.user if "user" in features else "",
        metadata=conversation.metadata if "metadata" in features else {},
    )


def _carried_message(message: chat.Message, features: Collection[Feature]) -> chat.Message:
    parts = tuple(_carried_part(part, features) for part in message.parts)
    return chat.Message(message.role, parts, message.name if "message_name" in features else "")


def _carried_part(part: chat.Part, features: Collection[Feature]) -> chat.Part:
    if isinstance(part, chat.Media) and "image_detail" not in features:
        part = replace(part, detail="")
    if isinstance(part, chat.ToolResult) and "tool_result_error" not in features:
        part = replace(part, is_error=False)
    if isinstance(part, chat.Text | chat.Media) and "cache_control" not in features:
        return replace(part, cache=None)
    return part


def _carried_tool(tool: chat.Tool, features: Collection[Feature]) -> chat.Tool:
    strict = tool.is_strict if "tool_strict" in features else None
    return replace(tool, is_strict=strict, cache=tool.cache if "cache_control" in features else None)


def joined(conversation: chat.Conversation) -> chat.Conversation:
    """Neighbouring turns of the user are one: some dialects cannot tell them apart."""
    messages: list[chat.Message] = []
    for message in conversation.messages:
        last = messages[-1] if messages else None
        if last is not None and last.role == message.role == "user" and last.name == message.name:
            messages[-1] = replace(last, parts=(*last.parts, *message.parts))
        else:
            messages.append(message)
    return replace(conversation, messages=tuple(messages))


def told(conversation: chat.Conversation, dialect: DialectName) -> chat.Conversation:
    """The conversation in a dialect's own words: the differences of form that do not matter."""
    parted = tuple(
        replace(message, parts=tuple(_told_media(part, dialect) for part in message.parts))
        for message in conversation.messages
    )
    return _TOLD[dialect](replace(conversation, messages=parted))


def _told_media(part: chat.Part, dialect: DialectName) -> chat.Part:
    """Only Gemini types what is at an address; OpenAI's inline files have a name."""
    if not isinstance(part, chat.Media) or dialect == "gemini":
        return part
    is_nameless = part.kind == "file" and bool(part.data) and not part.name and dialect != "anthropic_messages"
    return replace(part, media_type="" if part.url else part.media_type, name="file" if is_nameless else part.name)


def _told_in_chat(conversation: chat.Conversation) -> chat.Conversation:
    """Developers are the system, what tools show follows their results, and thinking is by effort."""
    messages: list[chat.Message] = []
    for message in _one_system_role(conversation.messages):
        seen = tuple(
            inner
            for part in message.parts
            if isinstance(part, chat.ToolResult)
            for inner in part.parts
            if isinstance(inner, chat.Media)
        )
        parts = tuple(
            replace(part, parts=tuple(inner for inner in part.parts if isinstance(inner, chat.Text)))
            if isinstance(part, chat.ToolResult)
            else part
            for part in message.parts
        )
        messages += [replace(message, parts=parts), *([chat.Message("user", seen)] if seen else [])]
    effort = _effort(conversation.reasoning)
    return replace(
        conversation,
        messages=tuple(messages),
        reasoning=chat.Reasoning(effort) if effort is not None else None,
        format=_named(conversation.format),
    )


def _named(form: chat.Format | None) -> chat.Format | None:
    is_bare = form is not None and form.kind == "json_schema" and not form.name
    return replace(form, name="answer") if form is not None and is_bare else form


def _effort(reasoning: chat.Reasoning | None) -> chat.Effort | None:
    if reasoning is None or reasoning.budget_tokens is None:
        return reasoning.effort if reasoning is not None else None
    return "low" if reasoning.budget_tokens <= 4096 else "medium" if reasoning.budget_tokens <= 16384 else "high"


def _told_in_responses(conversation: chat.Conversation) -> chat.Conversation:
    """Strictness is always said, and effort is asked with a summary."""
    reasoning = conversation.reasoning
    if reasoning is not None:
        is_hidden = reasoning.effort == "none" or reasoning.is_shown is False
        reasoning = chat.Reasoning(_effort(reasoning), None, None if is_hidden else True)
    tools = tuple(replace(tool, is_strict=bool(tool.is_strict)) for tool in conversation.tools)
    return replace(conversation, reasoning=reasoning, tools=tools, format=_named(conversation.format))


def _told_in_messages(conversation: chat.Conversation) -> chat.Conversation:
    """Refusals are text, formats have no name, and effort is a budget of tokens or nothing."""
    form = conversation.format
    messages = tuple(
        replace(
            message,
            parts=tuple(chat.Text(part.text) if isinstance(part, chat.Refused) else part for part in message.parts),
        )
        for message in _one_system_role(conversation.messages)
    )
    return replace(
        conversation,
        messages=messages,
        format=replace(form, name="", is_strict=None) if form is not None else None,
        tool_choice=conversation.tool_choice or _only_one(conversation),
        is_parallel=None if _is_calling_forbidden(conversation) else conversation.is_parallel,
        tools=tuple(replace(tool, is_strict=tool.is_strict or None) for tool in conversation.tools),
        reasoning=_budgeted(conversation),
        sampling=_sampled(conversation),
    )


def _sampled(conversation: chat.Conversation) -> chat.Sampling:
    """Who thinks is sampled as usual."""
    reasoning, sampling = _budgeted(conversation), conversation.sampling
    if reasoning is None or reasoning.effort == "none":
        return sampling
    return replace(sampling, temperature=None, top_p=None, top_k=None)


def _is_calling_forbidden(conversation: chat.Conversation) -> bool:
    return conversation.tool_choice is not None and conversation.tool_choice.mode == "none"


def _only_one(conversation: chat.Conversation) -> chat.ToolChoice | None:
    return chat.ToolChoice("auto") if conversation.is_parallel is False else None


_BUDGETS = {"minimal": 1024, "low": 2048, "medium": 8192, "high": 24576}


def _budgeted(conversation: chat.Conversation) -> chat.Reasoning | None:
    reasoning, choice = conversation.reasoning, conversation.tool_choice
    if choice is not None and choice.mode in ("required", "named") and reasoning != chat.Reasoning("none"):
        return None
    if reasoning is None or reasoning.effort is None or reasoning.effort == "none":
        return chat.Reasoning("none") if reasoning is not None and reasoning.effort == "none" else reasoning
    budget = min(_BUDGETS[reasoning.effort], (conversation.tokens_output_max or 4096) - 1)
    is_midway = conversation.messages[-1].role == "tool"
    return None if budget < 1024 or is_midway else chat.Reasoning(None, budget)


def _told_in_gemini(conversation: chat.Conversation) -> chat.Conversation:
    """No names and no strictness anywhere; a file's type is guessed from its address; effort is a level."""
    reasoning, form = conversation.reasoning, conversation.format
    if reasoning is not None:
        effort: chat.Effort | None = "minimal" if reasoning.effort == "none" else reasoning.effort
        is_shown = reasoning.effort != "none" and reasoning.is_shown is not False
        reasoning = chat.Reasoning(effort, reasoning.budget_tokens, is_shown)
    messages = tuple(
        replace(message, parts=tuple(map(_told_part_in_gemini, message.parts)))
        for message in _one_system_role(conversation.messages)
    )
    return replace(
        conversation,
        messages=messages,
        reasoning=reasoning,
        format=replace(form, name="", is_strict=None) if form is not None else None,
        tools=tuple(replace(tool, is_strict=None) for tool in conversation.tools),
    )


def _told_part_in_gemini(part: chat.Part) -> chat.Part:
    if isinstance(part, chat.Refused):
        return chat.Text(part.text)
    if isinstance(part, chat.Media):
        kind = "image/png" if part.kind == "image" else "application/pdf"
        return replace(part, name="", media_type=part.media_type or kind)
    return part


def _one_system_role(messages: tuple[chat.Message, ...]) -> list[chat.Message]:
    return [replace(message, role="system") if message.role == "developer" else message for message in messages]


_TOLD = {
    "openai_chat": _told_in_chat,
    "openai_responses": _told_in_responses,
    "anthropic_messages": _told_in_messages,
    "gemini": _told_in_gemini,
}

# -- answers -----------------------------------------------------------------------------------------------------------

HAS_LOGPROBS: tuple[DialectName, ...] = ("openai_chat", "openai_responses", "gemini")
HAS_CHOICES: tuple[DialectName, ...] = ("openai_chat", "gemini")
signatures = st.builds(
    chat.Signature, st.sampled_from(["anthropic_messages", "gemini"]), st.text("ABCxyz019+/=", min_size=4, max_size=20)
)
usages = st.builds(
    lambda given, read, write, thought, said: Usage(given + read + write, thought + said, read, write, thought),
    tokens, st.integers(0, 99), st.integers(0, 99), st.integers(0, 99), tokens,
)  # fmt: skip


@st.composite
def answers(draw: Draw, *, is_plural: bool = False, has_logprobs: bool = False) -> chat.Answer:
    choices = [draw(_choices(has_logprobs=has_logprobs)) for _ in range(draw(st.integers(1, 3)) if is_plural else 1)]
    return chat.Answer("answer7", "model-9", tuple(choices), draw(st.none() | usages), CREATED_S)


@st.composite
def _choices(draw: Draw, *, has_logprobs: bool) -> chat.Choice:
    if draw(st.integers(0, 9)) == 0:
        return chat.Choice((chat.Refused(draw(texts)),), "stop")
    thoughts = draw(st.lists(_thoughts(), max_size=1))
    said = [chat.Text(draw(texts))] if draw(st.booleans()) else []
    calls = [chat.ToolCall(f"call_{n}", draw(names), draw(arguments)) for n in range(draw(st.integers(0, 2)))]
    if not said and not calls:
        said = [chat.Text("fine")]
    stops: list[chat.StopReason] = ["tool_calls", "length"] if calls else ["stop", "length", "content_filter"]
    logprobs = draw(st.lists(_token_logprobs(), min_size=1, max_size=2)) if has_logprobs and said else []
    return chat.Choice((*thoughts, *said, *calls), draw(st.sampled_from(stops)), "", tuple(logprobs))


@st.composite
def _thoughts(draw: Draw) -> chat.Thinking:
    kind = draw(st.sampled_from(["open", "signed", "bare", "redacted"]))
    if kind == "redacted":
        return chat.Thinking("", chat.Signature("anthropic_messages", "ErUB"), is_redacted=True)
    text = "" if kind == "bare" else draw(texts)
    return chat.Thinking(text, None if kind == "open" else draw(signatures))


@st.composite
def _token_logprobs(draw: Draw) -> chat.TokenLogprob:
    top = draw(st.lists(st.builds(chat.Alternative, texts, st.sampled_from([-0.5, -2.0])), max_size=2))
    return chat.TokenLogprob(draw(texts), draw(st.sampled_from([-0.25, -1.0])), tuple(top))


def answered(answer: chat.Answer, dialect: DialectName) -> chat.Answer:
    """The answer as this dialect can say it."""
    choices = tuple(_ANSWERED[dialect](choice) for choice in answer.choices)
    created_s = answer.created_s if dialect in ("openai_chat", "openai_responses") else CREATED_S
    answer_id = f"resp_{answer.id}" if dialect == "openai_responses" and answer.id[:5] != "resp_" else answer.id
    return chat.Answer(answer_id, answer.model, choices, _counted(answer.usage, dialect), created_s)


def _counted(usage: Usage | None, dialect: DialectName) -> Usage | None:
    if dialect == "anthropic_messages":
        known = usage or Usage(0, 0)
        return replace(
            known, tokens_cache_read=known.tokens_cache_read or 0, tokens_cache_write=known.tokens_cache_write or 0
        )
    if usage is None:
        return None
    if dialect == "openai_responses":
        return replace(
            usage,
            tokens_cache_read=usage.tokens_cache_read or 0,
            tokens_cache_write=usage.tokens_cache_write or 0,
            tokens_reasoning=usage.tokens_reasoning or 0,
        )
    return replace(usage, tokens_cache_write=None) if dialect == "gemini" else usage


def _answered_plainly(choice: chat.Choice) -> chat.Choice:
    return choice


def _answered_in_messages(choice: chat.Choice) -> chat.Choice:
    parts = tuple(chat.Text(part.text) if isinstance(part, chat.Refused) else part for part in choice.parts)
    stop = "content_filter" if parts != choice.parts and choice.stop == "stop" else choice.stop
    return chat.Choice(parts, stop, choice.stop_sequence)


def _answered_in_gemini(choice: chat.Choice) -> chat.Choice:
    parts = tuple(chat.Text(part.text) if isinstance(part, chat.Refused) else part for part in choice.parts)
    return replace(choice, parts=parts)


_ANSWERED = {
    "openai_chat": _answered_plainly,
    "openai_responses": _answered_plainly,
    "anthropic_messages": _answered_in_messages,
    "gemini": _answered_in_gemini,
}
