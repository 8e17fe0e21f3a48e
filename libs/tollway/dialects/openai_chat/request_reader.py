"""Requests of OpenAI chat completions, read into a conversation."""

from collections.abc import Callable
from typing import Final

import msgspec

from tollway.dialects import media, turns
from tollway.dialects.bodies import Fields
from tollway.dialects.features import Feature, Use
from tollway.dialects.openai_chat import schema, thoughts, tools
from tollway.dialects.reading import (
    Reading,
    TopLevel,
    Uses,
    is_given,
    read_cache,
    read_verbosity,
    top_level_uses,
    unread_fields,
    use_stops,
)
from tollway.dialects.thinking import read_effort
from tollway.wire import chat
from tollway.wire.refusals import Refusal

TOP: Final[TopLevel] = {
    **dict.fromkeys(
        ("model", "models", "messages", "stream", "stream_options", "max_tokens", "max_completion_tokens", "tools",
         "tool_choice", "response_format", "reasoning", "modalities", "logprobs", "temperature")
    ),
    **dict.fromkeys(
        ("metadata",), "metadata",
    ),
    **dict.fromkeys(
        ("store", "service_tier", "prompt_cache_key", "prompt_cache_retention", "prompt_cache_options",
         "safety_identifier", "prediction"), "hint",
    ),
    **dict.fromkeys(("functions", "function_call", "web_search_options", "plugins"), "other_tools"),
    "n": "choices",
    "top_logprobs": "logprobs",
    "top_p": "top_p",
    "top_k": "top_k",
    "presence_penalty": "presence_penalty",
    "frequency_penalty": "frequency_penalty",
    "seed": "seed",
    "stop": "stop",
    "parallel_tool_calls": None,
    "reasoning_effort": "reasoning_effort",
    "verbosity": "verbosity",
    "audio": "audio_output",
    "user": "user",
}  # fmt: skip


def read_request(body: bytes, fields: Fields) -> Reading | Refusal:
    """A conversation, and what it uses."""
    request = schema.decode_request(body)
    if isinstance(request, Refusal):
        return request
    uses = [*top_level_uses(fields, TOP), *unread_fields(body, request)]
    messages = tuple(_read_message(message, f"messages[{i}]", uses) for i, message in enumerate(request.messages))
    conversation = chat.Conversation(
        messages=turns.join_tool_turns(messages),
        tools=tools.read_tools(request, uses),
        tool_choice=tools.read_choice(request.tool_choice, uses),
        is_parallel=tools.read_parallel(request, uses),
        format=_read_format(request, uses),
        reasoning=_read_reasoning(request, uses),
        sampling=_read_sampling(request, uses),
        tokens_output_max=request.max_completion_tokens or request.max_tokens,
        choices=request.n or 1,
        logprobs=_read_logprobs(request, uses),
        verbosity=read_verbosity(request.verbosity),
        user=request.user or "",
        metadata=request.metadata or {},
    )
    if request.modalities and "audio" in request.modalities:
        uses.append(Use("audio_output", "modalities"))
    return Reading(conversation, tuple(uses))


def _read_message(message: schema.Message, path: str, uses: Uses) -> chat.Message:
    role = _ROLES.get(message.role)
    if role is None:
        uses.append(Use("other_tools" if message.role == "function" else "unknown_part", f"{path}.role"))
        return chat.Message("user", ())
    if role in ("system", "developer", "tool"):
        uses.append(Use(_ROLE_USES[role], f"{path}.role"))
    if message.name:
        uses.append(Use("message_name", f"{path}.name"))
    for name in ("audio", "function_call"):
        if is_given(getattr(message, name)):
            uses.append(Use("unknown_part", f"{path}.{name}"))
    return chat.Message(role, _READ_ROLE[role](message, path, uses), message.name or "")


def _read_said(message: schema.Message, path: str, uses: Uses) -> tuple[chat.Part, ...]:
    content = message.content
    if isinstance(content, str):
        cache = read_cache(message.cache_control, f"{path}.cache_control", uses)
        return (chat.Text(content, cache),)
    parts = (_read_part(part, f"{path}.content[{i}]", uses) for i, part in enumerate(content or ()))
    return tuple(part for part in parts if part is not None)


def _read_answered(message: schema.Message, path: str, uses: Uses) -> tuple[chat.Part, ...]:
    said = [part for part in _read_said(message, path, uses) if not (isinstance(part, chat.Text) and not part.text)]
    thought = thoughts.read(message, path, uses)
    refused = [chat.Refused(message.refusal)] if message.refusal else []
    if refused:
        uses.append(Use("assistant_refusal", f"{path}.refusal"))
    return (*thought, *said, *refused, *_read_calls(message, path, uses))


def _read_calls(message: schema.Message, path: str, uses: Uses) -> list[chat.ToolCall]:
    calls: list[chat.ToolCall] = []
    for number, given in enumerate(message.tool_calls or ()):
        call = tools.read_call(given)
        feature = "other_tools" if call is None else "custom_tools" if call.is_custom else "tools"
        uses.append(Use(feature, f"{path}.tool_calls[{number}]"))
        calls += [msgspec.structs.replace(call, id=given.id or "")] if call is not None else []
    return calls


def _read_result(message: schema.Message, path: str, uses: Uses) -> tuple[chat.Part, ...]:
    parts: list[chat.Text | chat.Media] = []
    for part in _read_said(message, path, uses):
        if isinstance(part, chat.Text | chat.Media):
            parts.append(part)
        if isinstance(part, chat.Media):
            uses.append(Use("tool_result_media", f"{path}.content"))
    return (chat.ToolResult(message.tool_call_id or "", tuple(parts)),)


def _read_part(part: schema.Part, path: str, uses: Uses) -> chat.Part | None:
    reader = _READ_PART.get(part.type)
    if reader is None:
        uses.append(Use("unknown_part", f"{path}.type"))
        return None
    read = reader(part, path, uses)
    cache = read_cache(part.cache_control, f"{path}.cache_control", uses)
    if cache is None:
        cache = read_cache(part.prompt_cache_breakpoint, f"{path}.prompt_cache_breakpoint", uses)
    return (
        msgspec.structs.replace(read, cache=cache) if cache is not None and not isinstance(read, chat.Refused) else read
    )


def _read_text(part: schema.Part, path: str, uses: Uses) -> chat.Text | chat.Media | chat.Refused:
    del path, uses
    return chat.Text(part.text or "")


def _read_image(part: schema.Part, path: str, uses: Uses) -> chat.Text | chat.Media | chat.Refused:
    image = part.image_url or schema.ImageUrl("")
    if image.detail not in (None, "auto"):
        uses.append(Use("image_detail", f"{path}.image_url.detail"))
    found = media.data_url(image.url)
    uses.append(Use("image_url" if found is None else "image_data", f"{path}.image_url"))
    if found is None:
        return chat.Media("image", url=image.url, detail=image.detail or "")
    return chat.Media("image", found.media_type, found.data, detail=image.detail or "")


def _read_audio(part: schema.Part, path: str, uses: Uses) -> chat.Text | chat.Media | chat.Refused:
    uses.append(Use("audio_input", f"{path}.input_audio"))
    sound = part.input_audio or schema.InputAudio("", "")
    return chat.Media("audio", f"audio/{sound.format}", sound.data)


def _read_file(part: schema.Part, path: str, uses: Uses) -> chat.Text | chat.Media | chat.Refused:
    file = part.file or schema.FileRef()
    uses.append(Use("file_id" if file.file_id else "file_data", f"{path}.file"))
    found = media.data_url(file.file_data or "") or media.DataUrl("application/pdf", file.file_data or "")
    if file.file_id:
        return chat.Media("file", file_id=file.file_id, name=file.filename or "")
    return chat.Media("file", found.media_type, found.data, name=file.filename or "")


def _read_refused(part: schema.Part, path: str, uses: Uses) -> chat.Text | chat.Media | chat.Refused:
    uses.append(Use("assistant_refusal", path))
    return chat.Refused(part.refusal or "")


_ROLES: Final[dict[str, chat.Role]] = {
    "system": "system",
    "developer": "developer",
    "user": "user",
    "assistant": "assistant",
    "tool": "tool",
}
_ROLE_USES: Final[dict[str, Feature]] = {"system": "system", "developer": "developer", "tool": "tools"}
_READ_ROLE: Final[dict[chat.Role, Callable[[schema.Message, str, Uses], tuple[chat.Part, ...]]]] = {
    "system": _read_said,
    "developer": _read_said,
    "user": _read_said,
    "assistant": _read_answered,
    "tool": _read_result,
}
_READ_PART: Final[dict[str, Callable[[schema.Part, str, Uses], chat.Text | chat.Media | chat.Refused]]] = {
    "text": _read_text,
    "image_url": _read_image,
    "input_audio": _read_audio,
    "file": _read_file,
    "refusal": _read_refused,
}


def _read_format(request: schema.Request, uses: Uses) -> chat.Format | None:
    given = request.response_format
    if given is None or given.type == "text":
        return None
    if given.type == "json_object":
        uses.append(Use("json_object", "response_format"))
        return chat.Format("json_object")
    if given.type != "json_schema" or given.json_schema is None:
        uses.append(Use("unknown_field", "response_format.type"))
        return None
    uses.append(Use("json_schema", "response_format"))
    named = given.json_schema
    return chat.Format("json_schema", named.name, named.schema, named.strict, named.description or "")


def _read_reasoning(request: schema.Request, uses: Uses) -> chat.Reasoning | None:
    given = request.reasoning
    effort = read_effort(request.reasoning_effort or (given.effort if given is not None else None))
    if given is None:
        return chat.Reasoning(effort) if effort is not None else None
    if given.effort is not None:
        uses.append(Use("reasoning_effort", "reasoning.effort"))
    if given.max_tokens is not None:
        uses.append(Use("reasoning_budget", "reasoning.max_tokens"))
    is_shown = None if given.exclude is None else not given.exclude
    if effort is None and given.max_tokens is None and given.enabled is not None:
        effort = "medium" if given.enabled else "none"
    return chat.Reasoning(effort, given.max_tokens, is_shown)


def _read_sampling(request: schema.Request, uses: Uses) -> chat.Sampling:
    if request.temperature is not None:
        uses.append(Use("temperature_above_1" if request.temperature > 1 else "temperature", "temperature"))
    stops = request.stop
    return chat.Sampling(
        request.temperature,
        request.top_p,
        request.top_k,
        request.presence_penalty,
        request.frequency_penalty,
        request.seed,
        use_stops((stops,) if isinstance(stops, str) else stops or (), "stop", uses),
    )


def _read_logprobs(request: schema.Request, uses: Uses) -> int | None:
    if not request.logprobs:
        return None
    uses.append(Use("logprobs", "logprobs"))
    return request.top_logprobs or 0
