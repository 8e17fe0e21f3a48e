"""Requests of Anthropic messages, read into a conversation."""

from base64 import b64encode
from collections.abc import Callable
from itertools import groupby
from typing import Final

import msgspec

from tollway.dialects import bodies, turns
from tollway.dialects.anthropic_messages import schema
from tollway.dialects.anthropic_messages.schema import NAME
from tollway.dialects.bodies import Fields
from tollway.dialects.features import Feature, Use, one_call
from tollway.dialects.reading import Reading, TopLevel, Uses, is_given, read_cache, top_level_uses, unread_fields
from tollway.dialects.signatures import read_thought
from tollway.dialects.thinking import read_effort
from tollway.wire import chat
from tollway.wire.refusals import Refusal

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


def read_request(body: bytes, fields: Fields) -> Reading | Refusal:
    """A conversation, and what it uses."""
    request = schema.decode_request(body)
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
