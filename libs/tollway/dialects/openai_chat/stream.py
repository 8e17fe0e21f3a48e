"""Streams of OpenAI chat completions: looked at in passing, read into events, and written from events."""

from typing import Final

import msgspec

from tollway.dialects import classify, openai_logprobs
from tollway.dialects.dialect import Reply, Tally
from tollway.dialects.fold import Fold
from tollway.dialects.openai_chat import answer, thoughts, tools
from tollway.dialects.openai_chat.schema import ANSWERS, Answer, Call, Choice, Delta
from tollway.dialects.opening import Opening
from tollway.dialects.reading import is_given, present
from tollway.dialects.sse import Frame
from tollway.wire import chat
from tollway.wire.usage import Usage

DONE: Final = b"[DONE]"
TERMINATOR: Final = b"data: [DONE]\n\n"

# -- in passing --------------------------------------------------------------------------------------------------------


def tap_frame(frame: Frame, tally: Tally, is_usage_asked: bool) -> bool:
    """Look at one frame; False keeps it from the client: the terminator, and the usage that was not asked for."""
    if frame.data == DONE:
        tally.is_terminal = tally.is_complete
        tally.broken = answer.UNFINISHED if tally.is_begun and not tally.is_complete else tally.broken
        return False
    if not frame.data:
        return True
    chunk = ANSWERS.decode(frame.data)
    answer.tap(chunk, tally)
    return bool(chunk.choices) or is_usage_asked or len(chunk.usage) == 4


# -- reading -----------------------------------------------------------------------------------------------------------


class _ChoiceReader:
    """One choice of a stream: opens and closes its parts as the deltas change."""

    def __init__(self, index: int) -> None:
        self._index = index
        self._parts = Opening(index)
        self._calls: list[str] = []
        self._numbers: dict[int, int] = {}
        self.is_stopped = False

    def read(self, choice: Choice) -> list[chat.Event]:
        delta = choice.delta or choice.message or Delta()
        events = [*self._thoughts(delta), *self._texts(choice, delta)]
        for call in delta.tool_calls or ():
            events += self._call(call)
        if choice.finish_reason is not None and not self.is_stopped:
            self.is_stopped = True
            stop = answer.read_stop(choice.finish_reason, is_calling=bool(self._calls))
            events += [*self._parts.close(), chat.Stopped(self._index, stop)]
        return events

    def _texts(self, choice: Choice, delta: Delta) -> list[chat.Event]:
        events: list[chat.Event] = []
        tokens = openai_logprobs.read(choice.logprobs) if is_given(choice.logprobs) else ()
        for part in answer.read_content(delta.content):
            if isinstance(part, chat.Thinking):
                events += [*self._parts.more("thinking", chat.Thinking()), self._parts.added(part.text)]
            else:
                events += [*self._parts.more("text", chat.Text()), self._parts.added(part.text, tokens)]
        if delta.refusal:
            events += [*self._parts.more("refusal", chat.Refused()), self._parts.added(delta.refusal, tokens)]
        return events

    def _thoughts(self, delta: Delta) -> list[chat.Event]:
        text = delta.reasoning_content or delta.reasoning
        events: list[chat.Event] = []
        if text:
            events += [*self._parts.more("thinking", chat.Thinking()), self._parts.added(text)]
        for detail in thoughts.read_details(delta.reasoning_details) if is_given(delta.reasoning_details) else ():
            events += self._detail(detail, is_text_known=bool(text) or self._parts.is_open("thinking"))
        return events

    def _detail(self, detail: chat.Thinking, *, is_text_known: bool) -> list[chat.Event]:
        if detail.is_redacted:
            part = chat.Thinking(signature=detail.signature, is_redacted=True)
            return [*self._parts.close(), *self._parts.more("redacted", part), *self._parts.close()]
        events = self._parts.more("thinking", chat.Thinking())
        if detail.text and not is_text_known:
            events.append(self._parts.added(detail.text))
        if detail.signature is not None:
            events += [self._parts.signed(detail.signature), *self._parts.close()]
        return events

    def _call(self, call: Call) -> list[chat.Event]:
        index = call.index if call.index is not None else len(self._calls)
        read = tools.read_call(call, index)
        if read is None:
            return []
        events: list[chat.Event] = []
        number = self._numbers.get(index)
        if number is None or self._is_another(call, number):
            number = self._numbers[index] = len(self._calls)
            self._calls.append(read.id)
            events += self._parts.more(("call", number), msgspec.structs.replace(read, arguments=""))
        elif not self._parts.is_open(("call", number)):
            raise msgspec.DecodeError("a delta of a tool call that was complete")
        return [*events, self._parts.added(read.arguments)] if read.arguments else events

    def _is_another(self, call: Call, number: int) -> bool:
        """Some servers (Ollama until 0.9) give every call the index 0: an id and a name of its own tell it apart."""
        is_named = call.function is not None and bool(call.function.name)
        return is_named and call.id not in (None, "", self._calls[number])


class Reader:
    """Frames to events."""

    def __init__(self, reply: Reply) -> None:
        self._reply = reply
        self._is_started = False
        self._choices: dict[int, _ChoiceReader] = {}

    def read(self, frame: Frame) -> list[chat.Event]:
        """Raises msgspec.DecodeError for a frame that does not fit."""
        if frame.data == DONE:
            return [chat.Ended()] if self._is_complete else []
        return self._chunk(ANSWERS.decode(frame.data)) if frame.data else []

    def end(self) -> list[chat.Event]:
        """At the end of the connection: some providers close after the finish reason without a word."""
        return [chat.Ended()] if self._is_complete and not self._reply.is_end_marked else []

    @property
    def _is_complete(self) -> bool:
        return bool(self._choices) and all(choice.is_stopped for choice in self._choices.values())

    def _chunk(self, chunk: Answer) -> list[chat.Event]:
        if is_given(chunk.error):
            said = classify.said_in({"error": msgspec.json.decode(chunk.error)}) or classify.Said("error")
            return [chat.Failed(said.message, said.kind, said.code, said.status)]
        events: list[chat.Event] = []
        if not self._is_started and chunk.choices:
            self._is_started = True
            created_s = int(chunk.created or self._reply.created_s)
            events.append(chat.Started(chunk.id or self._reply.request_id, chunk.model or "", created_s))
        for choice in chunk.choices or ():
            broken = answer.error_of(choice)
            if broken is not None:
                return [*events, chat.Failed(broken.message, broken.kind, broken.code, broken.status)]
            events += self._choices.setdefault(choice.index, _ChoiceReader(choice.index)).read(choice)
        if is_given(chunk.usage):
            usage, notes = answer.read_usage(chunk)
            events.append(chat.Counted(usage or Usage(), notes))
        return events


# -- writing -----------------------------------------------------------------------------------------------------------


class Writer:
    """Events to frames for a client."""

    def __init__(self, reply: Reply) -> None:
        self._reply = reply
        self._fold = Fold()
        self._calls: dict[tuple[int, int], int] = {}
        self._begun: set[int] = set()

    def write(self, event: chat.Event) -> bytes:
        """What this event says to the client."""
        self._fold.take(event)
        match event:
            case chat.Opened():
                return self._opened(event)
            case chat.Added():
                return self._added(event)
            case chat.Signed():
                return self._thought(event.choice, event.number)
            case chat.Stopped():
                return self._begin(event.choice) + self._chunk(event.choice, {}, answer.FINISHES[event.stop])
            case _:
                return b""

    def finish(self) -> bytes:
        """Usage if it was asked for, and the terminator."""
        usage = answer.write_usage(self._fold.usage) if self._reply.is_usage_asked else None
        return (self._frame([], usage) if usage is not None else b"") + TERMINATOR

    def _opened(self, event: chat.Opened) -> bytes:
        begun = self._begin(event.choice)
        match event.part:
            case chat.ToolCall() as call:
                index = self._calls[event.choice, event.number] = sum(key[0] == event.choice for key in self._calls)
                delta: dict[str, object] = {"tool_calls": [{"index": index, **tools.write_call(call)}]}
                return begun + self._chunk(event.choice, delta)
            case chat.Thinking(is_redacted=True):
                return begun + self._thought(event.choice, event.number)
            case _:
                return begun

    def _begin(self, choice: int) -> bytes:
        if choice in self._begun:
            return b""
        self._begun.add(choice)
        return self._chunk(choice, {"role": "assistant", "content": ""})

    def _added(self, event: chat.Added) -> bytes:
        match self._fold.kind(event.choice, event.number):
            case chat.ToolCall() as call:
                index = self._calls[event.choice, event.number]
                delta: dict[str, object] = {"tool_calls": [{"index": index, **tools.write_more(call, event.text)}]}
            case chat.Thinking():
                delta = {"reasoning_content": event.text}
            case chat.Refused():
                delta = {"refusal": event.text}
            case _:
                delta = {"content": event.text}
        return self._chunk(event.choice, delta, tokens=event.logprobs)

    def _thought(self, choice: int, number: int) -> bytes:
        part = self._fold.part(choice, number)
        details = [thoughts.write_detail(part, number)] if isinstance(part, chat.Thinking) else []
        return self._chunk(choice, {"reasoning_details": details})

    def _chunk(
        self,
        choice: int,
        delta: dict[str, object],
        finish: str | None = None,
        *,
        tokens: tuple[chat.TokenLogprob, ...] = (),
    ) -> bytes:
        written: dict[str, object] = {"index": choice, "delta": delta, "finish_reason": finish}
        if tokens:
            written["logprobs"] = openai_logprobs.write(tokens)
        return self._frame([written])

    def _frame(self, choices: list[dict[str, object]], usage: dict[str, object] | None = None) -> bytes:
        chunk = present(
            id=self._fold.id,
            object="chat.completion.chunk",
            created=self._fold.created_s or self._reply.created_s,
            model=self._fold.model,
            choices=choices,
            usage=usage,
        )
        return b"data: %b\n\n" % msgspec.json.encode(chunk)
