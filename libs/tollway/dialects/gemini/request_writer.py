"""Requests of Gemini, written from a conversation."""

import re
from collections.abc import Mapping, Sequence
from typing import Final

import msgspec

from tollway.dialects import bodies, media, turns
from tollway.dialects.dialect import Target, Written
from tollway.dialects.features import Feature
from tollway.dialects.gemini.schema import NAME
from tollway.dialects.reading import is_given, present
from tollway.dialects.signatures import own_value
from tollway.dialects.thinking import budget_of, nearest
from tollway.wire import chat

CARRIES: Final[frozenset[Feature]] = frozenset(
    {
        "system", "developer", "image_url", "image_data", "audio_input", "file_data", "file_url", "assistant_refusal",
        "thinking_signature", "tools", "tool_choice", "tool_choice_named", "tool_result_media", "tool_result_error",
        "temperature", "temperature_above_1", "top_p", "top_k", "presence_penalty", "frequency_penalty", "seed",
        "stop", "stop_space", "choices", "logprobs", "json_object", "json_schema", "reasoning_effort",
        "reasoning_budget",
    }
)  # fmt: skip


def write_request(conversation: chat.Conversation, target: Target) -> Written:
    """The provider's request."""
    system, messages = turns.split_system(conversation.messages)
    told = _Told(turns.call_names(messages), target.model_sent.lower())
    fields = present(
        contents=[content for message in messages if (content := _write_message(message, told)) is not None],
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
        thinkingConfig=_write_reasoning(conversation.reasoning, target),
    )


_BY_BUDGET: Final = re.compile(r"gemini-(?:1|2)")
_BY_LEVEL: Final = re.compile(r"gemini-(?:[3-9]|\d\d)")
"""Models that think by budget; from Gemini 3 on they think by level (Gemini API, "Thinking")."""

_BUDGETS: Final[Mapping[str, tuple[int, int, int]]] = {
    "2.5-pro": (128, 128, 32_768),
    "2.5-flash-lite": (0, 512, 24_576),
    "2.5-flash": (0, 1, 24_576),
}
"""Part of a model's name to the budget that means no thinking, the smallest and the largest."""

_EFFORTS: Final[tuple[chat.Effort, ...]] = ("minimal", "low", "medium", "high")


def _write_reasoning(reasoning: chat.Reasoning | None, target: Target) -> object:
    if reasoning is None:
        return None
    model = target.model_sent.lower()
    is_shown = reasoning.is_shown is not False and reasoning.effort != "none"
    if _BY_BUDGET.search(model) or (reasoning.budget_tokens is not None and not _BY_LEVEL.search(model)):
        return present(thinkingBudget=_fitted(budget_of(reasoning), model), includeThoughts=is_shown)
    return present(thinkingLevel=nearest(reasoning, target.efforts or _EFFORTS), includeThoughts=is_shown)


def _fitted(budget: int | None, model: str) -> int | None:
    limits = next((limits for name, limits in _BUDGETS.items() if name in model), None)
    if budget is None or limits is None:
        return budget
    off, least, most = limits
    return off if budget == 0 else max(least, min(budget, most))


class _Told(msgspec.Struct, frozen=True):
    """What the parts of a turn depend on: the functions' names by call id, and the model."""

    names: dict[str, str]
    model: str

    @property
    def is_signature_demanded(self) -> bool:
        """Gemini 3 refuses a turn's first call without one (Gemini API, "Thought signatures")."""
        return _BY_LEVEL.search(self.model) is not None

    @property
    def are_results_text(self) -> bool:
        """Earlier models take images and files beside a function's result, not in it."""
        return _BY_BUDGET.search(self.model) is not None


def _write_message(message: chat.Message, told: _Told) -> dict[str, object] | None:
    write = _write_results if message.role == "tool" else _write_parts
    parts = write(message.parts, told)
    return {"role": "model" if message.role == "assistant" else "user", "parts": parts} if parts else None


_UNSIGNED: Final = "skip_thought_signature_validator"
"""Google's word for a call that another model made."""


def _write_parts(parts: Sequence[chat.Part], told: _Told) -> list[dict[str, object]]:
    """A signature goes on the next call, or on the last part where no call follows."""
    written: list[dict[str, object]] = []
    waiting = ""
    is_unsigned = told.is_signature_demanded
    for part in parts:
        if isinstance(part, chat.Thinking):
            waiting = own_value(part.signature, NAME) or waiting
            continue
        body = _write_part(part)
        if isinstance(part, chat.ToolCall):
            token = waiting or (_UNSIGNED if is_unsigned else "")
            body.update(present(thoughtSignature=token or None))
            waiting, is_unsigned = "", False
        written.append(body)
    if waiting and written:
        written[-1]["thoughtSignature"] = waiting
    return written


def _write_part(part: chat.Part) -> dict[str, object]:
    match part:
        case chat.Text() | chat.Refused():
            return {"text": part.text}
        case chat.Media():
            return write_media(part)
        case chat.ToolCall():
            return {"functionCall": write_call(part)}
        case _:
            raise TypeError(f"a turn has no {type(part).__name__}")


def write_media(part: chat.Media) -> dict[str, object]:
    """Inline, or by address."""
    if part.data:
        return {"inlineData": {"mimeType": part.media_type, "data": part.data}}
    mime_type = part.media_type or media.type_by_ending(part.url)
    return {"fileData": present(fileUri=part.url, mimeType=mime_type)}


def write_call(part: chat.ToolCall) -> dict[str, object]:
    """A call for a request or an answer."""
    return {"id": part.id, "name": part.name, "args": bodies.read_object(part.arguments)}


def _write_results(parts: Sequence[chat.Part], told: _Told) -> list[dict[str, object]]:
    results = [part for part in parts if isinstance(part, chat.ToolResult)]
    written: list[dict[str, object]] = [{"functionResponse": _write_result(result, told)} for result in results]
    if told.are_results_text:
        written += [media for result in results for media in _write_seen(result)]
    return written


def _write_result(part: chat.ToolResult, told: _Told) -> dict[str, object]:
    text = turns.text_of(part.parts)
    response = {"error": text} if part.is_error else _as_object(text)
    seen = None if told.are_results_text else _write_seen(part) or None
    return present(id=part.call_id, name=told.names.get(part.call_id, part.call_id), response=response, parts=seen)


def _write_seen(part: chat.ToolResult) -> list[dict[str, object]]:
    return [write_media(inner) for inner in part.parts if isinstance(inner, chat.Media)]


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
