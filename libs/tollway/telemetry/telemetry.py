"""The one object through which a service reports: spans, log lines, metrics."""

import logging
from collections.abc import Callable, Mapping, Sequence
from importlib import metadata
from typing import TYPE_CHECKING, Final, TextIO

import msgspec

from tollway import clock, ids
from tollway.settings import Settings, SettingsError
from tollway.telemetry import export, traceparent
from tollway.telemetry.logs import Level as LogLevel
from tollway.telemetry.logs import LibraryHandler, Logs
from tollway.telemetry.metrics import Board, Count, Level, Spread
from tollway.telemetry.ring import Attributes, Event, Ring
from tollway.telemetry.sampling import Sampler, read_sampler

if TYPE_CHECKING:
    from opentelemetry.sdk.trace.export import SpanExporter

RING_SPANS_DEFAULT: Final = 16_384
TELEMETRY_HELP: Final[dict[str, str]] = {
    "OTEL_EXPORTER_OTLP_ENDPOINT": "where spans go; without it no spans are made (none)",
    "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf or grpc (http/protobuf)",
    "TOLLWAY_TRACE_SAMPLE": "share of traces exported as they come; failed and failed-over ones always are (0.01)",
    "TOLLWAY_TRACE_RING": "spans remembered for a minute, per process, in case their trace is kept (16384)",
    "TOLLWAY_LOG_LEVEL": "debug, info, warning or error (info)",
    "TOLLWAY_METRICS_HOST": "address that /metrics listens on (127.0.0.1)",
    "TOLLWAY_TELEMETRY_STRICT": "1: names that are not declared raise instead of being dropped (0)",
}


class Begun(msgspec.Struct, frozen=True):
    """A request's place in a trace. `trace` goes on to everybody that works for it; its span id is the root span's.

    `parent_id` is the caller's span, "" if there is none.
    """

    trace: str
    span_id: str
    parent_id: str

    @property
    def trace_id(self) -> str:
        """32 hex digits, as told to the caller."""
        return traceparent.trace_id_of(self.trace)


class Telemetry:
    """Spans, logs and metrics of one process. The runtime makes it, calls `capture_libraries` and
    `serve_metrics`, and `stop` at the end.

    Without an OTLP endpoint a span costs 0.15 µs and nothing is remembered.
    Raises SettingsError for a variable that cannot be used.
    """

    def __init__(
        self, settings: Settings, *, exporter: "SpanExporter | None" = None, stream: TextIO | None = None
    ) -> None:
        env = settings.environ
        is_strict = env.get("TOLLWAY_TELEMETRY_STRICT") == "1"
        self.service = settings.role
        self.node = settings.node
        self.board = Board()
        self._sampler = _sampler(env)
        self._ring = Ring(_ring_spans(env))
        self._logs = Logs(
            service=self.service,
            node=self.node,
            level=env.get("TOLLWAY_LOG_LEVEL", "info"),
            is_strict=is_strict,
            stream=stream,
            on_dropped=self._count_dropped,
        )
        self._outlet = self._open_outlet(env, exporter, is_strict=is_strict)
        self._metrics = (env.get("TOLLWAY_METRICS_HOST", "127.0.0.1"), settings.metrics_port)
        self._stop_metrics: Callable[[], None] | None = None
        self._spans = {fate: self.counter("tollway_spans", fate) for fate in ("exported", "remembered", "kept")}
        self._remembered = self._spans["remembered"]
        self.gauge("tollway_build_info", metadata.version("tollway")).set(1)

    # --- spans -------------------------------------------------------------------------------------------------------

    @property
    def is_tracing(self) -> bool:
        """Whether spans go anywhere; if not, there is no need to collect their attributes."""
        return self._outlet is not None

    def begin(self, incoming: str = "") -> Begun:
        """Continue the caller's trace, or start one; decides whether it is sampled. 2 µs."""
        parent = traceparent.parse(incoming) if incoming else None
        trace_id = parent.trace_id if parent else ids.new_trace_id()
        is_sampled = self._outlet is not None and self._sampler.is_sampled(trace_id, parent)
        span_id = ids.new_span_id()
        trace = traceparent.make(trace_id=trace_id, span_id=span_id, is_sampled=is_sampled)
        return Begun(trace, span_id, parent.span_id if parent else "")

    def span(
        self,
        name: str,
        *,
        trace: str,
        span_id: str = "",
        parent_id: str | None = None,
        start_ns: int,
        end_ns: int,
        attributes: Attributes,
        error: str | None = None,
        kind: str = "internal",
        links: Sequence[str] = (),
        events: Sequence[Event] = (),
    ) -> None:
        """Record a span after the fact, when it has ended.

        `trace` is a traceparent; "" records nothing. Its span id is the parent unless `parent_id` is given ("": no
        parent). `error` is a class of error: it sets the status and `error.type`. `links` are traceparents.
        `attributes` is kept, not copied: do not change it afterwards.

        Sampled: exported (8 µs). Not sampled: remembered for 60 s at most, in case `keep` comes (1 µs).
        """
        outlet = self._outlet
        if outlet is None or not trace:
            return
        span = (name, trace, span_id, parent_id, start_ns, end_ns, attributes, error, kind, links, events)
        if trace[-1] == "1":
            self._spans["exported"].value += 1
            outlet.export(span)
        elif self._ring.add(span):
            self._remembered.value += 1
        else:
            self._spans["kept"].value += 1
            outlet.export(span)

    def keep(self, trace_id: str) -> None:
        """Export what is remembered of a trace, and whatever of it is recorded within the next 60 s. Repeat: harmless.

        A span that was remembered longer ago than the ring reaches is gone: record spans when the request ends.
        """
        if self._outlet is None:
            return
        for span in self._ring.keep(trace_id, clock.now_ns()):
            self._spans["kept"].value += 1
            self._outlet.export(span)

    # --- logs --------------------------------------------------------------------------------------------------------

    def log(self, level: LogLevel, event: str, **fields: object) -> None:
        """One JSON line on stderr. `event` is a fixed word; fields are declared in `names.LOG_FIELDS`.

        `error` may be an exception: its type and the places it came through are shown, not its message, which may
        quote what must not be logged. Never a body, a key or a value of the caller's.
        """
        self._logs.log(level, event, fields)

    def capture_libraries(self) -> None:
        """Let warnings and errors of libraries come out as lines of ours (root handler of `logging`)."""
        root = logging.getLogger()
        root.handlers = [LibraryHandler(self._logs)]
        root.setLevel(logging.WARNING)

    # --- metrics -----------------------------------------------------------------------------------------------------

    def counter(self, name: str, *values: str) -> Count:
        """The cell of a declared counter for these label values, in the table's order: bind it once, `.add()` often."""
        return self.board.counter(name, *values)

    def gauge(self, name: str, *values: str) -> Level:
        """The cell of a declared gauge: `.set()`, `.add()`, or give it a `.read` that is called when scraped."""
        return self.board.gauge(name, *values)

    def histogram(self, name: str, *values: str) -> Spread:
        """The cell of a declared histogram: `.observe()` in the metric's unit (seconds)."""
        return self.board.histogram(name, *values)

    def serve_metrics(self) -> None:
        """Serve `/metrics` from a thread if there is a port for it. Raises SettingsError when the port is taken."""
        host, port = self._metrics
        if not port or self._stop_metrics is not None:
            return
        from tollway.telemetry import scrape  # memory that a process without the port does not need

        try:
            self._stop_metrics = scrape.serve(self.board, host=host, port=port)
        except OSError as error:
            raise SettingsError(f"TOLLWAY_METRICS_PORT: {host}:{port}: {error.strerror}") from None

    # --- the end -----------------------------------------------------------------------------------------------------

    def stop(self, timeout_s: float = 3.0) -> None:
        """Flush logs and spans and close `/metrics`, within about `timeout_s`. Blocks: a process does it last."""
        outlet, self._outlet = self._outlet, None
        if outlet is not None and not outlet.stop(timeout_s):
            self.log("warning", "spans_lost", reason="the OTLP endpoint did not take them in time")
        if self._stop_metrics is not None:
            self._stop_metrics()
            self._stop_metrics = None
        self._logs.flush()

    def flush(self) -> None:
        """Write the log lines that wait."""
        self._logs.flush()

    def _open_outlet(
        self, env: Mapping[str, str], exporter: "SpanExporter | None", *, is_strict: bool
    ) -> export.Outlet | None:
        target = export.read_target(env)
        if exporter is None and target is None:
            return None
        return export.Outlet(
            exporter or export.open_exporter(target or export.Target("", "")),
            service=self.service,
            node=self.node,
            delay_ms=target.delay_ms if target else 1000,
            is_strict=is_strict,
            on_dropped=self._count_dropped,
        )

    def _count_dropped(self, what: str) -> None:
        self.counter("tollway_telemetry_dropped", what).add()


def _sampler(env: Mapping[str, str]) -> Sampler:
    try:
        return read_sampler(env)
    except ValueError as error:
        raise SettingsError(str(error)) from None


def _ring_spans(env: Mapping[str, str]) -> int:
    text = env.get("TOLLWAY_TRACE_RING", "")
    if text and not text.isdecimal():
        raise SettingsError(f"TOLLWAY_TRACE_RING: expected a number of spans, got {text!r}")
    return int(text) if text else RING_SPANS_DEFAULT
