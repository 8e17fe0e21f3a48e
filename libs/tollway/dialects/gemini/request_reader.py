"""Requests of Gemini, read into a conversation."""

from collections.abc import Iterable
from itertools import groupby
from typing import Any, Final, Literal

import msgspec

from tollway.dialects import bodies, media, turns
from tollway.dialects.bodies import Fields
from tollway.dialects.features import Feature, Use
from tollway.dialects.gemini import schema
from tollway.dialects.gemini.schema import NAME
from tollway.dialects.reading import Reading, TopLevel, Uses, is_given, top_level_uses, unread_fields, use_stops
from tollway.dialects.signatures import read_thought
from tollway.dialects.thinking import read_effort
from tollway.wire import chat
from tollway.wire.refusals import Refusal

TOP: Final[TopLevel] = {
    **dict.fromkeys(("model", "models", "stream", "contents", "systemInstruction", "tools", "toolConfig")),
    "generationConfig": None,
    "cachedContent": "stored_state",
    "safetySettings": "hint",
    "labels": "metadata",
    "serviceTier": "hint",
    "store": "hint",
}


def read_request(body: bytes, fields: Fields) -> Reading | Refusal:
    """A conversation, and what it uses."""
    request = bodies.decode(schema.REQUESTS, body)
    if isinstance(request, Refusal):
        return request
    uses = [*top_level_uses(fields, TOP), *unread_fields(body, request)]
    config = request.generation_config or schema.GenerationConfig()
    system = _read_system(request, uses)
    ids = _CallIds()
    messages = [
        turn
        for number, content in enumerate(request.contents)
        for turn in _read_content(content, f"contents[{number}]", uses, ids)
    ]
    _use_config(config, uses)
    conversation = chat.Conversation(
        messages=turns.join_tool_turns([*system, *messages]),
        tools=tuple(_read_tools(request, uses)),
        tool_choice=_read_tool_choice(request, uses),
        format=_read_format(config, uses),
        reasoning=_read_reasoning(config.thinking_config, uses),
        sampling=chat.Sampling(
            config.temperature,
            config.top_p,
            int(config.top_k) if config.top_k is not None else None,
            config.presence_penalty,
            config.frequency_penalty,
            config.seed,
            use_stops(config.stop_sequences or (), "generationConfig.stopSequences", uses),
        ),
        tokens_output_max=config.max_output_tokens,
        choices=config.candidate_count or 1,
        logprobs=(config.logprobs or 0) if config.response_logprobs else None,
    )
    return Reading(conversation, tuple(uses))


_CONFIG_USES: Final[dict[str, Feature]] = {
    "top_p": "top_p",
    "top_k": "top_k",
    "presence_penalty": "presence_penalty",
    "frequency_penalty": "frequency_penalty",
    "seed": "seed",
    "stop_sequences": "stop",
    "response_logprobs": "logprobs",
}


def _use_config(config: schema.GenerationConfig, uses: Uses) -> None:
    names = dict(zip(config.__struct_fields__, config.__struct_encode_fields__, strict=True))
    for field, feature in _CONFIG_USES.items():
        if getattr(config, field):
            uses.append(Use(feature, f"generationConfig.{names[field]}"))
    if config.temperature is not None:
        uses.append(
            Use("temperature_above_1" if config.temperature > 1 else "temperature", "generationConfig.temperature")
        )
    if (config.candidate_count or 1) > 1:
        uses.append(Use("choices", "generationConfig.candidateCount"))
    if "AUDIO" in (config.response_modalities or ()) or "IMAGE" in (config.response_modalities or ()):
        uses.append(Use("audio_output", "generationConfig.responseModalities"))


class _CallIds:
    """Calls without an id get one by their order; responses without one take the oldest call of their name."""

    def __init__(self) -> None:
        self._count = 0
        self._waiting: list[tuple[str, str]] = []

    def of_call(self, call: schema.FunctionCall) -> str:
        self._count += 1
        call_id = call.id or f"call_{self._count}"
        self._waiting.append((call.name, call_id))
        return call_id

    def of_response(self, response: schema.FunctionResponse) -> str:
        key = next((key for key in self._waiting if response.id == key[1]), None)
        key = key or next((key for key in self._waiting if response.name == key[0]), None)
        if key is None:
            return response.id or ""
        self._waiting.remove(key)
        return key[1]


def _read_system(request: schema.Request, uses: Uses) -> list[chat.Message]:
    if request.system_instruction is None:
        return []
    uses.append(Use("system", "systemInstruction"))
    texts = [chat.Text(part.text) for part in request.system_instruction.parts or () if part.text]
    return [chat.Message("system", tuple(texts))]


def _read_content(content: schema.Content, path: str, uses: Uses, ids: _CallIds) -> list[chat.Message]:
    parts = [
        part
        for number, raw in enumerate(content.parts or ())
        for part in _read_part(raw, f"{path}.parts[{number}]", uses, ids)
    ]
    if content.role == "model":
        return [chat.Message("assistant", tuple(join_thoughts(parts)))]
    return [
        chat.Message("tool" if is_result else "user", tuple(group))
        for is_result, group in groupby(parts, key=lambda part: isinstance(part, chat.ToolResult))
    ]


def join_thoughts(parts: Iterable[chat.Part]) -> list[chat.Part]:
    """A bare signature right after an unsigned thought is that thought's."""
    joined: list[chat.Part] = []
    for part in parts:
        last = joined[-1] if joined else None
        is_bare = isinstance(part, chat.Thinking) and not part.text and not part.is_redacted
        if is_bare and isinstance(last, chat.Thinking) and last.signature is None and isinstance(part, chat.Thinking):
            joined[-1] = msgspec.structs.replace(last, signature=part.signature)
        else:
            joined.append(part)
    return joined


def _read_part(part: schema.Part, path: str, uses: Uses, ids: _CallIds) -> list[chat.Part]:
    if part.thought:
        uses.append(Use("thinking", f"{path}.thought"))
        return [read_thought(part.text or "", part.thought_signature or "", NAME)]
    signed: list[chat.Part] = []
    if part.thought_signature:
        uses.append(Use("thinking_signature", f"{path}.thoughtSignature"))
        signed = [read_thought("", part.thought_signature, NAME)]
    read = _read_body(part, path, uses, ids)
    return [*signed, *read] if isinstance(next(iter(read), None), chat.ToolCall) else [*read, *signed]


def _read_body(part: schema.Part, path: str, uses: Uses, ids: _CallIds) -> list[chat.Part]:
    if part.function_call is not None:
        uses.append(Use("tools", f"{path}.functionCall"))
        return [read_call(part.function_call, ids.of_call(part.function_call))]
    if part.function_response is not None:
        uses.append(Use("tools", f"{path}.functionResponse"))
        return [_read_response(part.function_response, path, uses, ids)]
    if part.inline_data is not None:
        kind = media.kind_of(part.inline_data.mime_type)
        uses.append(Use(_DATA_USES[kind], f"{path}.inlineData"))
        return [chat.Media(kind, part.inline_data.mime_type, part.inline_data.data)]
    if part.file_data is not None:
        kind = media.kind_of(part.file_data.mime_type or "")
        uses.append(Use(_URL_USES[kind], f"{path}.fileData"))
        return [chat.Media(kind, part.file_data.mime_type or "", url=part.file_data.file_uri)]
    if part.text is None and not part.thought_signature:
        uses.append(Use("unknown_part", path))
    return [chat.Text(part.text)] if part.text else []


_Kind = Literal["image", "audio", "file"]
_DATA_USES: Final[dict[_Kind, Feature]] = {"image": "image_data", "audio": "audio_input", "file": "file_data"}
_URL_USES: Final[dict[_Kind, Feature]] = {"image": "image_url", "audio": "file_url", "file": "file_url"}


def read_call(call: schema.FunctionCall, call_id: str) -> chat.ToolCall:
    """A call of a request or an answer."""
    return chat.ToolCall(call_id, call.name, bodies.compact(call.args) if is_given(call.args) else "{}")


def _read_response(response: schema.FunctionResponse, path: str, uses: Uses, ids: _CallIds) -> chat.ToolResult:
    key, text = _read_returned(response.response)
    if key == "error":
        uses.append(Use("tool_result_error", f"{path}.functionResponse.response.error"))
    seen: list[chat.Text | chat.Media] = [
        chat.Media(media.kind_of(part.inline_data.mime_type), part.inline_data.mime_type, part.inline_data.data)
        for part in response.parts or ()
        if part.inline_data is not None
    ]
    if seen:
        uses.append(Use("tool_result_media", f"{path}.functionResponse.parts"))
    said = [chat.Text(text)] if text else []
    return chat.ToolResult(ids.of_response(response), (*said, *seen), key == "error")


_RETURNED: Final = msgspec.json.Decoder(dict[str, Any])


def _read_returned(raw: msgspec.Raw) -> tuple[str, str]:
    """Text under one of the customary keys, or the object as it is."""
    try:
        found = _RETURNED.decode(raw) if is_given(raw) else {}
    except msgspec.DecodeError:
        return "", bytes(raw).decode()
    key = next(iter(found)) if len(found) == 1 else ""
    inner = found.get(key)
    if key in ("result", "output", "error") and isinstance(inner, str):
        return key, inner
    return "", bytes(raw).decode() if found else ""


def _read_tools(request: schema.Request, uses: Uses) -> list[chat.Tool]:
    tools: list[chat.Tool] = []
    for number, tool in enumerate(request.tools or ()):
        if tool.function_declarations is None:
            uses.append(Use("other_tools", f"tools[{number}]"))
            continue
        uses.append(Use("tools", f"tools[{number}]"))
        tools.extend(_read_tool(declared) for declared in tool.function_declarations)
    return tools


def _read_tool(declared: schema.FunctionDeclaration) -> chat.Tool:
    shape = declared.parameters_json_schema
    if not is_given(shape):
        shape = read_schema(declared.parameters) if is_given(declared.parameters) else chat.NOTHING
    return chat.Tool(declared.name, declared.description or "", shape)


def read_schema(raw: msgspec.Raw) -> msgspec.Raw:
    """Gemini's own schema is JSON schema but for its types in capitals."""
    return msgspec.Raw(msgspec.json.encode(_lowered(msgspec.json.decode(raw))))


def _lowered(shape: Any) -> Any:
    if isinstance(shape, list):
        return [_lowered(inner) for inner in shape]  # pyright: ignore[reportUnknownVariableType]
    if not isinstance(shape, dict):
        return shape
    return {
        key: value.lower() if key == "type" and isinstance(value, str) else _lowered(value)
        for key, value in shape.items()  # pyright: ignore[reportUnknownVariableType]
    }


def _read_tool_choice(request: schema.Request, uses: Uses) -> chat.ToolChoice | None:
    config = request.tool_config.function_calling_config if request.tool_config is not None else None
    if config is None or config.mode is None:
        return None
    path = "toolConfig.functionCallingConfig"
    names = config.allowed_function_names or []
    mode = _READ_MODES.get(config.mode)
    if mode is None or len(names) > 1:
        uses.append(Use("other_tools", path))
        return None
    uses.append(Use("tool_choice_named" if names else "tool_choice", path))
    return chat.ToolChoice("named", names[0]) if names else chat.ToolChoice(mode)


_READ_MODES: Final[dict[str, chat.ChoiceMode]] = {"AUTO": "auto", "ANY": "required", "NONE": "none"}


def _read_format(config: schema.GenerationConfig, uses: Uses) -> chat.Format | None:
    if config.response_mime_type in (None, "text/plain"):
        return None
    path = "generationConfig.responseMimeType"
    if config.response_mime_type != "application/json":
        uses.append(Use("unknown_field", path))
        return None
    shape = config.response_json_schema
    if not is_given(shape) and is_given(config.response_schema):
        shape = read_schema(config.response_schema)
    is_shaped = is_given(shape)
    uses.append(Use("json_schema" if is_shaped else "json_object", path))
    return chat.Format("json_schema", schema=shape) if is_shaped else chat.Format("json_object")


def _read_reasoning(config: schema.ThinkingConfig | None, uses: Uses) -> chat.Reasoning | None:
    if config is None:
        return None
    path = "generationConfig.thinkingConfig"
    effort = read_effort((config.thinking_level or "").lower())
    if effort is not None:
        uses.append(Use("reasoning_effort", f"{path}.thinkingLevel"))
    budget = config.thinking_budget if config.thinking_budget != -1 else None
    if budget is not None:
        uses.append(Use("reasoning_budget", f"{path}.thinkingBudget"))
    return chat.Reasoning(effort, budget, config.include_thoughts)
