"""Requests of OpenAI chat completions, written from a conversation."""

from collections.abc import Callable
from typing import Final

from tollway.dialects import media, turns
from tollway.dialects.dialect import Target, Written
from tollway.dialects.features import Feature
from tollway.dialects.openai_chat import thoughts, tools
from tollway.dialects.reading import is_given, present
from tollway.dialects.thinking import nearest
from tollway.wire import chat

CARRIES: Final[frozenset[Feature]] = frozenset(
    {
        "system", "developer", "message_name", "image_url", "image_data", "image_detail", "audio_input", "file_data",
        "file_id", "assistant_refusal", "tools", "tool_strict", "tool_choice", "tool_choice_named",
        "custom_tools", "one_tool_call_at_a_time", "one_call_of_one_tool", "tool_result_media", "temperature",
        "temperature_above_1", "top_p", "presence_penalty", "frequency_penalty", "seed", "stop", "stop_space",
        "choices", "logprobs", "json_object", "json_schema", "reasoning_effort", "reasoning_budget", "verbosity",
        "user",
    }
)  # fmt: skip
"""By their row, providers may carry more: `thinking`, `thinking_signature`, `cache_control`, `top_k`."""


def write_request(conversation: chat.Conversation, target: Target) -> Written:
    """The provider's request."""
    sampling = conversation.sampling
    limit = target.output_limit(conversation)
    fields = present(
        model=target.model_sent,
        messages=[turn for message in conversation.messages for turn in _write_message(message, target)],
        tools=[tools.write_tool(tool, target) for tool in conversation.tools] or None,
        tool_choice=tools.write_choice(conversation),
        parallel_tool_calls=conversation.is_parallel if conversation.tools else None,
        response_format=_write_format(conversation.format),
        reasoning_effort=_write_effort(conversation.reasoning, target),
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


_EFFORTS: Final[tuple[chat.Effort, ...]] = ("none", "minimal", "low", "medium", "high", "xhigh")


def _write_effort(reasoning: chat.Reasoning | None, target: Target) -> chat.Effort | None:
    return nearest(reasoning, target.efforts or _EFFORTS) if reasoning is not None else None


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
    calls = [tools.write_call(part, empty="{}") for part in message.parts if isinstance(part, chat.ToolCall)]
    return {
        "role": "assistant",
        "content": _write_content(said, target) if said else None,
        **present(refusal=refused or None, tool_calls=calls or None, name=message.name or None),
        **(thoughts.write_request(message.parts) if "thinking" in target.carries else {}),
    }


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
