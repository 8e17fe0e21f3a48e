"""Streams of OpenAI responses: looked at in passing, read into events, and written from events."""

from collections.abc import Callable
from typing import Final

import msgspec

from tollway.dialects import classify, openai_logprobs
from tollway.dialects.dialect import Reply, Tally
from tollway.dialects.fold import Fold
from tollway.dialects.openai_responses import items
from tollway.dialects.openai_responses.answer import (
    SEARCH_CALL,
    failure,
    read_stop,
    read_usage,
    searches_in,
    tap_response,
    with_searches,
    write_response,
)
from tollway.dialects.openai_responses.request_reader import read_reasoning
from tollway.dialects.openai_responses.schema import (
    EVENTS,
    SEARCH_EVENTS,
    TAP_EVENTS,
    Answer,
    Event,
    Glimpse,
    Item,
    TapEvent,
)
from tollway.dialects.opening import Opening
from tollway.dialects.reading import is_given
from tollway.dialects.sse import Frame
from tollway.wire import chat
from tollway.wire.usage import Usage

_ENDS: Final = frozenset({"response.completed", "response.incomplete"})
_CALLS: Final = (b'"function_call"', b'"custom_tool_call"')

# -- in passing --------------------------------------------------------------------------------------------------------


def tap_frame(frame: Frame, tally: Tally, is_usage_asked: bool) -> bool:
    """Look at one frame; False keeps it from the client: the terminator."""
    del is_usage_asked  # it is always in the stream
    if not frame.data:
        return True
    event = TAP_EVENTS.decode(frame.data)
    if isinstance(event.delta, str):
        if event.delta:
            tally.has_content = True
            tally.text_bytes += len(event.delta.encode())
        return True
    _tap_other(event, frame.data, tally)
    return not tally.is_terminal


def _tap_other(event: TapEvent, data: bytes, tally: Tally) -> None:
    response = event.response or Glimpse()
    tally.is_begun = tally.is_begun or event.response is not None
    if event.type == "error":
        tally.said = read_failure(data)
    elif event.type == "response.failed":
        tally.said = failure(response) or classify.Said("The response failed.")
        tap_response(response, tally, is_calling=False)
    elif event.type in _ENDS:
        tap_response(response, tally, is_calling=tally.stop_reason == "tool_calls")
        _tap_searches(data, tally)
        tally.is_complete = tally.is_terminal = True
    elif event.type == "response.output_item.added" and any(kind in data for kind in _CALLS):
        tally.stop_reason = "tool_calls"
        tally.has_content = True
    elif event.type == "response.output_item.done":
        _tap_searches(data, tally)


def _tap_searches(data: bytes, tally: Tally) -> None:
    """Searches, one by one as they are done, and all of them again at the end."""
    if SEARCH_CALL not in data:
        return
    shown = SEARCH_EVENTS.decode(data)
    done = searches_in([shown.item]) if shown.item is not None else 0
    before = tally.usage.searches or 0 if tally.usage is not None else 0
    whole = searches_in(shown.response.output) if shown.response is not None else 0
    tally.usage = with_searches(tally.usage, max(before + done, whole))


def read_failure(data: bytes) -> classify.Said:
    """The error of an `error` event, whose fields are at its top, or under `error`."""
    return classify.read_error(data) or classify.Said("error")


# -- reading -----------------------------------------------------------------------------------------------------------


class Reader:
    """Frames to events. Items of kinds that only hosted tools make are left out."""

    def __init__(self, reply: Reply) -> None:
        self._reply = reply
        self._parts = Opening(0)
        self._is_calling = False
        self._is_started = False
        self._written: set[int] = set()

    def read(self, frame: Frame) -> list[chat.Event]:
        """Raises msgspec.DecodeError for a frame that does not fit."""
        if not frame.data:
            return []
        event = EVENTS.decode(frame.data)
        if event.type == "error":
            said = read_failure(frame.data)
            return [chat.Failed(said.message, said.kind, said.code, said.status)]
        read = _READ.get(event.type)
        return read(self, event) if read is not None else []

    def end(self) -> list[chat.Event]:
        """The end of the connection is not the end of an answer here."""
        return []

    def started(self, event: Event) -> list[chat.Event]:
        """`response.created`, `response.in_progress`."""
        if self._is_started:
            return []
        self._is_started = True
        response = event.response or Answer()
        created_s = int(response.created_at or self._reply.created_s)
        return [chat.Started(response.id or self._reply.request_id, response.model or "", created_s)]

    def item_added(self, event: Event) -> list[chat.Event]:
        """`response.output_item.added`."""
        item = event.item or Item()
        if item.type in ("function_call", "custom_tool_call"):
            self._is_calling = True
            is_custom = item.type == "custom_tool_call"
            call = chat.ToolCall(item.call_id or item.id or "", item.name or "", is_custom=is_custom)
            return self._parts.more(("call", event.output_index), call)
        if item.type == "reasoning":
            thought = read_reasoning(item)
            opened = thought if thought.is_redacted else chat.Thinking()
            return self._parts.more(("thinking", event.output_index), opened)
        return []

    def part_added(self, event: Event) -> list[chat.Event]:
        """`response.content_part.added`."""
        kind = event.part.type if event.part is not None else ""
        opener = {"output_text": self._text, "refusal": self._refusal}.get(kind)
        return opener(event) if opener is not None else []

    def _text(self, event: Event) -> list[chat.Event]:
        return self._parts.more(("text", event.output_index, event.content_index), chat.Text())

    def _refusal(self, event: Event) -> list[chat.Event]:
        return self._parts.more(("refusal", event.output_index, event.content_index), chat.Refused())

    def text_added(self, event: Event) -> list[chat.Event]:
        """`response.output_text.delta`."""
        tokens = openai_logprobs.read_tokens(event.logprobs) if is_given(event.logprobs) else ()
        return [*self._text(event), self._parts.added(str(event.delta), tokens)]

    def refusal_added(self, event: Event) -> list[chat.Event]:
        """`response.refusal.delta`."""
        return [*self._refusal(event), self._parts.added(str(event.delta))]

    def arguments_added(self, event: Event) -> list[chat.Event]:
        """`response.function_call_arguments.delta`, `response.custom_tool_call_input.delta`."""
        if not self._parts.is_open(("call", event.output_index)):
            raise msgspec.DecodeError("arguments of a call that is not open")
        self._written.add(event.output_index)
        return [self._parts.added(str(event.delta))]

    def thought_added(self, event: Event) -> list[chat.Event]:
        """`response.reasoning_summary_text.delta`, `response.reasoning_text.delta`."""
        opened = self._parts.more(("thinking", event.output_index), chat.Thinking())
        return [*opened, self._parts.added(str(event.delta))]

    def summary_added(self, event: Event) -> list[chat.Event]:
        """`response.reasoning_summary_part.added`: paragraphs of one thought."""
        return [self._parts.added("\n\n")] if event.summary_index > 0 else []

    def part_done(self, event: Event) -> list[chat.Event]:
        """`response.content_part.done`."""
        is_text = event.part is not None and event.part.type in ("output_text", "refusal")
        return self._parts.close() if is_text else []

    def item_done(self, event: Event) -> list[chat.Event]:
        """`response.output_item.done`."""
        item = event.item or Item()
        events: list[chat.Event] = []
        if item.type == "reasoning" and self._parts.is_open(("thinking", event.output_index)):
            thought = read_reasoning(item)
            if thought.signature is not None and not thought.is_redacted:  # a redacted part opens with its signature
                events = [self._parts.signed(thought.signature)]
        said = item.arguments if item.type == "function_call" else item.input
        if said and self._parts.is_open(("call", event.output_index)) and event.output_index not in self._written:
            events = [self._parts.added(said)]
        return [*events, *self._parts.close()]

    def ended(self, event: Event) -> list[chat.Event]:
        """`response.completed`, `response.incomplete`."""
        response = event.response or Answer()
        events: list[chat.Event] = [*self.started(event), *self._parts.close()]
        events.append(chat.Stopped(0, read_stop(response, is_calling=self._is_calling)))
        if is_given(response.usage):
            usage, notes = read_usage(response)
            events.append(chat.Counted(usage or Usage(), notes))
        return [*events, chat.Ended()]

    def failed(self, event: Event) -> list[chat.Event]:
        """`response.failed`."""
        said = failure(event.response or Answer()) or classify.Said("The response failed.")
        return [chat.Failed(said.message, said.kind, said.code, said.status)]


_READ: Final[dict[str, Callable[[Reader, Event], list[chat.Event]]]] = {
    "response.created": Reader.started,
    "response.in_progress": Reader.started,
    "response.output_item.added": Reader.item_added,
    "response.content_part.added": Reader.part_added,
    "response.output_text.delta": Reader.text_added,
    "response.refusal.delta": Reader.refusal_added,
    "response.function_call_arguments.delta": Reader.arguments_added,
    "response.custom_tool_call_input.delta": Reader.arguments_added,
    "response.reasoning_summary_part.added": Reader.summary_added,
    "response.reasoning_summary_text.delta": Reader.thought_added,
    "response.reasoning_text.delta": Reader.thought_added,
    "response.content_part.done": Reader.part_done,
    "response.output_item.done": Reader.item_done,
    "response.completed": Reader.ended,
    "response.incomplete": Reader.ended,
    "response.failed": Reader.failed,
}

# -- writing -----------------------------------------------------------------------------------------------------------


class Writer:
    """Events to frames for a client. Each part is an item; every frame has its number in the sequence."""

    def __init__(self, reply: Reply) -> None:
        self._reply = reply
        self._fold = Fold()
        self._sequence = 0
        self._has_summary = False
        self._tokens_said = 0

    def write(self, event: chat.Event) -> bytes:
        """What this event says to the client."""
        self._fold.take(event)
        match event:
            case chat.Started():
                response = write_response(self._fold.answer(), self._reply, is_open=True)
                return self._frame("response.created", response=response) + self._frame(
                    "response.in_progress", response=response
                )
            case chat.Opened():
                return self._opened(event)
            case chat.Added():
                return self._added(event)
            case chat.Closed():
                return self._closed(event)
            case _:
                return b""

    def finish(self) -> bytes:
        """The whole response, as the terminator."""
        response = write_response(self._fold.answer(), self._reply)
        return self._frame(f"response.{response['status']}", response=response)

    def _opened(self, event: chat.Opened) -> bytes:
        self._has_summary = False
        item = items.write_item(self._fold.id, event.part, event.number, status="in_progress")
        added = self._frame("response.output_item.added", output_index=event.number, item=item)
        if isinstance(event.part, chat.Text | chat.Refused):
            part = items.write_content(items.emptied(event.part))
            return added + self._of_part("response.content_part.added", event.number, part=part)
        return added

    def _added(self, event: chat.Added) -> bytes:
        number, delta = event.number, event.text
        match self._fold.kind(0, number):
            case chat.ToolCall(is_custom=True):
                return self._of_item("response.custom_tool_call_input.delta", number, delta=delta)
            case chat.ToolCall():
                return self._of_item("response.function_call_arguments.delta", number, delta=delta)
            case chat.Thinking():
                begun = b"" if self._has_summary else self._summary("part.added", number, part=items.write_summary(""))
                self._has_summary = True
                return begun + self._summary("text.delta", number, delta=delta)
            case chat.Refused():
                return self._of_part("response.refusal.delta", number, delta=delta)
            case chat.Text():
                tokens = openai_logprobs.write_tokens(event.logprobs)
                return self._of_part("response.output_text.delta", number, delta=delta, logprobs=tokens)

    def _closed(self, event: chat.Closed) -> bytes:
        number = event.number
        part = self._fold.part(0, number)
        tokens = self._fold.logprobs(0)[self._tokens_said :] if isinstance(part, chat.Text) else ()
        self._tokens_said += len(tokens)
        done = self._content_done(part, number, tokens)
        item = items.write_item(self._fold.id, part, number, tokens=tokens)
        return done + self._frame("response.output_item.done", output_index=number, item=item)

    def _content_done(self, part: chat.Part, number: int, tokens: tuple[chat.TokenLogprob, ...]) -> bytes:
        match part:
            case chat.ToolCall(is_custom=True):
                return self._of_item("response.custom_tool_call_input.done", number, input=part.arguments)
            case chat.ToolCall():
                return self._of_item("response.function_call_arguments.done", number, arguments=part.arguments)
            case chat.Thinking() if self._has_summary:
                done = self._summary("text.done", number, text=part.text)
                return done + self._summary("part.done", number, part=items.write_summary(part.text))
            case chat.Refused():
                done = self._of_part("response.refusal.done", number, refusal=part.text)
                return done + self._of_part("response.content_part.done", number, part=items.write_content(part))
            case chat.Text():
                written = openai_logprobs.write_tokens(tokens)
                done = self._of_part("response.output_text.done", number, text=part.text, logprobs=written)
                content = items.write_content(part, tokens)
                return done + self._of_part("response.content_part.done", number, part=content)
            case _:
                return b""

    def _summary(self, what: str, number: int, **fields: object) -> bytes:
        return self._of_item(f"response.reasoning_summary_{what}", number, summary_index=0, **fields)

    def _of_part(self, kind: str, number: int, **fields: object) -> bytes:
        return self._of_item(kind, number, content_index=0, **fields)

    def _of_item(self, kind: str, number: int, **fields: object) -> bytes:
        item_id = items.item_id(self._fold.id, self._fold.kind(0, number), number)
        return self._frame(kind, item_id=item_id, output_index=number, **fields)

    def _frame(self, kind: str, **fields: object) -> bytes:
        body = {"type": kind, "sequence_number": self._sequence, **fields}
        self._sequence += 1
        return b"event: %b\ndata: %b\n\n" % (kind.encode(), msgspec.json.encode(body))
