"""Requests of Anthropic messages, read into a conversation and written from one."""

import re
from base64 import b64decode, b64encode
from collections.abc import Callable, Iterable
from itertools import groupby
from typing import Final

import msgspec

from tollway.dialects import bodies, turns
from tollway.dialects.anthropic_messages import schema
from tollway.dialects.bodies import Fields
from tollway.dialects.dialect import Target, Written
from tollway.dialects.features import Feature, Use, one_call
from tollway.dialects.reading import (
    Reading,
    TopLevel,
    Uses,
    is_given,
    present,
    read_cache,
    top_level_uses,
    unread_fields,
)
from tollway.dialects.signatures import own_value, read_thought
from tollway.dialects.thinking import budget_of, read_effort
from tollway.wire import chat
from tollway.wire.plan import DialectName
from tollway.wire.refusals import Refusal

NAME: Final[DialectName] = "anthropic_messages"
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

TOP: Final[TopLevel] = {
    **dict.fromkeys(
        ("model", "models", "messages", "stream", "max_tokens", "system", "tools", "tool_choice", "thinking",
         "output_config", "output_format", "metadata", "temperature", "cache_control")
    ),
    **dict.fromkeys(
        ("service_tier", "speed", "inference_geo", "diagnostics", "context_management", "betas", "workspace_id",
         "user_profile_id"), "hint"
    ),
    **dict.fromkeys(("mcp_servers", "container"), "other_tools"),
    **dict.fromkeys(("thread", "compaction"), "stored_state"),
    "top_p": "top_p",
    "top_k": "top_k",
    "stop_sequences": "stop",
}  # fmt: skip

# -- reading -----------------------------------------------------------------------------------------------------------


def read_request(body: bytes, fields: Fields) -> Reading | Refusal:
    """A conversation, and what it uses."""
    request = bodies.decode(schema.REQUESTS, body)
    if isinstance(request, Refusal):
        return request
    uses = [*top_level_uses(fields, TOP), *unread_fields(body, request)]
    system = _read_system(request, uses)
    messages = [
        turn
        for number, message in enumerate(request.messages)
        for turn in _read_message(message, f"messages[{number}]", uses)
    ]
    read_cache(request.cache_control, "cache_control", uses)
    if request.temperature is not None:
        uses.append(Use("temperature", "temperature"))
    conversation = chat.Conversation(
        messages=turns.join_tool_turns([*system, *messages]),
        tools=tuple(_read_tools(request, uses)),
        tool_choice=_read_tool_choice(request, uses),
        is_parallel=_read_parallel(request, uses),
        format=_read_format(request, uses),
        reasoning=_read_reasoning(request, uses),
        sampling=chat.Sampling(
            request.temperature, request.top_p, request.top_k, stops=tuple(request.stop_sequences or ())
        ),
        tokens_output_max=request.max_tokens,
        user=_read_user(request, uses),
    )
    return Reading(conversation, tuple(uses))


def _read_user(request: schema.Request, uses: Uses) -> str:
    user = request.metadata.user_id if request.metadata is not None else None
    if user:
        uses.append(Use("user", "metadata.user_id"))
    return user or ""


def _read_system(request: schema.Request, uses: Uses) -> list[chat.Message]:
    if not request.system:
        return []
    uses.append(Use("system", "system"))
    return [chat.Message("system", _read_content(request.system, "system", uses))]


def _read_message(message: schema.Message, path: str, uses: Uses) -> list[chat.Message]:
    """A user turn with tool results is two turns or more: the results, and what the user says."""
    parts = _read_content(message.content, f"{path}.content", uses)
    if message.role in ("assistant", "system"):
        return [chat.Message("assistant" if message.role == "assistant" else "system", parts)]
    if message.role != "user":
        uses.append(Use("unknown_part", f"{path}.role"))
    return [
        chat.Message("tool" if is_result else "user", tuple(group))
        for is_result, group in groupby(parts, key=lambda part: isinstance(part, chat.ToolResult))
    ]


def _read_content(content: str | list[schema.Block], path: str, uses: Uses) -> tuple[chat.Part, ...]:
    if isinstance(content, str):
        return (chat.Text(content),)
    parts = (_read_block(block, f"{path}[{number}]", uses) for number, block in enumerate(content))
    return tuple(part for part in parts if part is not None)


def _read_block(block: schema.Block, path: str, uses: Uses) -> chat.Part | None:
    reader = _READ_BLOCK.get(block.type)
    part = reader(block, path, uses) if reader is not None else None
    if part is None:
        uses.append(Use("unknown_part", f"{path}.type"))
        return None
    cache = read_cache(block.cache_control, f"{path}.cache_control", uses)
    if cache is None or isinstance(part, chat.Thinking | chat.Refused):
        return part
    return msgspec.structs.replace(part, cache=cache)


def _read_text(block: schema.Block, path: str, uses: Uses) -> chat.Part | None:
    del path, uses
    return chat.Text(block.text or "")


def _read_image(block: schema.Block, path: str, uses: Uses) -> chat.Part | None:
    source = block.source or schema.Source("")
    use = _IMAGE_USES.get(source.type)
    if use is None:
        return None
    uses.append(Use(use, f"{path}.source"))
    return chat.Media("image", source.media_type or "", source.data or "", source.url or "", source.file_id or "")


_IMAGE_USES: Final[dict[str, Feature]] = {"base64": "image_data", "url": "image_url", "file": "stored_file"}


def _read_document(block: schema.Block, path: str, uses: Uses) -> chat.Part | None:
    source = block.source or schema.Source("")
    use = _FILE_USES.get(source.type)
    if use is None:
        return None
    uses.append(Use(use, f"{path}.source"))
    if block.context:
        uses.append(Use("unread_field", f"{path}.context"))
    data = source.data or ""
    if source.type == "text":
        data = b64encode(data.encode()).decode()
    return chat.Media("file", source.media_type or "", data, source.url or "", source.file_id or "", block.title or "")


_FILE_USES: Final[dict[str, Feature]] = {
    "base64": "file_data",
    "text": "file_data",
    "url": "file_url",
    "file": "stored_file",
}


def _read_tool_use(block: schema.Block, path: str, uses: Uses) -> chat.Part | None:
    uses.append(Use("tools", path))
    arguments = bodies.compact(block.input) if is_given(block.input) else "{}"
    return chat.ToolCall(block.id or "", block.name or "", arguments)


def _read_tool_result(block: schema.Block, path: str, uses: Uses) -> chat.Part | None:
    uses.append(Use("tools", path))
    if block.is_error:
        uses.append(Use("tool_result_error", f"{path}.is_error"))
    parts = _read_content(block.content or "", f"{path}.content", uses)
    kept = tuple(part for part in parts if isinstance(part, chat.Text | chat.Media))
    if any(isinstance(part, chat.Media) for part in kept):
        uses.append(Use("tool_result_media", f"{path}.content"))
    if block.content is None:
        kept = ()
    return chat.ToolResult(block.tool_use_id or "", kept, bool(block.is_error))


def _read_thinking(block: schema.Block, path: str, uses: Uses) -> chat.Part | None:
    uses.append(Use("thinking", f"{path}.thinking"))
    if block.signature:
        uses.append(Use("thinking_signature", f"{path}.signature"))
    return read_thought(block.thinking or "", block.signature or "", NAME)


def _read_redacted(block: schema.Block, path: str, uses: Uses) -> chat.Part | None:
    uses.append(Use("thinking_signature", f"{path}.data"))
    return read_thought("", block.data or "", NAME, is_redacted=True)


_READ_BLOCK: Final[dict[str, Callable[[schema.Block, str, Uses], chat.Part | None]]] = {
    "text": _read_text,
    "image": _read_image,
    "document": _read_document,
    "tool_use": _read_tool_use,
    "tool_result": _read_tool_result,
    "thinking": _read_thinking,
    "redacted_thinking": _read_redacted,
}


def _read_tools(request: schema.Request, uses: Uses) -> list[chat.Tool]:
    tools: list[chat.Tool] = []
    for number, tool in enumerate(request.tools or ()):
        path = f"tools[{number}]"
        is_ours = tool.type in (None, "custom")
        uses.append(Use("tools" if is_ours else "other_tools", path))
        if tool.strict:
            uses.append(Use("tool_strict", f"{path}.strict"))
        cache = read_cache(tool.cache_control, f"{path}.cache_control", uses)
        if is_ours:
            shape = tool.input_schema if is_given(tool.input_schema) else chat.NOTHING
            tools.append(chat.Tool(tool.name or "", tool.description or "", shape, tool.strict, cache))
    return tools


def _read_tool_choice(request: schema.Request, uses: Uses) -> chat.ToolChoice | None:
    choice = request.tool_choice
    mode = _READ_MODES.get(choice.type) if choice is not None else None
    if choice is None or mode is None:
        if choice is not None:
            uses.append(Use("other_tools", "tool_choice.type"))
        return None
    uses.append(Use("tool_choice_named" if mode == "named" else "tool_choice", "tool_choice"))
    return chat.ToolChoice(mode, choice.name or "")


_READ_MODES: Final[dict[str, chat.ChoiceMode]] = {"auto": "auto", "any": "required", "tool": "named", "none": "none"}


def _read_parallel(request: schema.Request, uses: Uses) -> bool | None:
    if request.tool_choice is None or not request.tool_choice.disable_parallel_tool_use:
        return None
    is_of_one = request.tool_choice.type == "tool" or (
        request.tool_choice.type == "any" and len(request.tools or ()) == 1
    )
    uses.append(one_call("tool_choice.disable_parallel_tool_use", is_of_one_tool=is_of_one))
    return False


def _read_format(request: schema.Request, uses: Uses) -> chat.Format | None:
    config = request.output_config
    path = "output_format" if request.output_format is not None else "output_config.format"
    given = request.output_format or (config.format if config is not None else None)
    if given is None:
        return None
    if given.type != "json_schema":
        uses.append(Use("unknown_field", f"{path}.type"))
        return None
    uses.append(Use("json_schema", path))
    return chat.Format("json_schema", schema=given.schema)


def _read_reasoning(request: schema.Request, uses: Uses) -> chat.Reasoning | None:
    config, thinking = request.output_config, request.thinking
    effort = read_effort(config.effort) if config is not None else None
    if effort is not None:
        uses.append(Use("reasoning_effort", "output_config.effort"))
    if thinking is None:
        return chat.Reasoning(effort) if effort is not None else None
    uses.append(Use("reasoning_effort" if thinking.budget_tokens is None else "reasoning_budget", "thinking"))
    if thinking.type == "disabled":
        return chat.Reasoning("none")
    is_shown = None if thinking.display is None else thinking.display != "omitted"
    if thinking.budget_tokens is None and effort is None:
        effort = "medium"
    return chat.Reasoning(effort, thinking.budget_tokens, is_shown)


# -- writing -----------------------------------------------------------------------------------------------------------


def write_request(conversation: chat.Conversation, target: Target) -> Written:
    """The provider's request."""
    system, messages = turns.split_system(conversation.messages)
    limit = target.output_limit(conversation) or TOKENS_OUTPUT_DEFAULT
    sampling = conversation.sampling
    thinking, effort, dropped = _write_reasoning(conversation, target, limit)
    fields = present(
        model=target.model_sent,
        max_tokens=limit,
        system=_write_system(system),
        messages=_write_messages(messages),
        tools=[_write_tool(tool) for tool in conversation.tools] or None,
        tool_choice=_write_tool_choice(conversation),
        thinking=thinking,
        output_config=present(effort=effort, format=_write_format(conversation.format)) or None,
        temperature=sampling.temperature,
        top_p=sampling.top_p,
        top_k=sampling.top_k,
        stop_sequences=list(sampling.stops) or None,
        metadata={"user_id": conversation.user} if conversation.user else None,
        stream=True if target.is_stream else None,
    )
    return Written(fields, dropped)


def _write_system(system: tuple[chat.Text, ...]) -> object:
    if not system:
        return None
    if len(system) == 1 and system[0].cache is None:
        return system[0].text
    return [_write_text(text) for text in system]


def _write_messages(messages: Iterable[chat.Message]) -> list[dict[str, object]]:
    """Results and what follows them are one user turn."""
    written: list[dict[str, object]] = []
    for is_assistant, group in groupby(messages, key=lambda message: message.role == "assistant"):
        blocks = [block for message in group for part in message.parts if (block := _write_part(part)) is not None]
        if blocks:
            written.append({"role": "assistant" if is_assistant else "user", "content": blocks})
    return written


def _write_part(part: chat.Part) -> dict[str, object] | None:
    match part:
        case chat.Text() | chat.Refused():
            return _write_text(part) if part.text else None
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
        input_schema=tool.parameters if is_given(tool.parameters) else {"type": "object", "properties": {}},
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

_BUDGET_TOKENS_MIN: Final = 1024
_EFFORTS: Final[dict[chat.Effort, str]] = {"minimal": "low", "xhigh": "high"}


def _write_reasoning(
    conversation: chat.Conversation, target: Target, limit: int
) -> tuple[object, str | None, tuple[str, ...]]:
    """`thinking`, the effort, and whether the wish had to be dropped."""
    reasoning = conversation.reasoning
    if reasoning is None:
        return None, None, ()
    if reasoning.effort == "none" or reasoning.budget_tokens == 0:
        return {"type": "disabled"}, None, ()
    effort = _EFFORTS.get(reasoning.effort, reasoning.effort) if reasoning.effort is not None else None
    if _ADAPTIVE.search(target.model_sent.lower()):
        display = None if reasoning.is_shown is False else "summarized"
        return present(type="adaptive", display=display), effort, ()
    budget = min(budget_of(reasoning) or _BUDGET_TOKENS_MIN, limit - 1)
    if budget < _BUDGET_TOKENS_MIN or _is_midway_without_thoughts(conversation):
        return None, None, ("reasoning",)
    return {"type": "enabled", "budget_tokens": budget}, None, ()


def _is_midway_without_thoughts(conversation: chat.Conversation) -> bool:
    """In the middle of a tool loop whose calls came without signed thoughts, thinking cannot be switched on."""
    if not conversation.messages or conversation.messages[-1].role != "tool":
        return False
    asked = next((turn for turn in reversed(conversation.messages) if turn.role == "assistant"), None)
    thoughts = (part for part in asked.parts if isinstance(part, chat.Thinking)) if asked is not None else ()
    return not any(own_value(thought.signature, NAME) for thought in thoughts)
