"""Answers of OpenAI chat completions that pass through: what is looked at, whole or chunk by chunk."""

from typing import Any, Final

import msgspec

from tollway.dialects import classify
from tollway.dialects.dialect import Tally
from tollway.dialects.openai_chat.schema import ANSWERS, USAGE, Answer, Call, Choice, Delta
from tollway.dialects.sse import Frame
from tollway.dialects.usage import read_figures

DONE: Final = b"[DONE]"
TERMINATOR: Final = b"data: [DONE]\n\n"


def tap_answer(body: bytes, tally: Tally) -> None:
    """Look at a whole answer."""
    answer = ANSWERS.decode(body)
    _tap(answer, tally)
    if not answer.choices and tally.said is None:
        tally.broken = "the answer has no choices"
    tally.is_complete = tally.is_terminal = True


def tap_frame(frame: Frame, tally: Tally, is_usage_asked: bool) -> bool:
    """Look at one frame; False keeps it from the client: the terminator, and the usage that was not asked for."""
    if frame.data == DONE:
        tally.is_terminal = True
        return False
    if not frame.data:
        return True
    chunk = ANSWERS.decode(frame.data)
    _tap(chunk, tally)
    return bool(chunk.choices) or is_usage_asked or len(chunk.usage) == 4


def _tap(answer: Answer, tally: Tally) -> None:
    if answer.model is not None:
        tally.model_answered = answer.model
    if answer.choices:
        tally.is_begun = True
        for choice in answer.choices:
            _tap_choice(choice, tally)
    if len(answer.usage) != 4:  # not null
        usage, notes = read_figures(answer.usage, USAGE)
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
        tally.stop_reason = choice.finish_reason
        tally.is_complete = True
        if choice.finish_reason == "error" or len(choice.error) != 4:
            tally.said = classify.said_in({"error": msgspec.json.decode(choice.error)}) or classify.Said("error")


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
        return len(call.custom) if len(call.custom) != 4 else 0
    arguments = call.function.arguments
    text = arguments if isinstance(arguments, str) else ""
    return len((call.function.name or "").encode()) + len(text.encode())
