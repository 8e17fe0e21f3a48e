"""Streams of Gemini: looked at in passing, read into events, and written from events. They have no end marker."""

import msgspec

from tollway.dialects.dialect import Reply, Tally
from tollway.dialects.fold import Fold
from tollway.dialects.gemini import answer
from tollway.dialects.gemini.schema import ANSWERS, NAME, Candidate, Part
from tollway.dialects.opening import Opening
from tollway.dialects.reading import is_given, present
from tollway.dialects.signatures import read_thought, write_token
from tollway.dialects.sse import Frame
from tollway.wire import chat
from tollway.wire.usage import Usage

# -- in passing --------------------------------------------------------------------------------------------------------


def tap_frame(frame: Frame, tally: Tally, is_usage_asked: bool) -> bool:
    """Look at one frame. All of them go to the client."""
    del is_usage_asked  # it is always in the stream
    if frame.data:
        answer.tap(ANSWERS.decode(frame.data), tally)
    return True


# -- reading -----------------------------------------------------------------------------------------------------------


class _CandidateReader:
    """One candidate of a stream: opens and closes its parts as the chunks change."""

    def __init__(self, index: int, answer_id: str) -> None:
        self._index = index
        self._answer_id = answer_id
        self._parts = Opening(index)
        self._calls = 0
        self._redacted = 0
        self.is_stopped = False

    def read(self, candidate: Candidate) -> list[chat.Event]:
        events: list[chat.Event] = []
        tokens = answer.read_logprobs(candidate.logprobs_result)
        for part in candidate.content.parts or () if candidate.content is not None else ():
            events += self._part(part, tokens)
            tokens = () if part.text else tokens
        if tokens and self._parts.is_open("text"):
            events.append(self._parts.added("", tokens))
        if candidate.finish_reason is not None and not self.is_stopped:
            self.is_stopped = True
            stop = answer.read_stop(candidate.finish_reason, is_calling=self._calls > 0)
            events += [*self._parts.close(), chat.Stopped(self._index, stop)]
        return events

    def _part(self, part: Part, tokens: tuple[chat.TokenLogprob, ...]) -> list[chat.Event]:
        token = part.thought_signature or ""
        if part.thought:
            return self._thought(part.text or "", token)
        signed = self._thought("", token) if token else []
        if part.function_call is not None:
            new_id = answer.call_id(self._answer_id, self._index, self._calls)
            self._calls += 1
            return [*signed, *self._call(answer.read_call(part.function_call, part.function_call.id or new_id))]
        text = answer.text_of(part)
        if not text:
            return signed
        return [*self._parts.more("text", chat.Text()), self._parts.added(text, tokens), *signed]

    def _call(self, call: chat.ToolCall) -> list[chat.Event]:
        opened = self._parts.more(("call", self._calls), chat.ToolCall(call.id, call.name))
        return [*opened, self._parts.added(call.arguments), *self._parts.close()]

    def _thought(self, text: str, token: str) -> list[chat.Event]:
        """A bare signature right after a thought is that thought's."""
        thought = read_thought("", token, NAME)
        if thought.is_redacted:
            self._redacted += 1
            return [*self._parts.more(("redacted", self._redacted), thought), *self._parts.close()]
        events = self._parts.more("thinking", chat.Thinking())
        if text:
            events.append(self._parts.added(text))
        if thought.signature is not None:
            events += [self._parts.signed(thought.signature), *self._parts.close()]
        return events


class Reader:
    """Frames to events."""

    def __init__(self, reply: Reply) -> None:
        self._reply = reply
        self._candidates: dict[int, _CandidateReader] = {}
        self._answer_id = ""

    def read(self, frame: Frame) -> list[chat.Event]:
        """Raises msgspec.DecodeError for a frame that does not fit."""
        if not frame.data:
            return []
        chunk = ANSWERS.decode(frame.data)
        said = answer.failure(chunk)
        if said is not None:
            return [chat.Failed(said.message, said.kind, said.code, said.status)]
        events: list[chat.Event] = []
        if not self._answer_id and chunk.candidates:
            self._answer_id = chunk.response_id or self._reply.request_id or "answer"
            events.append(chat.Started(self._answer_id, chunk.model_version or "", self._reply.created_s))
        for candidate in chunk.candidates or ():
            reader = self._candidates.get(candidate.index)
            if reader is None:
                reader = self._candidates[candidate.index] = _CandidateReader(candidate.index, self._answer_id)
            events += reader.read(candidate)
        if is_given(chunk.usage_metadata):
            usage, notes = answer.read_usage(chunk.usage_metadata)
            events.append(chat.Counted(usage or Usage(), notes))
        return events

    def end(self) -> list[chat.Event]:
        """The end of the connection is the end of the answer, if every candidate said why it stopped."""
        is_complete = bool(self._candidates) and all(reader.is_stopped for reader in self._candidates.values())
        return [chat.Ended()] if is_complete else []


# -- writing -----------------------------------------------------------------------------------------------------------


class Writer:
    """Events to frames for a client. A call is one part, so it waits until it is complete."""

    def __init__(self, reply: Reply) -> None:
        del reply
        self._fold = Fold()

    def write(self, event: chat.Event) -> bytes:
        """What this event says to the client."""
        self._fold.take(event)
        match event:
            case chat.Added():
                return self._added(event)
            case chat.Signed():
                return self._signed(event.choice, chat.Thinking(signature=event.signature))
            case chat.Opened(part=chat.Thinking(is_redacted=True) as thought):
                return self._signed(event.choice, thought)
            case chat.Closed():
                part = self._fold.part(event.choice, event.number)
                is_call = isinstance(part, chat.ToolCall)
                return self._frame(event.choice, answer.write_part(part)) if is_call else b""
            case _:
                return b""

    def finish(self) -> bytes:
        """Why each candidate stopped, and the usage: with it the stream is complete."""
        whole = self._fold.answer()
        candidates: list[dict[str, object]] = [
            {"content": {"role": "model", "parts": []}, "finishReason": answer.FINISHES[choice.stop], "index": index}
            for index, choice in enumerate(whole.choices)
        ]
        return _data(answer.write_envelope(whole.id, whole.model, candidates, whole.usage))

    def _added(self, event: chat.Added) -> bytes:
        logprobs = answer.write_logprobs(event.logprobs)
        match self._fold.kind(event.choice, event.number):
            case chat.ToolCall():
                return b""
            case chat.Thinking():
                return self._frame(event.choice, {"text": event.text, "thought": True})
            case _:
                return self._frame(event.choice, {"text": event.text}, logprobs)

    def _signed(self, choice: int, thought: chat.Thinking) -> bytes:
        return self._frame(choice, {"text": "", "thought": True, "thoughtSignature": write_token(thought, NAME)})

    def _frame(self, choice: int, part: dict[str, object], logprobs: dict[str, object] | None = None) -> bytes:
        content = {"role": "model", "parts": [part]}
        candidate = present(content=content, index=choice, logprobsResult=logprobs)
        return _data(answer.write_envelope(self._fold.id, self._fold.model, [candidate]))


def _data(envelope: dict[str, object]) -> bytes:
    return b"data: %b\n\n" % msgspec.json.encode(envelope)
