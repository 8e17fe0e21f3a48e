"""Whole answers of OpenAI chat completions: looked at in passing, read, and written."""

from collections.abc import Iterable
from typing import Any, Final, cast

import msgspec

from tollway.dialects import classify, openai_logprobs
from tollway.dialects.classify import Said
from tollway.dialects.dialect import Reply, Tally
from tollway.dialects.openai_chat import thoughts, tools
from tollway.dialects.openai_chat.schema import ANSWERS, USAGE, Answer, Call, Choice, Delta
from tollway.dialects.reading import is_given, present
from tollway.dialects.usage import read_figures, served_as
from tollway.wire import chat
from tollway.wire.usage import Usage

STOPS: Final[dict[str, chat.StopReason]] = {
    "stop": "stop",
    "length": "length",
    "tool_calls": "tool_calls",
    "function_call": "tool_calls",
    "content_filter": "content_filter",
    "eos": "stop",
    "end_turn": "stop",
    "max_tokens": "length",
}
FINISHES: Final[dict[chat.StopReason, str]] = {
    "stop": "stop",
    "length": "length",
    "tool_calls": "tool_calls",
    "content_filter": "content_filter",
    "stop_sequence": "stop",
    "pause": "stop",
}

BROKEN_OFF: Final[dict[str, Said]] = {
    "error": Said("error"),
    "insufficient_system_resource": Said(
        "The provider ran out of resources in the middle of its answer.", "overloaded"
    ),
    "abort": Said("The provider broke its answer off.", "server_error"),
}
"""Finish reasons of an answer that is not whole: OpenRouter's, DeepSeek's and SGLang's."""

UNFINISHED: Final = "it does not say why it stopped"

# -- in passing --------------------------------------------------------------------------------------------------------


def tap_answer(body: bytes, tally: Tally) -> None:
    """Look at a whole answer."""
    answer = ANSWERS.decode(body)
    tap(answer, tally)
    if not answer.choices and tally.said is None:
        tally.broken = "it has no choices"
    elif any(choice.finish_reason is None for choice in answer.choices or ()):
        tally.broken = UNFINISHED
    tally.is_complete = tally.is_terminal = True


def tap(answer: Answer, tally: Tally) -> None:
    """Look at an answer or a chunk of one."""
    if answer.model is not None:
        tally.model_answered = answer.model
    if answer.choices:
        tally.is_begun = True
        for choice in answer.choices:
            _tap_choice(choice, tally)
    if len(answer.usage) != 4:  # not null
        usage, notes = read_usage(answer)
        tally.usage = usage or tally.usage
        tally.notes += notes
    if len(answer.error) != 4:
        tally.said = classify.said_in({"error": msgspec.json.decode(answer.error)})


def _tap_choice(choice: Choice, tally: Tally) -> None:
    delta = choice.delta or choice.message
    if delta is not None:
        size = written_bytes(delta)
        if size:
            tally.has_content = True
            tally.text_bytes += size
    if choice.finish_reason is not None:
        tally.stop_reason = STOPS.get(choice.finish_reason, choice.finish_reason)
        tally.is_complete = True
        tally.said = error_of(choice) or tally.said


def error_of(choice: Choice) -> Said | None:
    """The error that broke this choice off, where its provider says one."""
    named = BROKEN_OFF.get(choice.finish_reason or "")
    if named is None and len(choice.error) == 4:
        return None
    return classify.said_in({"error": msgspec.json.decode(choice.error)}) or named or Said("error")


def written_bytes(delta: Delta) -> int:
    """Bytes that the model wrote in this delta: text, reasoning, refusal and tool calls."""
    content = delta.content
    size = len(content.encode()) if isinstance(content, str) else _list_bytes(content)
    if delta.reasoning_content:
        size += len(delta.reasoning_content.encode())
    elif delta.reasoning:
        size += len(delta.reasoning.encode())
    if delta.refusal:
        size += len(delta.refusal.encode())
    if delta.tool_calls:
        size += sum(map(_call_bytes, delta.tool_calls))
    return size + (len(delta.audio) if len(delta.audio) != 4 else 0)


def _list_bytes(content: list[Any] | None) -> int:
    return len(msgspec.json.encode(content)) if content else 0


def _call_bytes(call: Call) -> int:
    if call.function is None:
        custom = call.custom
        return len((custom.name or "").encode()) + len((custom.input or "").encode()) if custom is not None else 0
    arguments = call.function.arguments
    text = arguments if isinstance(arguments, str) else ""
    return len((call.function.name or "").encode()) + len(text.encode())


# -- reading -----------------------------------------------------------------------------------------------------------


def read_answer(body: bytes, reply: Reply) -> chat.Answer | Said:
    """The whole answer, or the error in it. Raises msgspec.DecodeError for what is neither."""
    answer = ANSWERS.decode(body)
    said = classify.read_error(body) if is_given(answer.error) else None
    if said is not None:
        return said
    choices = sorted(answer.choices or (), key=lambda choice: choice.index)
    if any(choice.finish_reason is None for choice in choices):
        raise msgspec.ValidationError(UNFINISHED)
    broken = next((error for choice in choices if (error := error_of(choice)) is not None), None)
    if broken is not None:
        return broken
    return chat.Answer(
        answer.id or reply.request_id,
        answer.model or "",
        tuple(map(_read_choice, choices)),
        read_usage(answer)[0],
        int(answer.created or reply.created_s),
    )


def _read_choice(choice: Choice) -> chat.Choice:
    delta = choice.message or choice.delta or Delta()
    parts = tuple(_read_parts(delta))
    is_calling = any(isinstance(part, chat.ToolCall) for part in parts)
    return chat.Choice(
        parts, read_stop(choice.finish_reason, is_calling=is_calling), "", openai_logprobs.read(choice.logprobs)
    )


def read_stop(word: str | None, *, is_calling: bool) -> chat.StopReason:
    """Our word. Some providers say `stop` after tool calls."""
    stop = STOPS.get(word or "", "stop")
    return "tool_calls" if is_calling and stop == "stop" else stop


def _read_parts(delta: Delta) -> Iterable[chat.Part]:
    yield from thoughts.read_details(delta.reasoning_details) or _read_thought(delta)
    yield from read_content(delta.content)
    if delta.refusal:
        yield chat.Refused(delta.refusal)
    calls = (tools.read_call(call, number) for number, call in enumerate(delta.tool_calls or ()))
    yield from (call for call in calls if call is not None)


def _read_thought(delta: Delta) -> list[chat.Thinking]:
    text = delta.reasoning_content or delta.reasoning
    return [chat.Thinking(text)] if text else []


def read_content(content: str | list[Any] | None) -> list[chat.Text | chat.Thinking]:
    """Text; Mistral's reasoning models send a list of `text` and `thinking` chunks."""
    if isinstance(content, str):
        return [chat.Text(content)] if content else []
    return [part for chunk in content or () if (part := _read_chunk(chunk)) is not None]


def _read_chunk(chunk: Any) -> chat.Text | chat.Thinking | None:
    if not isinstance(chunk, dict):
        return None
    found = cast("dict[str, Any]", chunk)
    if found.get("type") == "thinking":
        return chat.Thinking(_joined(found.get("thinking")))
    text = found.get("text")
    return chat.Text(text) if isinstance(text, str) else None


def _joined(inner: Any) -> str:
    if not isinstance(inner, list):
        return str(inner or "")
    pieces = (cast("dict[str, Any]", piece) for piece in cast("list[Any]", inner) if isinstance(piece, dict))
    return "".join(str(piece.get("text", "")) for piece in pieces)


def read_usage(answer: Answer) -> tuple[Usage | None, tuple[str, ...]]:
    """Usage and what is wrong with it, of an answer or a chunk."""
    if not is_given(answer.usage):
        return None, ()
    usage, notes = read_figures(answer.usage, USAGE)
    return served_as(usage, answer.service_tier), notes


# -- writing -----------------------------------------------------------------------------------------------------------


def write_answer(answer: chat.Answer, reply: Reply) -> bytes:
    """For a client of this dialect."""
    return msgspec.json.encode(
        present(
            id=answer.id,
            object="chat.completion",
            created=answer.created_s or reply.created_s,
            model=answer.model,
            choices=[_write_choice(choice, i) for i, choice in enumerate(answer.choices)],
            usage=write_usage(answer.usage),
        )
    )


def _write_choice(choice: chat.Choice, index: int) -> dict[str, object]:
    return {
        "index": index,
        "message": _write_message(choice.parts),
        "logprobs": openai_logprobs.write(choice.logprobs),
        "finish_reason": FINISHES[choice.stop],
    }


def _write_message(parts: tuple[chat.Part, ...]) -> dict[str, object]:
    text = "".join(part.text for part in parts if isinstance(part, chat.Text))
    refused = "".join(part.text for part in parts if isinstance(part, chat.Refused))
    calls = [tools.write_call(part) for part in parts if isinstance(part, chat.ToolCall)]
    return {
        "role": "assistant",
        "content": text or None,
        "refusal": refused or None,
        **thoughts.write_answer(parts),
        **({"tool_calls": calls} if calls else {}),
    }


def write_usage(usage: Usage | None) -> dict[str, object] | None:
    """Known figures; None when input or output are unknown."""
    if usage is None or usage.tokens_input is None or usage.tokens_output is None:
        return None
    return {
        "prompt_tokens": usage.tokens_input,
        "completion_tokens": usage.tokens_output,
        "total_tokens": usage.tokens_input + usage.tokens_output,
        "prompt_tokens_details": present(
            cached_tokens=usage.tokens_cache_read,
            cache_write_tokens=usage.tokens_cache_write,
            audio_tokens=usage.tokens_audio_input,
        ),
        "completion_tokens_details": present(
            reasoning_tokens=usage.tokens_reasoning, audio_tokens=usage.tokens_audio_output
        ),
    }
