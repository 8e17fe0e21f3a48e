"""Requests of Gemini, written from a conversation."""

import re
from collections.abc import Iterable, Sequence
from typing import Final

import msgspec

from tollway.dialects import bodies, media, turns
from tollway.dialects.dialect import Target, Written
from tollway.dialects.features import Feature
from tollway.dialects.gemini.schema import NAME
from tollway.dialects.reading import is_given, present
from tollway.dialects.signatures import own_value
from tollway.dialects.thinking import budget_of, effort_of
from tollway.wire import chat

CARRIES: Final[frozenset[Feature]] = frozenset(
    {
        "system", "developer", "image_url", "image_data", "audio_input", "file_data", "file_url", "assistant_refusal",
        "thinking_signature", "tools", "tool_choice", "tool_choice_named", "tool_result_media", "tool_result_error",
        "temperature", "temperature_above_1", "top_p", "top_k", "presence_penalty", "frequency_penalty", "seed",
        "stop", "choices", "logprobs", "json_object", "json_schema", "reasoning_effort", "reasoning_budget",
    }
)  # fmt: skip


def write_request(conversation: chat.Conversation, target: Target) -> Written:
    """The provider's request."""
    system, messages = turns.split_system(conversation.messages)
    names = turns.call_names(messages)
    fields = present(
        contents=[content for message in messages if (content := _write_message(message, names)) is not None],
        systemInstruction={"parts": [{"text": text.text} for text in system]} if system else None,
        tools=_write_tools(conversation.tools),
        toolConfig=_write_tool_choice(conversation.tool_choice) if conversation.tools else None,
        generationConfig=_write_config(conversation, target) or None,
    )
    return Written(fields)


def _write_config(conversation: chat.Conversation, target: Target) -> dict[str, object]:
    sampling, form = conversation.sampling, conversation.format
    is_json = form is not None and form.kind != "text"
    return present(
        temperature=sampling.temperature,
        topP=sampling.top_p,
        topK=sampling.top_k,
        presencePenalty=sampling.presence_penalty,
        frequencyPenalty=sampling.frequency_penalty,
        seed=sampling.seed,
        stopSequences=list(sampling.stops) or None,
        candidateCount=conversation.choices if conversation.choices > 1 else None,
        maxOutputTokens=target.output_limit(conversation),
        responseLogprobs=True if conversation.logprobs is not None else None,
        logprobs=conversation.logprobs or None,
        responseMimeType="application/json" if is_json else None,
        responseJsonSchema=form.schema if form is not None and is_given(form.schema) else None,
        thinkingConfig=_write_reasoning(conversation.reasoning, target.model_sent),
    )


_BY_BUDGET: Final = re.compile(r"gemini-(?:1|2)")
"""Models that think by budget; from Gemini 3 on they think by level (Gemini API, "Thinking")."""

_LEVELS: Final[dict[chat.Effort, str]] = {
    "none": "minimal",
    "minimal": "minimal",
    "low": "low",
    "medium": "medium",
    "high": "high",
    "xhigh": "high",
    "max": "high",
}


def _write_reasoning(reasoning: chat.Reasoning | None, model_sent: str) -> object:
    if reasoning is None:
        return None
    is_shown = reasoning.is_shown is not False and reasoning.effort != "none"
    if reasoning.budget_tokens is not None or _BY_BUDGET.search(model_sent.lower()):
        return present(thinkingBudget=budget_of(reasoning), includeThoughts=is_shown)
    effort = effort_of(reasoning)
    return present(thinkingLevel=_LEVELS[effort] if effort is not None else None, includeThoughts=is_shown)


def _write_message(message: chat.Message, names: dict[str, str]) -> dict[str, object] | None:
    parts = list(_write_parts(message.parts, names))
    return {"role": "model" if message.role == "assistant" else "user", "parts": parts} if parts else None


def _write_parts(parts: Sequence[chat.Part], names: dict[str, str]) -> Iterable[dict[str, object]]:
    """A signature goes on the next call, or on the last part where no call follows."""
    written: list[dict[str, object]] = []
    waiting = ""
    for part in parts:
        if isinstance(part, chat.Thinking):
            waiting = own_value(part.signature, NAME) or waiting
            continue
        body = _write_part(part, names)
        if waiting and isinstance(part, chat.ToolCall):
            body["thoughtSignature"] = waiting
            waiting = ""
        written.append(body)
    if waiting and written:
        written[-1]["thoughtSignature"] = waiting
    return written


def _write_part(part: chat.Part, names: dict[str, str]) -> dict[str, object]:
    match part:
        case chat.Text() | chat.Refused():
            return {"text": part.text}
        case chat.Media():
            return write_media(part)
        case chat.ToolCall():
            return {"functionCall": write_call(part)}
        case chat.ToolResult():
            return {"functionResponse": _write_result(part, names)}
        case chat.Thinking():
            return {"text": part.text, "thought": True}


def write_media(part: chat.Media) -> dict[str, object]:
    """Inline, or by address."""
    if part.data:
        return {"inlineData": {"mimeType": part.media_type, "data": part.data}}
    mime_type = part.media_type or media.type_by_ending(part.url)
    return {"fileData": present(fileUri=part.url, mimeType=mime_type)}


def write_call(part: chat.ToolCall) -> dict[str, object]:
    """A call for a request or an answer."""
    return {"id": part.id, "name": part.name, "args": bodies.read_object(part.arguments)}


def _write_result(part: chat.ToolResult, names: dict[str, str]) -> dict[str, object]:
    text = turns.text_of(part.parts)
    response = {"error": text} if part.is_error else _as_object(text)
    seen = [write_media(inner) for inner in part.parts if isinstance(inner, chat.Media)]
    return present(id=part.call_id, name=names.get(part.call_id, part.call_id), response=response, parts=seen or None)


def _as_object(text: str) -> msgspec.Raw | dict[str, str]:
    """A result that is a JSON object goes as it is; other text under `result`."""
    found = bodies.read_object(text)
    return found if isinstance(found, msgspec.Raw) and text else {"result": text}


def _write_tools(tools: Sequence[chat.Tool]) -> object:
    declared = [
        present(
            name=tool.name,
            description=tool.description or None,
            parametersJsonSchema=tool.parameters if is_given(tool.parameters) else None,
        )
        for tool in tools
    ]
    return [{"functionDeclarations": declared}] if declared else None


def _write_tool_choice(choice: chat.ToolChoice | None) -> object:
    if choice is None:
        return None
    names = [choice.name] if choice.mode == "named" else None
    return {"functionCallingConfig": present(mode=_WRITE_MODES[choice.mode], allowedFunctionNames=names)}


_WRITE_MODES: Final[dict[chat.ChoiceMode, str]] = {"auto": "AUTO", "required": "ANY", "named": "ANY", "none": "NONE"}
