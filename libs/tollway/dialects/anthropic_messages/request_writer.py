"""Requests of Anthropic messages, written from a conversation."""

import re
from base64 import b64decode
from collections.abc import Sequence
from itertools import groupby
from typing import Final

import msgspec

from tollway.dialects import bodies, turns
from tollway.dialects.anthropic_messages.schema import NAME
from tollway.dialects.dialect import Target, Written
from tollway.dialects.features import Feature
from tollway.dialects.reading import is_given, object_schema, present
from tollway.dialects.signatures import own_value
from tollway.dialects.thinking import budget_of
from tollway.wire import chat

TOKENS_OUTPUT_DEFAULT: Final = 4096
"""The dialect demands a limit; this one holds where neither the caller nor the hold sets one."""

CARRIES: Final[frozenset[Feature]] = frozenset(
    {
        "system", "developer", "image_url", "image_data", "file_data", "file_url", "assistant_refusal",
         "thinking", "thinking_signature", "cache_control", "tools", "tool_strict", "tool_choice",
        "tool_choice_named", "one_tool_call_at_a_time", "one_call_of_one_tool", "tool_result_media",
        "tool_result_error", "temperature",
        "top_p", "top_k", "stop", "json_schema", "reasoning_effort", "reasoning_budget", "user",
    }
)  # fmt: skip


def write_request(conversation: chat.Conversation, target: Target) -> Written:
    """The provider's request."""
    system, messages = turns.split_system(conversation.messages)
    limit = target.output_limit(conversation) or TOKENS_OUTPUT_DEFAULT
    thinking, effort, unthought = _write_reasoning(conversation, target, limit)
    sampling, unsampled = _write_sampling(conversation.sampling, target, is_thinking=thinking not in (None, _DISABLED))
    fields = present(
        model=target.model_sent,
        max_tokens=limit,
        system=_write_system(system),
        messages=_write_messages(messages),
        tools=[_write_tool(tool) for tool in conversation.tools] or None,
        tool_choice=_write_tool_choice(conversation),
        thinking=thinking,
        output_config=present(effort=effort, format=_write_format(conversation.format)) or None,
        stop_sequences=list(conversation.sampling.stops) or None,
        metadata={"user_id": conversation.user} if conversation.user else None,
        stream=True if target.is_stream else None,
        **sampling,
    )
    return Written(fields, (*unthought, *unsampled))


def _write_system(system: tuple[chat.Text, ...]) -> object:
    said = [text for text in system if text.text.strip()]
    if len(said) == 1 and said[0].cache is None:
        return said[0].text
    return [_write_text(text) for text in said] or None


_NOTHING_SAID: Final[dict[str, object]] = {"role": "user", "content": [{"type": "text", "text": "."}]}


def _write_messages(messages: Sequence[chat.Message]) -> list[dict[str, object]]:
    """Results and what follows them are one user turn. The first turn has to be the user's."""
    written: list[dict[str, object]] = []
    for is_assistant, group in groupby(_trimmed(messages), key=lambda message: message.role == "assistant"):
        blocks = [block for message in group for part in message.parts if (block := _write_part(part)) is not None]
        if blocks:
            written.append({"role": "assistant" if is_assistant else "user", "content": blocks})
    if written and written[0]["role"] == "assistant":
        written.insert(0, _NOTHING_SAID)
    return written


def _trimmed(messages: Sequence[chat.Message]) -> Sequence[chat.Message]:
    """Text that the model is to continue may not end in white space."""
    last = messages[-1] if messages else None
    begun = last.parts[-1] if last is not None and last.role == "assistant" and last.parts else None
    if last is None or not isinstance(begun, chat.Text) or begun.text == begun.text.rstrip():
        return messages
    parts = (*last.parts[:-1], msgspec.structs.replace(begun, text=begun.text.rstrip()))
    return (*messages[:-1], msgspec.structs.replace(last, parts=parts))


def _write_part(part: chat.Part) -> dict[str, object] | None:
    match part:
        case chat.Text() | chat.Refused():
            return _write_text(part) if part.text.strip() else None
        case chat.Media():
            return _write_media(part)
        case chat.Thinking():
            return _write_thinking(part)
        case chat.ToolCall():
            block = {
                "type": "tool_use",
                "id": _id(part.id),
                "name": part.name,
                "input": bodies.read_object(part.arguments),
            }
            return {**block, **write_cache(part.cache)}
        case chat.ToolResult():
            return _write_result(part)


def _write_text(part: chat.Text | chat.Refused) -> dict[str, object]:
    return {"type": "text", "text": part.text, **write_cache(part.cache if isinstance(part, chat.Text) else None)}


def write_cache(cache: chat.Cache | None) -> dict[str, object]:
    """The breakpoint, if there is one."""
    return {"cache_control": present(type="ephemeral", ttl=cache.ttl or None)} if cache is not None else {}


def _write_media(part: chat.Media) -> dict[str, object]:
    kind = "image" if part.kind == "image" else "document"
    title = {"title": part.name} if part.name and kind == "document" else {}
    return {"type": kind, "source": _write_source(part), **title, **write_cache(part.cache)}


def _write_source(part: chat.Media) -> dict[str, object]:
    if part.url:
        return {"type": "url", "url": part.url}
    if part.media_type == "text/plain":
        return {"type": "text", "media_type": "text/plain", "data": b64decode(part.data).decode("utf-8", "replace")}
    return {"type": "base64", "media_type": part.media_type, "data": part.data}


def _write_thinking(part: chat.Thinking) -> dict[str, object] | None:
    """Only what Anthropic signed itself: it refuses every other signature."""
    signature = own_value(part.signature, NAME)
    if not signature:
        return None
    if part.is_redacted:
        return {"type": "redacted_thinking", "data": signature}
    return {"type": "thinking", "thinking": part.text, "signature": signature}


_ID_REFUSED: Final = re.compile(r"[^a-zA-Z0-9_-]")


def _id(call_id: str) -> str:
    """Ids of other providers may have letters that this one refuses."""
    return _ID_REFUSED.sub("_", call_id) or "call"


def _write_result(part: chat.ToolResult) -> dict[str, object]:
    is_plain = len(part.parts) == 1 and isinstance(part.parts[0], chat.Text) and part.parts[0].cache is None
    blocks = [block for inner in part.parts if (block := _write_part(inner)) is not None]
    return {
        "type": "tool_result",
        "tool_use_id": _id(part.call_id),
        "content": turns.text_of(part.parts) if is_plain else blocks,
        **({"is_error": True} if part.is_error else {}),
        **write_cache(part.cache),
    }


def _write_tool(tool: chat.Tool) -> dict[str, object]:
    written = present(
        name=tool.name,
        description=tool.description or None,
        input_schema=object_schema(tool.parameters),
        strict=tool.is_strict or None,
    )
    return {**written, **write_cache(tool.cache)}


def _write_tool_choice(conversation: chat.Conversation) -> object:
    if not conversation.tools:
        return None
    choice = conversation.tool_choice
    one = {"disable_parallel_tool_use": True} if conversation.is_parallel is False else {}
    if choice is None:
        return {"type": "auto", **one} if one else None
    if choice.mode == "none":
        return {"type": "none"}
    return present(type=_WRITE_MODES[choice.mode], name=choice.name or None, **one)


_WRITE_MODES: Final[dict[chat.ChoiceMode, str]] = {"auto": "auto", "required": "any", "named": "tool", "none": "none"}


def _write_format(form: chat.Format | None) -> object:
    if form is None or form.kind != "json_schema":
        return None
    return {"type": "json_schema", "schema": form.schema if is_given(form.schema) else {"type": "object"}}


_ADAPTIVE: Final = re.compile(r"claude-(?:[a-z]+-)?(?:4-[6-9]|[5-9]|\d\d)(?:-|$)")
"""Models that think by effort; earlier ones, and other makers', by budget (Anthropic, "Adaptive thinking")."""

_ONE_OF_TWO: Final = re.compile(r"claude-(?:[a-z]+-)?(?:4-[1-9]|[5-9]|\d\d)(?:-|$)")
"""Models that refuse a temperature beside `top_p` (Anthropic, "Migrating to Claude 4.5")."""

_BUDGET_TOKENS_MIN: Final = 1024
_TOP_P_THINKING_MIN: Final = 0.95
_EFFORTS: Final[dict[chat.Effort, str]] = {"minimal": "low", "xhigh": "high"}
_DISABLED: Final = {"type": "disabled"}


def _write_reasoning(
    conversation: chat.Conversation, target: Target, limit: int
) -> tuple[object, str | None, tuple[str, ...]]:
    """`thinking`, the effort, and whether the wish had to be dropped."""
    reasoning = conversation.reasoning
    if reasoning is None:
        return None, None, ()
    if reasoning.effort == "none" or reasoning.budget_tokens == 0:
        return _DISABLED, None, ()
    if _is_call_forced(conversation):
        return None, None, ("reasoning",)
    effort = _EFFORTS.get(reasoning.effort, reasoning.effort) if reasoning.effort is not None else None
    if _ADAPTIVE.search(target.model_sent.lower()):
        display = None if reasoning.is_shown is False else "summarized"
        return present(type="adaptive", display=display), effort, ()
    budget = min(budget_of(reasoning) or _BUDGET_TOKENS_MIN, limit - 1)
    if budget < _BUDGET_TOKENS_MIN or _is_midway_without_thoughts(conversation):
        return None, None, ("reasoning",)
    return {"type": "enabled", "budget_tokens": budget}, None, ()


def _is_call_forced(conversation: chat.Conversation) -> bool:
    """Thinking is refused where a tool must be called."""
    choice = conversation.tool_choice
    return bool(conversation.tools) and choice is not None and choice.mode in ("required", "named")


def _is_midway_without_thoughts(conversation: chat.Conversation) -> bool:
    """In the middle of a tool loop whose calls came without signed thoughts, thinking cannot be switched on."""
    if not conversation.messages or conversation.messages[-1].role != "tool":
        return False
    asked = next((turn for turn in reversed(conversation.messages) if turn.role == "assistant"), None)
    thoughts = (part for part in asked.parts if isinstance(part, chat.Thinking)) if asked is not None else ()
    return not any(own_value(thought.signature, NAME) for thought in thoughts)


def _write_sampling(
    sampling: chat.Sampling, target: Target, *, is_thinking: bool
) -> tuple[dict[str, object], tuple[str, ...]]:
    """What of it Anthropic takes together, and the names of the rest (Anthropic, "Extended thinking")."""
    wished = present(temperature=sampling.temperature, top_p=sampling.top_p, top_k=sampling.top_k)
    neutral = {name for name in ("temperature", "top_p") if wished.get(name) == 1}
    unfit: set[str] = set()
    if is_thinking:
        unfit = {"temperature", "top_k"}
        if (sampling.top_p or 1) < _TOP_P_THINKING_MIN:
            unfit.add("top_p")
    elif "temperature" in wished and _ONE_OF_TWO.search(target.model_sent.lower()):
        unfit = {"temperature"} if sampling.temperature == 1 and "top_p" in wished else {"top_p"}
    sent = {name: value for name, value in wished.items() if name not in unfit}
    return sent, tuple(name for name in wished if name in unfit - neutral)
