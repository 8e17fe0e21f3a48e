"""Whole answers of Anthropic messages: looked at in passing, read, and written."""

from typing import Any, Final

import msgspec

from tollway.dialects import bodies, classify
from tollway.dialects.anthropic_messages.schema import ANSWERS, NAME, Answer, AnswerBlock
from tollway.dialects.classify import Said
from tollway.dialects.dialect import Reply, Tally
from tollway.dialects.reading import is_given
from tollway.dialects.signatures import read_thought, write_token
from tollway.dialects.usage import read_figures, served_as
from tollway.wire import chat
from tollway.wire.usage import Usage

STOPS: Final[dict[str, chat.StopReason]] = {
    "end_turn": "stop",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "stop_sequence": "stop_sequence",
    "tool_use": "tool_calls",
    "pause_turn": "pause",
    "refusal": "content_filter",
}
REASONS: Final[dict[chat.StopReason, str]] = {
    "stop": "end_turn",
    "length": "max_tokens",
    "stop_sequence": "stop_sequence",
    "tool_calls": "tool_use",
    "pause": "pause_turn",
    "content_filter": "refusal",
}

UNFINISHED: Final = "it does not say why it stopped"

# -- usage -------------------------------------------------------------------------------------------------------------

_FIGURES: Final = {
    "tokens_input": ("input_tokens",),
    "tokens_output": ("output_tokens",),
    "tokens_cache_read": ("cache_read_input_tokens",),
    "tokens_cache_write": ("cache_creation_input_tokens",),
    "tokens_cache_write_hour": ("cache_creation", "ephemeral_1h_input_tokens"),
    "tokens_reasoning": ("output_tokens_details", "thinking_tokens"),
    "searches": ("server_tool_use", "web_search_requests"),
}


def read_usage(raw: msgspec.Raw, before: Usage | None = None) -> tuple[Usage | None, tuple[str, ...]]:
    """Usage, on top of what was known before. Anthropic's input excludes what the cache read or wrote; ours has it."""
    found, notes = read_figures(raw, _FIGURES)
    if found is None:
        return before, notes
    known = before or Usage()
    searches = known.searches if found.searches is None else found.searches
    if found.tokens_input is None:
        output = known.tokens_output if found.tokens_output is None else found.tokens_output
        reasoning = known.tokens_reasoning if found.tokens_reasoning is None else found.tokens_reasoning
        counted = msgspec.structs.replace(known, tokens_output=output, tokens_reasoning=reasoning, searches=searches)
        return counted, notes
    whole = found.tokens_input + (found.tokens_cache_read or 0) + (found.tokens_cache_write or 0)
    told_at_start = known.tokens_cache_write_hour
    hour = told_at_start if found.tokens_cache_write_hour is None else found.tokens_cache_write_hour
    counted = msgspec.structs.replace(found, tokens_input=whole, tokens_cache_write_hour=hour, searches=searches)
    return served_as(counted, _speed(raw)), notes


class _Speed(msgspec.Struct):
    speed: Any = None


_speeds: Final = msgspec.json.Decoder(_Speed)


def _speed(raw: msgspec.Raw) -> str | None:
    """`fast` or `standard`, where the provider says which it was."""
    if b'"speed"' not in bytes(raw):
        return None
    found = _speeds.decode(raw).speed
    return found if isinstance(found, str) else None


def write_usage(usage: Usage | None) -> dict[str, object]:
    """The dialect has no way to say that a figure is unknown: it is 0 then."""
    known = usage or Usage()
    read, write = known.tokens_cache_read or 0, known.tokens_cache_write or 0
    written: dict[str, object] = {
        "input_tokens": max(0, (known.tokens_input or 0) - read - write),
        "cache_creation_input_tokens": write,
        "cache_read_input_tokens": read,
        "output_tokens": known.tokens_output or 0,
    }
    if known.tokens_reasoning is not None:
        written["output_tokens_details"] = {"thinking_tokens": known.tokens_reasoning}
    return written


# -- in passing --------------------------------------------------------------------------------------------------------


def tap_answer(body: bytes, tally: Tally) -> None:
    """Look at a whole answer, or at a count."""
    answer = ANSWERS.decode(body)
    if is_given(answer.error):
        tally.said = classify.read_error(body)
        return
    if answer.content is None and answer.input_tokens is None:
        tally.broken = "it has no content"
    elif answer.content is not None and answer.stop_reason is None:
        tally.broken = UNFINISHED
    tally.model_answered = answer.model or ""
    tally.text_bytes = sum(map(written_bytes, answer.content or ()))
    tally.has_content = tally.text_bytes > 0
    tally.stop_reason = STOPS.get(answer.stop_reason or "", answer.stop_reason or "")
    if is_given(answer.usage):
        tally.usage, tally.notes = read_usage(answer.usage)
    tally.is_begun = tally.is_complete = tally.is_terminal = True


def written_bytes(block: AnswerBlock) -> int:
    """Bytes that the model wrote in this block."""
    text = (block.text or "") + (block.thinking or "") + (block.name or "")
    return len(text.encode()) + (len(block.input) if len(block.input) > 4 else 0)


# -- reading -----------------------------------------------------------------------------------------------------------


def read_answer(body: bytes, reply: Reply) -> chat.Answer | Said:
    """The whole answer, or the error in it. Raises msgspec.DecodeError for what is neither."""
    answer = ANSWERS.decode(body)
    said = classify.read_error(body) if is_given(answer.error) else None
    if said is not None:
        return said
    if answer.stop_reason is None:
        raise msgspec.ValidationError(UNFINISHED)
    choices = (_read_choice(answer),) if answer.content is not None else ()
    usage = read_usage(answer.usage)[0] if is_given(answer.usage) else None
    return chat.Answer(answer.id or reply.request_id, answer.model or "", choices, usage, reply.created_s)


def _read_choice(answer: Answer) -> chat.Choice:
    parts = tuple(part for block in answer.content or () if (part := read_block(block)) is not None)
    return chat.Choice(parts, STOPS.get(answer.stop_reason or "", "stop"), answer.stop_sequence or "")


def read_block(block: AnswerBlock) -> chat.Text | chat.Thinking | chat.ToolCall | None:
    """A block of an answer; None for kinds that only hosted tools make."""
    match block.type:
        case "text":
            return chat.Text(block.text or "")
        case "thinking":
            return read_thought(block.thinking or "", block.signature or "", NAME)
        case "redacted_thinking":
            return read_thought("", block.data or "", NAME, is_redacted=True)
        case "tool_use":
            arguments = bodies.compact(block.input) if is_given(block.input) else "{}"
            return chat.ToolCall(block.id or "", block.name or "", arguments)
        case _:
            return None


# -- writing -----------------------------------------------------------------------------------------------------------


def write_answer(answer: chat.Answer, reply: Reply) -> bytes:
    """For a client of this dialect. It knows one choice."""
    del reply
    choice = answer.choices[0]
    return msgspec.json.encode(
        {
            **write_message(answer.id, answer.model),
            "content": [write_block(part) for part in choice.parts],
            "stop_reason": write_stop(choice),
            "stop_sequence": choice.stop_sequence or None,
            "usage": write_usage(answer.usage),
        }
    )


def write_stop(choice: chat.Choice) -> str:
    """Words of refusal make the stop a refusal."""
    is_refused = choice.stop == "stop" and any(isinstance(part, chat.Refused) for part in choice.parts)
    return "refusal" if is_refused else REASONS[choice.stop]


def write_message(answer_id: str, model: str) -> dict[str, object]:
    """The head of a message."""
    return {"id": answer_id, "type": "message", "role": "assistant", "model": model}


def write_block(part: chat.Part) -> dict[str, object]:
    """A block, whole; as it opens in a stream if its texts are empty."""
    match part:
        case chat.Thinking(is_redacted=True):
            return {"type": "redacted_thinking", "data": write_token(part, NAME)}
        case chat.Thinking():
            return {"type": "thinking", "thinking": part.text, "signature": write_token(part, NAME)}
        case chat.ToolCall():
            return {"type": "tool_use", "id": part.id, "name": part.name, "input": bodies.read_object(part.arguments)}
        case chat.Text() | chat.Refused():
            return {"type": "text", "text": part.text}
        case _:
            raise TypeError(f"an answer has no {type(part).__name__}")
