"""Requests of OpenAI responses, written from a conversation."""

from collections.abc import Collection, Iterable
from typing import Final

from tollway.dialects import media, turns
from tollway.dialects.dialect import Target, Written
from tollway.dialects.features import Feature
from tollway.dialects.openai_responses import items, tools
from tollway.dialects.openai_responses.schema import INCLUDE_LOGPROBS, INCLUDE_REASONING, NAME
from tollway.dialects.reading import is_given, present
from tollway.dialects.signatures import own_value
from tollway.dialects.thinking import nearest
from tollway.wire import chat

CARRIES: Final[frozenset[Feature]] = frozenset(
    {
        "system", "developer", "image_url", "image_data", "image_file_id", "image_detail", "file_data", "file_url",
        "file_id", "assistant_refusal", "thinking_signature", "tools", "tool_strict", "tool_choice",
        "tool_choice_named", "custom_tools", "one_tool_call_at_a_time", "one_call_of_one_tool", "tool_result_media",
        "temperature", "temperature_above_1",
        "top_p", "logprobs", "json_object", "json_schema", "reasoning_effort", "reasoning_budget", "verbosity", "user",
        "metadata",
    }
)  # fmt: skip


def write_request(conversation: chat.Conversation, target: Target) -> Written:
    """The provider's request."""
    sampling, custom = conversation.sampling, turns.custom_calls(conversation.messages)
    include = [INCLUDE_REASONING] if conversation.reasoning is not None else []
    if conversation.logprobs is not None:
        include.append(INCLUDE_LOGPROBS)
    fields = present(
        model=target.model_sent,
        input=[item for message in conversation.messages for item in _write_message(message, custom)],
        tools=[tools.write_tool(tool) for tool in conversation.tools] or None,
        tool_choice=tools.write_choice(conversation),
        parallel_tool_calls=conversation.is_parallel if conversation.tools else None,
        text=present(format=write_format(conversation.format), verbosity=conversation.verbosity or None) or None,
        reasoning=_write_reasoning(conversation.reasoning, target),
        temperature=sampling.temperature,
        top_p=sampling.top_p,
        top_logprobs=conversation.logprobs or None,
        include=include or None,
        metadata=conversation.metadata or None,
        user=conversation.user or None,
        max_output_tokens=target.output_limit(conversation),
        stream=True if target.is_stream else None,
        store=False,
    )
    return Written(fields)


def _write_message(message: chat.Message, custom: Collection[str]) -> list[dict[str, object]]:
    if message.role == "assistant":
        items = (_write_answered(part) for part in message.parts)
        return [item for item in items if item is not None]
    if message.role == "tool":
        return [_write_output(part, custom) for part in message.parts if isinstance(part, chat.ToolResult)]
    return [{"type": "message", "role": message.role, "content": _write_content(message.parts)}]


def _write_answered(part: chat.Part) -> dict[str, object] | None:
    match part:
        case chat.Text():
            return _answered({"type": "output_text", "text": part.text})
        case chat.Refused():
            return _answered({"type": "refusal", "refusal": part.text})
        case chat.ToolCall():
            return items.write_call(part, empty="{}")
        case chat.Thinking():
            return _write_reasoned(part)
        case _:
            return None


def _answered(content: dict[str, str]) -> dict[str, object]:
    return {"type": "message", "role": "assistant", "content": [content]}


def _write_reasoned(part: chat.Thinking) -> dict[str, object] | None:
    """Only what this dialect's provider issued, under its id."""
    item_id, _, token = own_value(part.signature, NAME).partition(".")
    if not token:
        return None
    summary = [{"type": "summary_text", "text": part.text}] if part.text else []
    return {"type": "reasoning", "id": item_id, "summary": summary, "encrypted_content": token}


def _write_output(part: chat.ToolResult, custom: Collection[str]) -> dict[str, object]:
    is_text = all(isinstance(inner, chat.Text) for inner in part.parts)
    output = turns.text_of(part.parts) if is_text else _write_content(part.parts)
    kind = "custom_tool_call_output" if part.call_id in custom else "function_call_output"
    return {"type": kind, "call_id": part.call_id, "output": output}


def _write_content(parts: Iterable[chat.Part]) -> list[dict[str, object]]:
    return [_write_part(part) for part in parts if isinstance(part, chat.Text | chat.Media)]


def _write_part(part: chat.Text | chat.Media) -> dict[str, object]:
    if isinstance(part, chat.Text):
        return {"type": "input_text", "text": part.text}
    data = media.write_data_url(part.media_type, part.data) if part.data else None
    if part.kind == "image":
        detail = part.detail or "auto"
        return present(
            type="input_image", image_url=data or part.url or None, file_id=part.file_id or None, detail=detail
        )
    name = part.name or ("file" if data else None)
    return present(
        type="input_file", filename=name, file_data=data, file_url=part.url or None, file_id=part.file_id or None
    )


def write_format(form: chat.Format | None) -> object:
    """For a request, and for the echo in an answer."""
    if form is None or form.kind == "text":
        return None
    if form.kind == "json_object":
        return {"type": "json_object"}
    return present(
        type="json_schema",
        name=form.name or "answer",
        schema=form.schema if is_given(form.schema) else {},
        strict=form.is_strict,
        description=form.description or None,
    )


_EFFORTS: Final[tuple[chat.Effort, ...]] = ("none", "minimal", "low", "medium", "high", "xhigh")


def _write_reasoning(reasoning: chat.Reasoning | None, target: Target) -> object:
    if reasoning is None:
        return None
    summary = None if reasoning.is_shown is False or reasoning.effort == "none" else "auto"
    return present(effort=nearest(reasoning, target.efforts or _EFFORTS), summary=summary)
