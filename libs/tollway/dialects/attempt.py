"""One attempt, whatever the dialects: its request, its answer or stream, its faults. `passing`, `hub` and `embedding`
say how bytes become other bytes.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping

import msgspec

from tollway.dialects import bodies, classify, waits
from tollway.dialects.classify import Said
from tollway.dialects.dialect import Passing, Tally
from tollway.dialects.exchange import NO_HEADERS, Outgoing, Served, Step
from tollway.dialects.faults import CODES, STATUS_WITHOUT_ANSWER, ErrorClass, Fault
from tollway.dialects.rows import ProviderRow
from tollway.dialects.sse import Frame, Overlong, Splitter
from tollway.wire.plan import Surface
from tollway.wire.refusals import Refusal
from tollway.wire.usage import Usage

MISFITS = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
"""What reading bytes that do not fit a dialect may raise."""


class Setting(msgspec.Struct, frozen=True):
    """What an attempt knows from the start. `now_ms` dates answers whose provider does not. `is_reasoning`: so far as
    one knows, the model reasons.
    """

    client: Passing
    provider: Passing
    row: ProviderRow
    surface: Surface
    request_id: str = ""
    now_ms: int = 0
    is_reasoning: bool = True

    def fault(self, error_class: ErrorClass, status: int, said: Said, *, retry_after_s: float | None = None) -> Fault:
        """A fault with its body in the client's dialect. `status` below 400: the provider sent none; from 600 on: none
        that HTTP has, so that no client is sent it."""
        shown = status if 400 <= status < 600 else STATUS_WITHOUT_ANSWER[error_class]
        told = said if said.code else msgspec.structs.replace(said, code=CODES.get(error_class, ""))
        body = self.client.write_error(shown, told, self.request_id)
        return Fault(error_class, shown, said.message, said.code or said.kind, retry_after_s, body)

    def unusable(self, status: int, tally: Tally, what: str) -> Fault:
        """The fault of an answer that is an error, or that is malformed."""
        if tally.said is not None:
            error_class = classify.classify(status, tally.said)
            return self.fault(error_class, 0, tally.said, retry_after_s=tally.said.retry_after_s)
        return self.fault("malformed", 0, Said(f"The provider's {what} was malformed: {tally.broken}."))


class Bridge(ABC):
    """One attempt with one provider. `request` comes first: answers are read in the light of what was asked."""

    def __init__(self, setting: Setting) -> None:
        self._setting = setting

    @abstractmethod
    def request(
        self,
        body: bytes,
        *,
        model_sent: str,
        tokens_output_cap: int | None,
        is_stream: bool,
        headers: Mapping[str, str] = NO_HEADERS,
    ) -> Outgoing | Refusal:
        """The provider's request; refused with the path of a field that cannot be carried."""

    @abstractmethod
    def _read(self, body: bytes, tally: Tally) -> bytes:
        """The client's answer of the provider's. Raises one of MISFITS, or fills `tally.said` or `tally.broken`."""

    @abstractmethod
    def stream(self) -> "StreamBridge":
        """Read this attempt's stream."""

    def answer(self, status: int, body: bytes) -> Served | Fault:
        """A whole answer with a 2xx status."""
        tally = Tally()
        out = self._read_or_repair(body, tally)
        if tally.broken or tally.said is not None:
            return self._setting.unusable(status, tally, "answer")
        is_filtered = tally.stop_reason == "content_filter"
        return Served(
            out, tally.usage, tally.stop_reason, tally.model_answered, is_filtered, tally.text_bytes, tally.notes
        )

    def _read_or_repair(self, body: bytes, tally: Tally) -> bytes:
        try:
            return self._read(body, tally)
        except MISFITS:
            clean = bodies.repaired(body)
        try:
            tally.notes += ("the answer had NaN or Infinity",)
            return self._read(clean or b"", tally)
        except MISFITS:
            tally.broken = "it is empty" if not body.strip() else "it is not the dialect's JSON"
            return b""

    def fault(self, status: int, headers: Mapping[str, str], body: bytes, *, now_ms: int) -> Fault:
        """An error answer, classified; its body in the client's dialect, byte for byte if it is that already."""
        said = classify.read_error(body)
        error_class = classify.classify(status, said)
        wait = waits.read_retry_after(headers, now_ms=now_ms)
        if wait is None and said is not None:
            wait = said.retry_after_s
        shown = said or Said(f"The provider answered with status {status}.")
        fault = self._setting.fault(error_class, status, shown, retry_after_s=wait)
        is_shown_whole = error_class != "bad_credential" and not classify.has_secret(body)
        if is_shown_whole and self._setting.client.is_own_error(body):
            return msgspec.structs.replace(fault, body=body)
        return fault

    def failed(self, error_class: ErrorClass, message: str) -> Fault:
        """No answer came: connect, timeout, reset."""
        return self._setting.fault(error_class, 0, Said(message))


class StreamBridge(ABC):
    """A provider's stream becoming the client's, frame by frame."""

    def __init__(self, setting: Setting, *, is_end_marked: bool) -> None:
        self._setting = setting
        self._is_end_marked = is_end_marked
        self._splitter = Splitter()
        self._tally = Tally()
        self._is_over = False
        self.has_content = False
        self.text_bytes = 0

    @abstractmethod
    def _take(self, frame: Frame) -> bytes:
        """What a frame says to the client. Raises one of MISFITS."""

    @abstractmethod
    def _end(self) -> bytes:
        """The success end for the client."""

    def _close(self) -> bytes:
        """What the end of the connection says to the client."""
        return b""

    @property
    def usage(self) -> Usage | None:
        """The latest known."""
        return self._tally.usage

    @property
    def stop_reason(self) -> str:
        """The latest known."""
        return self._tally.stop_reason

    @property
    def model_answered(self) -> str:
        """The latest known."""
        return self._tally.model_answered

    def feed(self, chunk: bytes) -> list[Step]:
        """Steps of these bytes."""
        if self._is_over or self._tally.is_terminal:
            return []
        try:
            frames = self._splitter.feed(chunk)
        except Overlong:
            return [self._broken(b"", "a line is longer than 1 MB")]
        return [self._step(frames)] if frames else []

    def finish(self) -> Step:
        """The success end, or the fault that the provider's end of stream is."""
        if self._is_over:
            return Step()
        step = self._step(self._splitter.close())
        if step.fault is not None:
            return step
        tally = self._tally
        out = step.out + (b"" if tally.is_terminal else self._close())
        if not (tally.is_terminal or (tally.is_complete and not self._is_end_marked)):
            return self._broken(out, "it ended without its terminal event")
        if not tally.is_begun:
            return self._broken(out, "it is empty")
        self._is_over = True
        return msgspec.structs.replace(step, out=out + self._end(), is_terminal=True)

    def _step(self, frames: list[Frame]) -> Step:
        tally = self._tally
        tally.has_content, tally.text_bytes, tally.notes = False, 0, ()
        out = b"".join([self._taken(frame) for frame in frames])
        self.has_content = self.has_content or tally.has_content
        self.text_bytes += tally.text_bytes
        if tally.broken or tally.said is not None:
            return self._broken(out, tally.broken)
        return self._made(out, None)

    def _made(self, out: bytes, fault: Fault | None) -> Step:
        tally = self._tally
        return Step(
            out,
            tally.has_content,
            tally.text_bytes,
            tally.usage,
            tally.stop_reason,
            tally.model_answered,
            tally.is_terminal and fault is None,
            fault,
            tally.notes,
        )

    def _taken(self, frame: Frame) -> bytes:
        tally = self._tally
        if tally.broken or tally.said is not None or tally.is_terminal:
            return b""
        if not frame.raw.isascii() and not bodies.is_utf8(frame.raw):
            tally.broken = "an event is not UTF-8"
        elif frame.is_foreign:
            tally.said = classify.read_error(frame.raw)
            tally.broken = "" if tally.said else "it is not an event stream"
        else:
            return self._taken_or_repaired(frame)
        return b""

    def _taken_or_repaired(self, frame: Frame) -> bytes:
        try:
            return self._take(frame)
        except MISFITS:
            data = bodies.repaired(frame.data or b"")
        if data is None:
            self._tally.broken = "an event is not JSON"
            return b""
        event = b"event: %b\n" % frame.event if frame.event else b""
        try:
            out = self._take(Frame(b"%bdata: %b\n\n" % (event, data), data, frame.event))
        except MISFITS:
            self._tally.broken = "an event does not fit the dialect"
            return b""
        self._tally.notes += ("an event had NaN or Infinity",)
        return out

    def _broken(self, out: bytes, what: str) -> Step:
        self._is_over = True
        self._tally.broken = what
        fault = self._setting.unusable(200, self._tally, "stream")
        return self._made(out, msgspec.structs.replace(fault, usage=self._tally.usage))
