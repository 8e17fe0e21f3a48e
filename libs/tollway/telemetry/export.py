"""Spans to OpenTelemetry: our tuples become the SDK's `ReadableSpan`, its batch processor sends them by OTLP.

The SDK costs 12 MB and half a second to import, so it is imported where an endpoint is configured, and nowhere else.
"""

import threading
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Final, TypeAlias

import msgspec

from tollway import ids
from tollway.telemetry import names
from tollway.telemetry.logs import UndeclaredNameError
from tollway.telemetry.ring import Attributes, SpanTuple
from tollway.telemetry.scrub import scrub

if TYPE_CHECKING:
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import ReadableSpan
    from opentelemetry.sdk.trace.export import SpanExporter

NAMESPACE: Final = "tollway"
_QUEUE_MAX: Final = 8192
_BATCH_MAX: Final = 512
_DELAY_MS: Final = 1000
_OFF: Final = ("true", "1")


class Target(msgspec.Struct, frozen=True):
    """Where spans go. `protocol` is `http/protobuf` or `grpc`, `endpoint` complete (with `/v1/traces` for HTTP)."""

    endpoint: str
    protocol: str
    delay_ms: int = _DELAY_MS


def read_target(environ: Mapping[str, str]) -> Target | None:
    """The standard variables; None: no endpoint, or traces are switched off.

    Read here: OTEL_EXPORTER_OTLP_[TRACES_]ENDPOINT and _PROTOCOL, OTEL_BSP_SCHEDULE_DELAY (default 1000, not the
    SDK's 5000), OTEL_TRACES_EXPORTER=none, OTEL_SDK_DISABLED. The SDK reads the others (headers, certificates,
    timeout, compression, OTEL_RESOURCE_ATTRIBUTES) by itself.
    """
    if environ.get("OTEL_SDK_DISABLED", "").lower() in _OFF or environ.get("OTEL_TRACES_EXPORTER") == "none":
        return None
    base, exact = environ.get("OTEL_EXPORTER_OTLP_ENDPOINT", ""), environ.get("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "")
    if not base and not exact:
        return None
    protocol = environ.get("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL") or environ.get("OTEL_EXPORTER_OTLP_PROTOCOL", "")
    path = "" if protocol == "grpc" else "/v1/traces"
    delay = environ.get("OTEL_BSP_SCHEDULE_DELAY", "")
    return Target(
        endpoint=exact or base.rstrip("/") + path,
        protocol=protocol or "http/protobuf",
        delay_ms=int(delay) if delay.isdecimal() and int(delay) else _DELAY_MS,
    )


def open_exporter(target: Target) -> "SpanExporter":
    """The SDK's exporter for a target. Connects when it first sends."""
    if target.protocol == "grpc":
        from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter as GrpcExporter

        return GrpcExporter(endpoint=target.endpoint, insecure=not target.endpoint.startswith("https://"))
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter as HttpExporter

    return HttpExporter(endpoint=target.endpoint)


class Outlet:
    """Takes span tuples, hands `ReadableSpan`s to the batch processor. About 8 µs a span on the calling thread, and
    30 µs in the processor's thread when the batch is encoded: that is why spans are sampled."""

    def __init__(
        self,
        exporter: "SpanExporter",
        *,
        service: str,
        node: str,
        delay_ms: int = _DELAY_MS,
        is_strict: bool = False,
        on_dropped: Callable[[str], None] = lambda _what: None,
    ) -> None:
        from opentelemetry.sdk.trace.export import BatchSpanProcessor

        self._processor = BatchSpanProcessor(
            exporter,
            max_queue_size=_QUEUE_MAX,
            max_export_batch_size=_BATCH_MAX,
            schedule_delay_millis=delay_ms,
        )
        self._is_strict = is_strict
        self._on_dropped = on_dropped
        self._resource = _resource(service, node)
        self._readable = _reader(self._resource)

    def export(self, span: SpanTuple) -> None:
        """Queue one span; when 8192 wait, the oldest is dropped (and said so in the log, by the SDK)."""
        events = [(name, at_ns, self._declared(name, attributes)) for name, at_ns, attributes in span[10]]
        self._processor.on_end(self._readable(span, self._declared(span[0], span[6]), events))

    def stop(self, timeout_s: float) -> bool:
        """Send what waits, for at most so long. False: time was up and the rest is lost."""
        closing = threading.Thread(target=self._processor.shutdown, name="spans-closing", daemon=True)
        closing.start()
        closing.join(timeout_s)
        return not closing.is_alive()

    def _declared(self, span: str, attributes: Attributes) -> dict[str, str | int | float | bool]:
        """What may be shown: declared names, scrubbed text."""
        kept: dict[str, str | int | float | bool] = {}
        for name, value in attributes.items():
            if name in names.ATTRIBUTES:
                kept[name] = scrub(value) if isinstance(value, str) else value
            else:
                self._undeclared(span, name)
        return kept

    def _undeclared(self, span: str, name: str) -> None:
        self._on_dropped("attribute")
        if self._is_strict:
            raise UndeclaredNameError(f"attribute {name!r} of span {span!r} is not in names.ATTRIBUTES")


def _resource(service: str, node: str) -> "Resource":
    from opentelemetry.sdk.resources import Resource

    return Resource.create(
        {"service.name": f"{NAMESPACE}-{service}", "service.namespace": NAMESPACE, "service.instance.id": node}
    )


_Shown: TypeAlias = dict[str, str | int | float | bool]
_Readable: TypeAlias = Callable[[SpanTuple, _Shown, Sequence[tuple[str, int, _Shown]]], "ReadableSpan"]


def _reader(resource: "Resource") -> _Readable:
    """Make the function that turns tuples into the SDK's spans, its classes looked up once."""
    from opentelemetry.sdk.trace import Event, ReadableSpan
    from opentelemetry.sdk.util.instrumentation import InstrumentationScope
    from opentelemetry.trace import Link, SpanContext, SpanKind, Status, StatusCode, TraceFlags

    scope = InstrumentationScope(NAMESPACE)
    sampled, fine = TraceFlags(TraceFlags.SAMPLED), Status(StatusCode.UNSET)
    kinds = {kind.name.lower(): kind for kind in SpanKind}

    def context(trace_id: str, span_id: str) -> SpanContext:
        return SpanContext(int(trace_id, 16), int(span_id, 16), is_remote=False, trace_flags=sampled)

    def readable(span: SpanTuple, attributes: _Shown, events: Sequence[tuple[str, int, _Shown]]) -> ReadableSpan:
        name, trace, span_id, parent_id, start_ns, end_ns, _, error, kind, links, _ = span
        trace_id, parent_id = trace[3:35], trace[36:52] if parent_id is None else parent_id
        if error is not None:
            attributes.setdefault(names.ERROR_TYPE, scrub(error))
        return ReadableSpan(
            name=name,
            context=context(trace_id, span_id or ids.new_span_id()),
            parent=context(trace_id, parent_id) if parent_id else None,
            resource=resource,
            attributes=attributes,
            links=[Link(context(link[3:35], link[36:52])) for link in links],
            events=[Event(what, facts, at_ns) for what, at_ns, facts in events],
            kind=kinds[kind],
            status=fine if error is None else Status(StatusCode.ERROR, scrub(error)),
            start_time=start_ns,
            end_time=max(start_ns, end_ns),
            instrumentation_scope=scope,
        )

    return readable
