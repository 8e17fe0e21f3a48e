"""Streams of Anthropic messages: looked at in passing, read into events, and written from events."""

from typing import Final

import msgspec

from tollway.dialects import classify
from tollway.dialects.anthropic_messages.answer import (
    STOPS,
    read_block,
    read_usage,
    write_block,
    write_message,
    write_stop,
    write_usage,
)
from tollway.dialects.anthropic_messages.schema import EVENTS, NAME, Answer, AnswerBlock, Delta, Event
from tollway.dialects.dialect import Reply, Tally
from tollway.dialects.fold import Fold
from tollway.dialects.reading import is_given
from tollway.dialects.signatures import read_thought, write_token
from tollway.dialects.sse import Frame
from tollway.wire import chat
from tollway.wire.usage import Usage

# -- in passing --------------------------------------------------------------------------------------------------------


def tap_frame(frame: Frame, tally: Tally, is_usage_asked: bool) -> bool:
    """Look at one frame; False keeps it from the client: the terminator."""
    del is_usage_asked  # it is always in the stream
    if not frame.data:
        return True
    event = EVENTS.decode(frame.data)
    if event.type == "content_block_delta":
        _tap_delta(event.delta or Delta(), tally)
        return True
    if event.type == "message_stop":
        tally.is_terminal = True
        return False
    _tap_other(event, tally)
    return True


def _tap_delta(delta: Delta, tally: Tally) -> None:
    text = delta.text or delta.partial_json or delta.thinking
    if text:
        tally.has_content = True
        tally.text_bytes += len(text.encode())


def _tap_other(event: Event, tally: Tally) -> None:
    match event.type:
        case "message_start":
            message = event.message or Answer()
            tally.is_begun = True
            tally.model_answered = message.model or ""
            _tap_usage(message.usage, tally)
            if tally.usage is not None:
                tally.usage = at_start(tally.usage)
        case "content_block_start":
            block = event.content_block or AnswerBlock("")
            tally.has_content = tally.has_content or block.type == "tool_use"
            tally.text_bytes += len((block.name or "").encode())
            if block.type == "web_search_tool_result":
                tally.usage = _searched(tally.usage or Usage(), block)
        case "message_delta":
            reason = event.delta.stop_reason if event.delta is not None else None
            if reason:
                tally.stop_reason = STOPS.get(reason, reason)
                tally.is_complete = True
            _tap_usage(event.usage, tally)
        case "error":
            tally.said = read_failure(event)
        case _:
            pass


def _tap_usage(raw: msgspec.Raw, tally: Tally) -> None:
    if is_given(raw):
        tally.usage, notes = read_usage(raw, tally.usage)
        tally.notes += notes


def _searched(usage: Usage, result: AnswerBlock) -> Usage:
    """One search more until the last event tells their number. One that failed is an object and not billed."""
    has_found = bytes(result.content)[:1] == b"["
    return msgspec.structs.replace(usage, searches=(usage.searches or 0) + has_found)


def at_start(usage: Usage) -> Usage:
    """The first event counts an output of a token or two, of which nothing is true yet."""
    return msgspec.structs.replace(usage, tokens_output=None)


def read_failure(event: Event) -> classify.Said:
    """The error of an `error` event."""
    found = msgspec.json.decode(event.error) if is_given(event.error) else None
    return classify.said_in({"error": found}) or classify.Said("error")


# -- reading -----------------------------------------------------------------------------------------------------------


class Reader:
    """Frames to events. Blocks of kinds that only hosted tools make are left out of the numbering."""

    def __init__(self, reply: Reply) -> None:
        self._reply = reply
        self._usage: Usage | None = None
        self._numbers: dict[int, int] = {}
        self._inputs: dict[int, str] = {}

    def read(self, frame: Frame) -> list[chat.Event]:
        """Raises msgspec.DecodeError for a frame that does not fit."""
        event = EVENTS.decode(frame.data) if frame.data else Event("ping")
        read = _READ.get(event.type)
        return read(self, event) if read is not None else []

    def end(self) -> list[chat.Event]:
        """The end of the connection is not the end of an answer here."""
        return []

    def started(self, event: Event) -> list[chat.Event]:
        """`message_start`."""
        message = event.message or Answer()
        answer_id = message.id or self._reply.request_id
        started = chat.Started(answer_id, message.model or "", self._reply.created_s)
        counted = self._counted(message.usage)
        if self._usage is not None:
            self._usage = at_start(self._usage)
        return [started, *(chat.Counted(at_start(event.usage), event.notes) for event in counted)]

    def opened(self, event: Event) -> list[chat.Event]:
        """`content_block_start`."""
        block = event.content_block or AnswerBlock("")
        part = read_block(block)
        if part is None:
            return []
        number = self._numbers[event.index] = len(self._numbers)
        if isinstance(part, chat.ToolCall):
            self._inputs[number] = part.arguments
            return [chat.Opened(0, number, msgspec.structs.replace(part, arguments=""))]
        empty = msgspec.structs.replace(part, text="")
        added = [chat.Added(0, number, part.text)] if part.text else []
        return [chat.Opened(0, number, empty), *added]

    def added(self, event: Event) -> list[chat.Event]:
        """`content_block_delta`."""
        number, delta = self._numbers.get(event.index), event.delta or Delta()
        if number is None:
            return []
        if delta.signature:
            signature = read_thought("", delta.signature, NAME).signature
            return [chat.Signed(0, number, signature)] if signature is not None else []
        text = delta.text or delta.partial_json or delta.thinking
        if not text:
            return []
        self._inputs.pop(number, None)
        return [chat.Added(0, number, text)]

    def closed(self, event: Event) -> list[chat.Event]:
        """`content_block_stop`. A call whose input came whole at its start, or that has none, says it here."""
        number = self._numbers.get(event.index)
        if number is None:
            return []
        whole = self._inputs.pop(number, "")
        return [*([chat.Added(0, number, whole)] if whole else []), chat.Closed(0, number)]

    def stopped(self, event: Event) -> list[chat.Event]:
        """`message_delta`."""
        delta = event.delta or Delta()
        stopped: list[chat.Event] = []
        if delta.stop_reason:
            stopped = [chat.Stopped(0, STOPS.get(delta.stop_reason, "stop"), delta.stop_sequence or "")]
        return [*stopped, *self._counted(event.usage)]

    def ended(self, event: Event) -> list[chat.Event]:
        """`message_stop`."""
        del event
        return [chat.Ended()]

    def failed(self, event: Event) -> list[chat.Event]:
        """`error`."""
        said = read_failure(event)
        return [chat.Failed(said.message, said.kind, said.code, said.status)]

    def _counted(self, raw: msgspec.Raw) -> list[chat.Counted]:
        if not is_given(raw):
            return []
        self._usage, notes = read_usage(raw, self._usage)
        return [chat.Counted(self._usage or Usage(), notes)]


_READ: Final = {
    "message_start": Reader.started,
    "content_block_start": Reader.opened,
    "content_block_delta": Reader.added,
    "content_block_stop": Reader.closed,
    "message_delta": Reader.stopped,
    "message_stop": Reader.ended,
    "error": Reader.failed,
}

# -- writing -----------------------------------------------------------------------------------------------------------


class Writer:
    """Events to frames for a client. It knows one choice."""

    def __init__(self, reply: Reply) -> None:
        del reply
        self._fold = Fold()

    def write(self, event: chat.Event) -> bytes:
        """What this event says to the client."""
        self._fold.take(event)
        match event:
            case chat.Started():
                message = {**write_message(event.id, event.model), **_UNKNOWN_YET, "usage": write_usage(None)}
                return _frame("message_start", message=message)
            case chat.Opened():
                return _frame("content_block_start", index=event.number, content_block=write_block(event.part))
            case chat.Added():
                delta = _DELTAS[type(self._fold.kind(0, event.number))]
                return self._delta(event.number, {"type": delta[0], delta[1]: event.text})
            case chat.Signed():
                token = write_token(chat.Thinking(signature=event.signature), NAME)
                return self._delta(event.number, {"type": "signature_delta", "signature": token})
            case chat.Closed():
                return _frame("content_block_stop", index=event.number)
            case _:
                return b""

    def finish(self) -> bytes:
        """Why it stopped, what it used, and the terminator."""
        answer = self._fold.answer()
        choice = answer.choices[0] if answer.choices else chat.Choice((), "stop")
        delta = {"stop_reason": write_stop(choice), "stop_sequence": choice.stop_sequence or None}
        stopped = _frame("message_delta", delta=delta, usage=write_usage(answer.usage))
        return stopped + _frame("message_stop")

    def _delta(self, number: int, delta: dict[str, str]) -> bytes:
        return _frame("content_block_delta", index=number, delta=delta)


_UNKNOWN_YET: Final[dict[str, object]] = {"content": [], "stop_reason": None, "stop_sequence": None}
_DELTAS: Final = {
    chat.Text: ("text_delta", "text"),
    chat.Refused: ("text_delta", "text"),
    chat.Thinking: ("thinking_delta", "thinking"),
    chat.ToolCall: ("input_json_delta", "partial_json"),
}


def _frame(kind: str, **fields: object) -> bytes:
    return b"event: %b\ndata: %b\n\n" % (kind.encode(), msgspec.json.encode({"type": kind, **fields}))
