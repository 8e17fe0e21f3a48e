"""Requests of OpenAI chat completions, read into a conversation and written from one."""

from collections.abc import Callable
from typing import Final

import msgspec

from tollway.dialects import bodies, media, turns
from tollway.dialects.bodies import Fields
from tollway.dialects.dialect import Target, Written
from tollway.dialects.features import Feature, Use, one_call
from tollway.dialects.openai_chat import schema, thoughts
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
from tollway.dialects.thinking import effort_of, read_effort
from tollway.wire import chat
from tollway.wire.refusals import Refusal

CARRIES: Final[frozenset[Feature]] = frozenset(
    {
        "system", "developer", "message_name", "image_url", "image_data", "image_detail", "audio_input", "file_data",
        "file_id", "assistant_refusal", "tools", "tool_strict", "tool_choice", "tool_choice_named",
        "one_tool_call_at_a_time", "one_call_of_one_tool", "tool_result_media", "temperature", "temperature_above_1",
        "top_p",
        "presence_penalty", "frequency_penalty", "seed", "stop", "choices", "logprobs", "json_object", "json_schema",
        "reasoning_effort", "reasoning_budget", "verbosity", "user",
    }
)  # fmt: skip
"""By their row, providers may carry more: `thinking`, `thinking_signature`, `cache_control`, `top_k`."""

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

# -- reading -----------------------------------------------------------------------------------------------------------


def read_request(body: bytes, fields: Fields) -> Reading | Refusal:
    """A conversation, and what it uses."""
    request = bodies.decode(schema.REQUESTS, body)
    if isinstance(request, Refusal):
        return request
    uses = [*top_level_uses(fields, TOP), *unread_fields(body, request)]
    messages = tuple(_read_message(message, f"messages[{i}]", uses) for i, message in enumerate(request.messages))
    conversation = chat.Conversation(
        messages=turns.join_tool_turns(messages),
        tools=tuple(_read_tools(request, uses)),
        tool_choice=_read_tool_choice(request, uses),
        is_parallel=_read_parallel(request, uses),
        format=_read_format(request, uses),
        reasoning=_read_reasoning(request, uses),
        sampling=_read_sampling(request, uses),
        tokens_output_max=request.max_completion_tokens or request.max_tokens,
        choices=request.n or 1,
        logprobs=_read_logprobs(request, uses),
        verbosity=request.verbosity or "",
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
    calls = [_read_call(call, f"{path}.tool_calls[{i}]", uses) for i, call in enumerate(message.tool_calls or ())]
    return (*thought, *said, *refused, *calls)


def _read_call(call: schema.Call, path: str, uses: Uses) -> chat.ToolCall:
    uses.append(Use("tools" if call.function is not None else "other_tools", path))
    function = call.function or schema.Function()
    return chat.ToolCall(call.id or "", function.name or "", read_arguments(function.arguments))


def read_arguments(arguments: object) -> str:
    """JSON text; some providers send the object."""
    if arguments is None:
        return ""
    return arguments if isinstance(arguments, str) else msgspec.json.encode(arguments).decode()


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


def _read_tools(request: schema.Request, uses: Uses) -> list[chat.Tool]:
    tools: list[chat.Tool] = []
    for number, tool in enumerate(request.tools or ()):
        function = tool.function
        uses.append(Use("tools" if function is not None else "other_tools", f"tools[{number}]"))
        if function is not None:
            cache = read_cache(tool.cache_control, f"tools[{number}].cache_control", uses)
            tools.append(_read_tool(function, number, uses, cache))
    return tools


def _read_tool(function: schema.FunctionSpec, number: int, uses: Uses, cache: chat.Cache | None) -> chat.Tool:
    if function.strict:
        uses.append(Use("tool_strict", f"tools[{number}].function.strict"))
    parameters = function.parameters if is_given(function.parameters) else chat.NOTHING
    return chat.Tool(function.name, function.description or "", parameters, function.strict, cache)


def _read_tool_choice(request: schema.Request, uses: Uses) -> chat.ToolChoice | None:
    choice = request.tool_choice
    if choice is None:
        return None
    if isinstance(choice, schema.ToolChoice):
        named = choice.function
        uses.append(Use("tool_choice_named" if named is not None else "other_tools", "tool_choice"))
        return chat.ToolChoice("named", named.name) if named is not None else None
    mode = _MODES.get(choice)
    uses.append(Use("tool_choice" if mode is not None else "other_tools", "tool_choice"))
    return chat.ToolChoice(mode) if mode is not None else None


_MODES: Final[dict[str, chat.ChoiceMode]] = {"auto": "auto", "none": "none", "required": "required"}


def _read_parallel(request: schema.Request, uses: Uses) -> bool | None:
    if request.parallel_tool_calls is False and request.tools:
        uses.append(one_call("parallel_tool_calls", is_of_one_tool=_is_one_demanded(request)))
    return request.parallel_tool_calls


def _is_one_demanded(request: schema.Request) -> bool:
    is_named = isinstance(request.tool_choice, schema.ToolChoice)
    return is_named or (request.tool_choice == "required" and len(request.tools or ()) == 1)


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
        (stops,) if isinstance(stops, str) else tuple(stops or ()),
    )


def _read_logprobs(request: schema.Request, uses: Uses) -> int | None:
    if not request.logprobs:
        return None
    uses.append(Use("logprobs", "logprobs"))
    return request.top_logprobs or 0


# -- writing -----------------------------------------------------------------------------------------------------------


def write_request(conversation: chat.Conversation, target: Target) -> Written:
    """The provider's request."""
    sampling = conversation.sampling
    limit = target.output_limit(conversation)
    fields = present(
        model=target.model_sent,
        messages=[turn for message in conversation.messages for turn in _write_message(message, target)],
        tools=[_write_tool(tool, target) for tool in conversation.tools] or None,
        tool_choice=_write_tool_choice(conversation.tool_choice),
        parallel_tool_calls=conversation.is_parallel if conversation.tools else None,
        response_format=_write_format(conversation.format),
        reasoning_effort=effort_of(conversation.reasoning) if conversation.reasoning is not None else None,
        verbosity=conversation.verbosity or None,
        temperature=sampling.temperature,
        top_p=sampling.top_p,
        top_k=sampling.top_k if "top_k" in target.carries else None,
        presence_penalty=sampling.presence_penalty,
        frequency_penalty=sampling.frequency_penalty,
        seed=sampling.seed,
        stop=list(sampling.stops) or None,
        n=conversation.choices if conversation.choices > 1 else None,
        logprobs=True if conversation.logprobs is not None else None,
        top_logprobs=conversation.logprobs or None,
        user=conversation.user or None,
        stream=True if target.is_stream else None,
        stream_options=_USAGE if target.is_stream and target.row.usage_in_stream == "ask" else None,
        **({target.output_limit_param or "max_tokens": limit} if limit is not None else {}),
    )
    return Written(fields)


_USAGE: Final = {"include_usage": True}


def _write_message(message: chat.Message, target: Target) -> list[dict[str, object]]:
    if message.role == "tool":
        return _write_results(message, target)
    if message.role == "assistant":
        return [_write_answered(message, target)]
    role = "user" if message.role == "user" else "system"
    return [present(role=role, content=_write_content(message.parts, target), name=message.name or None)]


def _write_content(parts: tuple[chat.Part, ...], target: Target) -> str | list[dict[str, object]]:
    if len(parts) == 1 and isinstance(parts[0], chat.Text) and not _is_cached(parts[0], target):
        return parts[0].text
    return [_write_part(part, target) for part in parts if isinstance(part, chat.Text | chat.Media | chat.Refused)]


def _is_cached(part: chat.Text | chat.Media, target: Target) -> bool:
    return part.cache is not None and "cache_control" in target.carries


def _write_part(part: chat.Text | chat.Media | chat.Refused, target: Target) -> dict[str, object]:
    match part:
        case chat.Text():
            written: dict[str, object] = {"type": "text", "text": part.text}
        case chat.Refused():
            return {"type": "refusal", "refusal": part.text}
        case chat.Media():
            written = _WRITE_MEDIA[part.kind](part)
    if part.cache is not None and "cache_control" in target.carries:
        written["cache_control"] = present(type="ephemeral", ttl=part.cache.ttl or None)
    return written


def _write_image(part: chat.Media) -> dict[str, object]:
    url = part.url or media.write_data_url(part.media_type, part.data)
    return {"type": "image_url", "image_url": present(url=url, detail=part.detail or None)}


def _write_audio(part: chat.Media) -> dict[str, object]:
    sound = {"data": part.data, "format": part.media_type.removeprefix("audio/")}
    return {"type": "input_audio", "input_audio": sound}


def _write_file(part: chat.Media) -> dict[str, object]:
    if part.file_id:
        return {"type": "file", "file": {"file_id": part.file_id}}
    data = media.write_data_url(part.media_type, part.data)
    return {"type": "file", "file": {"filename": part.name or "file", "file_data": data}}


_WRITE_MEDIA: Final[dict[str, Callable[[chat.Media], dict[str, object]]]] = {
    "image": _write_image,
    "audio": _write_audio,
    "file": _write_file,
}


def _write_answered(message: chat.Message, target: Target) -> dict[str, object]:
    said = tuple(part for part in message.parts if isinstance(part, chat.Text))
    refused = "".join(part.text for part in message.parts if isinstance(part, chat.Refused))
    calls = [_write_call(part) for part in message.parts if isinstance(part, chat.ToolCall)]
    return {
        "role": "assistant",
        "content": _write_content(said, target) if said else None,
        **present(refusal=refused or None, tool_calls=calls or None, name=message.name or None),
        **(thoughts.write_request(message.parts) if "thinking" in target.carries else {}),
    }


def _write_call(call: chat.ToolCall) -> dict[str, object]:
    function = {"name": call.name, "arguments": call.arguments or "{}"}
    return {"id": call.id, "type": "function", "function": function}


def _write_results(message: chat.Message, target: Target) -> list[dict[str, object]]:
    """One message per result; its images and files follow in a user turn, since results are text here."""
    results = [part for part in message.parts if isinstance(part, chat.ToolResult)]
    written: list[dict[str, object]] = [
        {"role": "tool", "tool_call_id": result.call_id, "content": turns.text_of(result.parts)} for result in results
    ]
    seen = [part for result in results for part in result.parts if isinstance(part, chat.Media)]
    if seen:
        written.append({"role": "user", "content": [_write_part(part, target) for part in seen]})
    return written


def _write_tool(tool: chat.Tool, target: Target) -> dict[str, object]:
    function = present(
        name=tool.name,
        description=tool.description or None,
        parameters=tool.parameters if is_given(tool.parameters) else None,
        strict=tool.is_strict,
    )
    cache = tool.cache if "cache_control" in target.carries else None
    marked = {} if cache is None else {"cache_control": present(type="ephemeral", ttl=cache.ttl or None)}
    return {"type": "function", "function": function, **marked}


def _write_tool_choice(choice: chat.ToolChoice | None) -> object:
    if choice is None:
        return None
    if choice.mode == "named":
        return {"type": "function", "function": {"name": choice.name}}
    return choice.mode


def _write_format(form: chat.Format | None) -> object:
    if form is None or form.kind == "text":
        return None
    if form.kind == "json_object":
        return {"type": "json_object"}
    named = present(
        name=form.name or "answer",
        schema=form.schema if is_given(form.schema) else None,
        strict=form.is_strict,
        description=form.description or None,
    )
    return {"type": "json_schema", "json_schema": named}
