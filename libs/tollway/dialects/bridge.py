"""The face of this package: read an intake, make a bridge for one attempt, send its request, read its answer."""

from collections.abc import Mapping
from typing import Final

import msgspec

from tollway.dialects import bodies, classify, openai_chat, waits
from tollway.dialects.classify import Said
from tollway.dialects.dialect import Dialect, Tally, Target
from tollway.dialects.exchange import (
    CONTENT_TYPE_JSON,
    CONTENT_TYPE_SSE,
    NO_HEADERS,
    Intake,
    Outgoing,
    Served,
    Step,
)
from tollway.dialects.faults import STATUS_WITHOUT_ANSWER, ErrorClass, Fault
from tollway.dialects.rows import ProviderRow, output_limit_param, refused_params
from tollway.dialects.sse import Frame, Overlong, Splitter
from tollway.wire.plan import DialectName, Surface
from tollway.wire.refusals import Refusal, refuse
from tollway.wire.usage import Usage

__all__ = [
    "CONTENT_TYPE_JSON",
    "CONTENT_TYPE_SSE",
    "Bridge",
    "Fault",
    "Intake",
    "Outgoing",
    "Served",
    "Step",
    "StreamBridge",
    "bridge",
    "error_event",
    "read_intake",
    "receipt_comment",
    "write_refusal",
]

DIALECTS: Final[dict[DialectName, Dialect]] = {"openai_chat": openai_chat.DIALECT}

SURFACES: Final[dict[DialectName, Surface]] = {
    "openai_chat": "chat",
    "openai_responses": "responses",
    "openai_completions": "completions",
    "openai_embeddings": "embeddings",
    "anthropic_messages": "messages",
    "gemini": "chat",
}
"""The surface of a dialect where the caller of this module does not name one."""


def read_intake(dialect: DialectName, body: bytes, *, surface: Surface | None = None) -> Intake | Refusal:
    """What the gateway must know of a request, or `invalid_request_body` with the path in `param`."""
    fields = bodies.read_fields(body)
    if isinstance(fields, Refusal):
        return fields
    return DIALECTS[dialect].intake(body, fields, surface or SURFACES[dialect])


def bridge(
    client: DialectName,
    provider: DialectName,
    row: ProviderRow,
    *,
    surface: Surface | None = None,
    request_id: str = "",
) -> "Bridge | Refusal":
    """A bridge for one attempt; refused where no way leads from the client's dialect to the provider's."""
    if client != provider:
        return refuse("unsupported_parameter", f"A {client} request cannot be carried to a {provider} provider.")
    return Bridge(DIALECTS[client], row, surface or SURFACES[client], request_id)


class Bridge:
    """One attempt with a provider that speaks the client's dialect: bytes pass, owned fields excepted."""

    def __init__(self, dialect: Dialect, row: ProviderRow, surface: Surface, request_id: str) -> None:
        self._client = dialect
        self._faults = FaultMaker(dialect, request_id)
        self._row = row
        self._surface: Surface = surface
        self._is_usage_asked = False

    def request(
        self,
        body: bytes,
        *,
        model_sent: str,
        tokens_output_cap: int | None,
        is_stream: bool,
        headers: Mapping[str, str] = NO_HEADERS,
    ) -> Outgoing | Refusal:
        """The provider's request."""
        fields = bodies.read_fields(body)
        if isinstance(fields, Refusal):
            return fields
        target = Target(
            self._row,
            self._surface,
            model_sent,
            tokens_output_cap,
            is_stream,
            refused_params(self._row, model_sent),
            output_limit_param(self._row, model_sent),
        )
        self._is_usage_asked = b'"include_usage"' in bytes(fields.get("stream_options", b"")) and _asks_usage(fields)
        dropped = self._client.own(fields, target)
        path = self._client.path(target) + self._row.query
        return Outgoing(path, bodies.join_fields(fields), self._client.headers(headers), dropped)

    def answer(self, status: int, body: bytes) -> Served | Fault:
        """A whole answer with a 2xx status."""
        tally = Tally()
        clean = self._tapped(body, tally)
        if clean is None or tally.broken or tally.said is not None:
            return self._unusable(status, body, tally)
        return Served(
            clean,
            tally.usage,
            tally.stop_reason,
            tally.model_answered,
            tally.stop_reason == "content_filter",
            tally.text_bytes,
            tally.notes,
        )

    def _tapped(self, body: bytes, tally: Tally) -> bytes | None:
        for candidate in (body, None):
            clean = candidate if candidate is not None else bodies.repaired(body)
            try:
                self._client.tap_answer(clean or b"", tally)
            except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
                continue
            return clean
        return None

    def _unusable(self, status: int, body: bytes, tally: Tally) -> Fault:
        if tally.said is not None:
            return self._faults.make(classify.classify(status, tally.said), status, tally.said)
        message = tally.broken or (
            "the answer is empty" if not body.strip() else "the answer is not the dialect's JSON"
        )
        return self._faults.make("malformed", 0, Said(f"The provider's answer was malformed: {message}."))

    def fault(self, status: int, headers: Mapping[str, str], body: bytes, *, now_ms: int) -> Fault:
        """An error answer, classified; its body in the client's dialect."""
        said = classify.read_error(body)
        error_class = classify.classify(status, said)
        if said is None:
            said = Said(f"The provider answered with status {status}.")
        wait = waits.read_retry_after(headers, now_ms=now_ms)
        fault = self._faults.make(error_class, status, said, retry_after_s=wait)
        if self._client.is_own_error(body) and error_class != "bad_credential" and not classify.has_secret(body):
            return msgspec.structs.replace(fault, body=body)
        return fault

    def failed(self, error_class: ErrorClass, message: str) -> Fault:
        """No answer came: connect, timeout, reset."""
        return self._faults.make(error_class, 0, Said(message))

    def stream(self) -> "StreamBridge":
        """Read this attempt's stream."""
        return StreamBridge(
            self._client, self._faults, is_usage_asked=self._is_usage_asked, is_end_marked=self._row.is_done_marker_sent
        )


def _asks_usage(fields: bodies.Fields) -> bool:
    options = msgspec.json.decode(fields["stream_options"])
    return isinstance(options, dict) and options.get("include_usage") is True  # pyright: ignore[reportUnknownMemberType]


class FaultMaker(msgspec.Struct, frozen=True):
    """Makes faults with their bodies in the client's dialect."""

    client: Dialect
    request_id: str

    def make(self, error_class: ErrorClass, status: int, said: Said, *, retry_after_s: float | None = None) -> Fault:
        """`status` below 400: the provider sent none."""
        shown = status if status >= 400 else STATUS_WITHOUT_ANSWER[error_class]
        body = self.client.write_error(shown, said, self.request_id)
        return Fault(error_class, shown, said.message, said.code or said.kind, retry_after_s, body)


class StreamBridge:
    """A stream that passes through: frames are looked at and forwarded as they came."""

    def __init__(self, dialect: Dialect, faults: FaultMaker, *, is_usage_asked: bool, is_end_marked: bool) -> None:
        self._dialect = dialect
        self._faults = faults
        self._is_usage_asked = is_usage_asked
        self._is_end_marked = is_end_marked
        self._splitter = Splitter()
        self._tally = Tally()
        self._is_over = False
        self.has_content = False
        self.text_bytes = 0

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
        """The success terminator, or the fault that the provider's end of stream is."""
        if self._is_over:
            return Step()
        step = self._step(self._splitter.close())
        if step.fault is not None:
            return step
        self._is_over = True
        tally = self._tally
        if not (tally.is_terminal or (tally.is_complete and not self._is_end_marked)):
            return self._broken(step.out, "the stream ended without its terminal event")
        if not tally.is_begun:
            return self._broken(step.out, "the stream is empty")
        out = step.out + self._dialect.terminator
        return msgspec.structs.replace(step, out=out, is_terminal=True)

    def _step(self, frames: list[Frame]) -> Step:
        tally = self._tally
        tally.has_content, tally.text_bytes, tally.notes = False, 0, ()
        out = b"".join([raw for frame in frames if (raw := self._passed(frame))])
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

    def _passed(self, frame: Frame) -> bytes:
        tally = self._tally
        if tally.broken or tally.said is not None or tally.is_terminal:
            return b""
        if not frame.raw.isascii() and not bodies.is_utf8(frame.raw):
            tally.broken = "an event is not UTF-8"
        elif frame.is_foreign:
            self._foreign(frame)
        else:
            return self._tapped(frame)
        return b""

    def _tapped(self, frame: Frame) -> bytes:
        try:
            is_kept = self._dialect.tap_frame(frame, self._tally, self._is_usage_asked)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return self._repaired(frame)
        return frame.raw if is_kept and self._tally.said is None else b""

    def _repaired(self, frame: Frame) -> bytes:
        data = bodies.repaired(frame.data or b"")
        if data is None:
            self._tally.broken = "an event is not JSON"
            return b""
        event = b"event: %b\n" % frame.event if frame.event else b""
        clean = Frame(b"%bdata: %b\n\n" % (event, data), data, frame.event)
        try:
            is_kept = self._dialect.tap_frame(clean, self._tally, self._is_usage_asked)
        except msgspec.DecodeError:
            self._tally.broken = "an event does not fit the dialect"
            return b""
        self._tally.notes += ("an event had NaN or Infinity",)
        return clean.raw if is_kept else b""

    def _foreign(self, frame: Frame) -> None:
        self._tally.said = classify.read_error(frame.raw)
        self._tally.broken = "" if self._tally.said else "the answer is not an event stream"

    def _broken(self, out: bytes, what: str) -> Step:
        self._is_over = True
        said = self._tally.said
        if said is not None:
            fault = self._faults.make(classify.classify(200, said), 0, said)
        else:
            fault = self._faults.make("malformed", 0, Said(f"The provider's stream was malformed: {what}."))
        return self._made(out, msgspec.structs.replace(fault, usage=self._tally.usage))


def _said(refusal: Refusal) -> Said:
    return Said(refusal.message, refusal.rule.kind, refusal.code, refusal.param)


def write_refusal(dialect: DialectName, refusal: Refusal, request_id: str) -> bytes:
    """An error body in the caller's dialect."""
    return DIALECTS[dialect].write_error(refusal.rule.status, _said(refusal), request_id)


def error_event(dialect: DialectName, refusal: Refusal, request_id: str) -> bytes:
    """The in-band error of a begun stream; no success terminator."""
    return DIALECTS[dialect].write_error_event(refusal.rule.status, _said(refusal), request_id)


def receipt_comment(fields: Mapping[str, str]) -> bytes:
    """A comment line that clients ignore and people read: `: tollway-cost=0.000012 …`."""
    return b": %b\n\n" % " ".join(f"{name}={value}" for name, value in fields.items()).encode()
