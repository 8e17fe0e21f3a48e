"""Requests of OpenAI responses, read into a conversation."""

from collections.abc import Callable, Iterable
from itertools import groupby
from typing import Final

import msgspec

from tollway.dialects import media, turns
from tollway.dialects.bodies import Fields
from tollway.dialects.features import Use
from tollway.dialects.openai_responses import schema, tools
from tollway.dialects.openai_responses.schema import INCLUDE_LOGPROBS, NAME
from tollway.dialects.reading import (
    Reading,
    TopLevel,
    Uses,
    read_cache,
    read_verbosity,
    top_level_uses,
    unread_fields,
)
from tollway.dialects.signatures import own_value, read_thought
from tollway.dialects.thinking import read_effort
from tollway.wire import chat
from tollway.wire.refusals import Refusal

TOP: Final[TopLevel] = {
    **dict.fromkeys(
        ("model", "models", "input", "instructions", "stream", "max_output_tokens", "temperature", "tools",
         "tool_choice", "parallel_tool_calls", "reasoning", "text", "include")
    ),
    **dict.fromkeys(
        ("store", "service_tier", "prompt_cache_key", "prompt_cache_retention", "prompt_cache_options",
         "safety_identifier", "stream_options", "access_programs", "max_tool_calls", "client_metadata"), "hint",
    ),
    **dict.fromkeys(
        ("previous_response_id", "conversation", "background", "prompt", "truncation", "context_management"),
        "stored_state",
    ),
    "top_p": "top_p",
    "top_logprobs": "logprobs",
    "metadata": "metadata",
    "user": "user",
}  # fmt: skip


def read_request(body: bytes, fields: Fields) -> Reading | Refusal:
    """A conversation, and what it uses."""
    request = schema.decode_request(body)
    if isinstance(request, Refusal):
        return request
    uses = [*top_level_uses(fields, TOP), *unread_fields(body, request)]
    if request.temperature is not None:
        uses.append(Use("temperature_above_1" if request.temperature > 1 else "temperature", "temperature"))
    config = request.text or schema.TextConfig()
    if read_verbosity(config.verbosity):
        uses.append(Use("verbosity", "text.verbosity"))
    conversation = chat.Conversation(
        messages=_read_input(request, uses),
        tools=tools.read_tools(request, uses),
        tool_choice=tools.read_choice(request.tool_choice, uses),
        is_parallel=tools.read_parallel(request, uses),
        format=_read_format(config.format, uses),
        reasoning=_read_reasoning(request, uses),
        sampling=chat.Sampling(request.temperature, request.top_p),
        tokens_output_max=request.max_output_tokens,
        logprobs=_read_logprobs(request, uses),
        verbosity=read_verbosity(config.verbosity),
        user=request.user or "",
        metadata=request.metadata or {},
    )
    return Reading(conversation, tuple(uses))


def _read_input(request: schema.Request, uses: Uses) -> tuple[chat.Message, ...]:
    messages: list[chat.Message] = []
    if request.instructions:
        uses.append(Use("system", "instructions"))
        messages.append(chat.Message("system", (chat.Text(request.instructions),)))
    if isinstance(request.input, str):
        messages.append(chat.Message("user", (chat.Text(request.input),)))
    else:
        read = (_read_item(item, f"input[{number}]", uses) for number, item in enumerate(request.input or ()))
        messages.extend(_join_answers(message for message in read if message is not None))
    return turns.join_tool_turns(messages)


def _join_answers(messages: Iterable[chat.Message]) -> Iterable[chat.Message]:
    """Reasoning, text and calls that follow each other were one turn of the model."""
    for role, group in groupby(messages, key=lambda message: message.role):
        if role == "assistant":
            yield chat.Message(role, tuple(part for message in group for part in message.parts))
        else:
            yield from group


def _read_item(item: schema.Item, path: str, uses: Uses) -> chat.Message | None:
    reader = _READ_ITEM.get(item.type or "message")
    if reader is None:
        uses.append(Use("stored_state" if item.type == "item_reference" else "unknown_part", f"{path}.type"))
        return None
    return reader(item, path, uses)


def _read_message(item: schema.Item, path: str, uses: Uses) -> chat.Message | None:
    role = _ROLES.get(item.role or "")
    if role is None:
        uses.append(Use("unknown_part", f"{path}.role"))
        return None
    if role in ("system", "developer"):
        uses.append(Use("system" if role == "system" else "developer", f"{path}.role"))
    return chat.Message(role, _read_content(item.content, f"{path}.content", uses))


_ROLES: Final[dict[str, chat.Role]] = {
    "user": "user",
    "assistant": "assistant",
    "system": "system",
    "developer": "developer",
}


def _read_call(item: schema.Item, path: str, uses: Uses) -> chat.Message | None:
    uses.append(Use("tools", path))
    return chat.Message("assistant", (chat.ToolCall(item.call_id or "", item.name or "", item.arguments or ""),))


def _read_custom_call(item: schema.Item, path: str, uses: Uses) -> chat.Message | None:
    uses.append(Use("custom_tools", path))
    call = chat.ToolCall(item.call_id or "", item.name or "", item.input or "", is_custom=True)
    return chat.Message("assistant", (call,))


def _read_output(item: schema.Item, path: str, uses: Uses) -> chat.Message | None:
    uses.append(Use("tools", path))
    parts = _read_content(item.output, f"{path}.output", uses)
    kept = tuple(part for part in parts if isinstance(part, chat.Text | chat.Media))
    if any(isinstance(part, chat.Media) for part in kept):
        uses.append(Use("tool_result_media", f"{path}.output"))
    return chat.Message("tool", (chat.ToolResult(item.call_id or "", kept),))


def _read_reasoned(item: schema.Item, path: str, uses: Uses) -> chat.Message | None:
    part = read_reasoning(item)
    if part.text:
        uses.append(Use("thinking", f"{path}.summary"))
    if part.signature is not None:
        uses.append(Use("thinking_signature", f"{path}.encrypted_content"))
    return chat.Message("assistant", (part,))


def read_reasoning(item: schema.Item) -> chat.Thinking:
    """A reasoning item of a request or an answer. The signature keeps the item's id, which goes back with it."""
    content = item.content if isinstance(item.content, list) else []
    text = "\n\n".join(part.text or "" for part in (*(item.summary or ()), *content))
    token = item.encrypted_content or ""
    thought = read_thought(text, token, NAME)
    if own_value(thought.signature, NAME):
        return chat.Thinking(text, chat.Signature(NAME, f"{item.id or ''}.{token}"))
    return thought


_READ_ITEM: Final[dict[str, Callable[[schema.Item, str, Uses], chat.Message | None]]] = {
    "message": _read_message,
    "function_call": _read_call,
    "function_call_output": _read_output,
    "custom_tool_call": _read_custom_call,
    "custom_tool_call_output": _read_output,
    "reasoning": _read_reasoned,
}


def _read_content(content: str | list[schema.Content] | None, path: str, uses: Uses) -> tuple[chat.Part, ...]:
    if isinstance(content, str):
        return (chat.Text(content),)
    parts = (_read_part(part, f"{path}[{number}]", uses) for number, part in enumerate(content or ()))
    return tuple(part for part in parts if part is not None)


def _read_part(part: schema.Content, path: str, uses: Uses) -> chat.Part | None:
    reader = _READ_PART.get(part.type)
    if reader is None:
        uses.append(Use("unknown_part", f"{path}.type"))
        return None
    read = reader(part, path, uses)
    cache = read_cache(part.prompt_cache_breakpoint, f"{path}.prompt_cache_breakpoint", uses)
    return (
        msgspec.structs.replace(read, cache=cache) if cache is not None and not isinstance(read, chat.Refused) else read
    )


def _read_text(part: schema.Content, path: str, uses: Uses) -> chat.Text | chat.Media | chat.Refused:
    del path, uses
    return chat.Text(part.text or "")


def _read_refused(part: schema.Content, path: str, uses: Uses) -> chat.Text | chat.Media | chat.Refused:
    uses.append(Use("assistant_refusal", path))
    return chat.Refused(part.refusal or "")


def _read_image(part: schema.Content, path: str, uses: Uses) -> chat.Text | chat.Media | chat.Refused:
    detail = part.detail if part.detail not in (None, "auto") else ""
    if detail:
        uses.append(Use("image_detail", f"{path}.detail"))
    if part.file_id:
        uses.append(Use("image_file_id", f"{path}.file_id"))
        return chat.Media("image", file_id=part.file_id, detail=detail or "")
    found = media.data_url(part.image_url or "")
    uses.append(Use("image_url" if found is None else "image_data", f"{path}.image_url"))
    if found is None:
        return chat.Media("image", url=part.image_url or "", detail=detail or "")
    return chat.Media("image", found.media_type, found.data, detail=detail or "")


def _read_file(part: schema.Content, path: str, uses: Uses) -> chat.Text | chat.Media | chat.Refused:
    name = part.filename or ""
    if part.file_id:
        uses.append(Use("file_id", f"{path}.file_id"))
        return chat.Media("file", file_id=part.file_id, name=name)
    if part.file_url:
        uses.append(Use("file_url", f"{path}.file_url"))
        return chat.Media("file", url=part.file_url, name=name)
    uses.append(Use("file_data", f"{path}.file_data"))
    found = media.data_url(part.file_data or "") or media.DataUrl("application/pdf", part.file_data or "")
    return chat.Media("file", found.media_type, found.data, name=name)


_READ_PART: Final[dict[str, Callable[[schema.Content, str, Uses], chat.Text | chat.Media | chat.Refused]]] = {
    "input_text": _read_text,
    "output_text": _read_text,
    "text": _read_text,
    "refusal": _read_refused,
    "input_image": _read_image,
    "input_file": _read_file,
}


def _read_format(given: schema.Format | None, uses: Uses) -> chat.Format | None:
    if given is None or given.type == "text":
        return None
    if given.type == "json_object":
        uses.append(Use("json_object", "text.format"))
        return chat.Format("json_object")
    if given.type != "json_schema":
        uses.append(Use("unknown_field", "text.format.type"))
        return None
    uses.append(Use("json_schema", "text.format"))
    return chat.Format("json_schema", given.name or "", given.schema, given.strict, given.description or "")


def _read_reasoning(request: schema.Request, uses: Uses) -> chat.Reasoning | None:
    given = request.reasoning
    if given is None:
        return None
    effort = read_effort(given.effort)
    if effort is not None:
        uses.append(Use("reasoning_effort", "reasoning.effort"))
    is_shown = True if given.summary or given.generate_summary else None
    return chat.Reasoning(effort, None, is_shown) if effort is not None or is_shown is not None else None


def _read_logprobs(request: schema.Request, uses: Uses) -> int | None:
    if INCLUDE_LOGPROBS not in (request.include or ()):
        return request.top_logprobs or None
    uses.append(Use("logprobs", "include"))
    return request.top_logprobs or 0
