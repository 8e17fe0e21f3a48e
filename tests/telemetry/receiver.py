"""An OTLP receiver: takes spans over HTTP (protobuf) or gRPC and keeps them as plain objects to assert on.

with OtlpReceiver() as receiver:
    environment |= receiver.environment()
    …
    spans = receiver.wait_for(lambda spans: len(spans) == 3)
"""

import gzip
import threading
import time
from collections.abc import Callable, Iterable
from concurrent import futures
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Literal

import grpc
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2_grpc import (
    TraceServiceServicer,
    add_TraceServiceServicer_to_server,
)
from opentelemetry.proto.common.v1.common_pb2 import KeyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

Value = str | int | float | bool | None


@dataclass(frozen=True)
class ReceivedSpan:
    """One span as it came over the wire. Ids are hex; `parent_id` "" is a root; `service` without `tollway-`."""

    trace_id: str
    span_id: str
    parent_id: str
    name: str
    service: str
    kind: str
    start_ns: int
    end_ns: int
    attributes: dict[str, Value]
    is_error: bool
    status_message: str
    links: tuple[tuple[str, str], ...] = ()
    resource: dict[str, Value] = field(default_factory=dict)


class OtlpReceiver:
    """A collector on loopback. `start`/`stop`, or a `with`; `spans` as they came; `forget` empties it."""

    def __init__(self, protocol: Literal["http/protobuf", "grpc"] = "http/protobuf") -> None:
        self.protocol = protocol
        self.spans: list[ReceivedSpan] = []
        self.requests: list[bytes] = []
        self.port = 0
        self._arrived = threading.Condition()
        self._stop: Callable[[], None] = lambda: None

    @property
    def endpoint(self) -> str:
        """For OTEL_EXPORTER_OTLP_ENDPOINT."""
        return f"http://127.0.0.1:{self.port}"

    def environment(self, *, sample: float = 1.0) -> dict[str, str]:
        """Variables that send a process's spans here, soon."""
        return {
            "OTEL_EXPORTER_OTLP_ENDPOINT": self.endpoint,
            "OTEL_EXPORTER_OTLP_PROTOCOL": self.protocol,
            "OTEL_BSP_SCHEDULE_DELAY": "100",
            "TOLLWAY_TRACE_SAMPLE": str(sample),
        }

    def start(self) -> "OtlpReceiver":
        """Listen on a free port."""
        self.port, self._stop = _http_server(self._take) if self.protocol != "grpc" else _grpc_server(self._take)
        return self

    def stop(self) -> None:
        """Stop listening; what was received stays."""
        self._stop()
        self._stop = lambda: None

    def __enter__(self) -> "OtlpReceiver":
        return self.start()

    def __exit__(self, *_error: object) -> None:
        self.stop()

    def forget(self) -> None:
        """Begin anew."""
        with self._arrived:
            self.spans.clear()
            self.requests.clear()

    def trace(self, trace_id: str) -> list[ReceivedSpan]:
        """The spans of one trace that have come, by start."""
        return sorted((s for s in list(self.spans) if s.trace_id == trace_id), key=lambda s: s.start_ns)

    def wait_for(
        self, is_enough: Callable[[list[ReceivedSpan]], bool], *, within_s: float = 10.0
    ) -> list[ReceivedSpan]:
        """All spans, once they are enough. Fails with what did come."""
        end = time.monotonic() + within_s
        with self._arrived:
            while not is_enough(list(self.spans)):
                left_s = end - time.monotonic()
                assert left_s > 0, f"not enough spans in time; came: {[(s.service, s.name) for s in self.spans]}"
                self._arrived.wait(left_s)
            return list(self.spans)

    def _take(self, payload: bytes) -> None:
        message = ExportTraceServiceRequest.FromString(payload)
        with self._arrived:
            self.requests.append(payload)
            self.spans.extend(_read(message))
            self._arrived.notify_all()


def _http_server(take: Callable[[bytes], None]) -> tuple[int, Callable[[], None]]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length", 0)))
            is_ours = self.path == "/v1/traces"
            if is_ours:
                take(gzip.decompress(body) if self.headers.get("content-encoding") == "gzip" else body)
            self.send_response(200 if is_ours else 404)
            self.send_header("content-type", "application/x-protobuf")
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002  the base class's name
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()

    def stop() -> None:
        server.shutdown()
        server.server_close()
        thread.join()

    return server.server_address[1], stop


def _grpc_server(take: Callable[[bytes], None]) -> tuple[int, Callable[[], None]]:
    class Servicer(TraceServiceServicer):
        def Export(self, request: ExportTraceServiceRequest, context: object) -> ExportTraceServiceResponse:
            take(request.SerializeToString())
            return ExportTraceServiceResponse()

    server = grpc.server(futures.ThreadPoolExecutor(2))
    add_TraceServiceServicer_to_server(Servicer(), server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    return port, lambda: server.stop(None).wait()


def _read(message: ExportTraceServiceRequest) -> Iterable[ReceivedSpan]:
    for group in message.resource_spans:
        resource = _attributes(group.resource.attributes)
        for scope in group.scope_spans:
            for span in scope.spans:
                yield _span(span, resource)


def _span(span: Span, resource: dict[str, Value]) -> ReceivedSpan:
    return ReceivedSpan(
        trace_id=span.trace_id.hex(),
        span_id=span.span_id.hex(),
        parent_id=span.parent_span_id.hex(),
        name=span.name,
        service=str(resource.get("service.name", "")).removeprefix("tollway-"),
        kind=Span.SpanKind.Name(span.kind).removeprefix("SPAN_KIND_").lower(),
        start_ns=span.start_time_unix_nano,
        end_ns=span.end_time_unix_nano,
        attributes=_attributes(span.attributes),
        is_error=span.status.code == Status.StatusCode.STATUS_CODE_ERROR,
        status_message=span.status.message,
        links=tuple((link.trace_id.hex(), link.span_id.hex()) for link in span.links),
        resource=resource,
    )


def _attributes(pairs: Iterable[KeyValue]) -> dict[str, Value]:
    return {pair.key: _value(pair) for pair in pairs}


def _value(pair: KeyValue) -> Value:
    kind = pair.value.WhichOneof("value")
    return getattr(pair.value, kind) if kind else None
