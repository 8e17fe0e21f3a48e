import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.conftest import free_port
from tests.telemetry.receiver import OtlpReceiver
from tollway import settings
from tollway.telemetry import Telemetry, names, traceparent
from tollway.telemetry.export import Target, read_target
from tollway.telemetry.logs import UndeclaredNameError

OPEN = dict[str, str | int | float | bool]()
Make = Callable[..., Telemetry]


@pytest.fixture
def receiver() -> Iterator[OtlpReceiver]:
    with OtlpReceiver() as receiver:
        yield receiver


@pytest.fixture
def make() -> Iterator[Make]:
    made = list[Telemetry]()

    def make(environ: dict[str, str], role: str = "ingress") -> Telemetry:
        made.append(Telemetry(settings.read(role, environ)))
        return made[-1]

    yield make
    for telemetry in made:
        telemetry.stop()


def record(telemetry: Telemetry, name: str, trace: str, **more: object) -> None:
    now = time.time_ns()
    telemetry.span(name, trace=trace, start_ns=now - 5000, end_ns=now, attributes={}, **more)  # pyright: ignore


@pytest.mark.parametrize("protocol", ["http/protobuf", "grpc"])
def test_a_sampled_span_arrives_with_its_ids_times_and_attributes(protocol: str, make: Make) -> None:
    with OtlpReceiver(protocol) as receiver:  # pyright: ignore
        telemetry = make(receiver.environment(), role="adapter")
        root = telemetry.begin()
        telemetry.span(
            names.span_attempt(1, "openai", "gpt-4o"),
            trace=root.trace,
            span_id="a" * 16,
            start_ns=1_700_000_000_000_000_001,
            end_ns=1_700_000_000_000_000_099,
            attributes={names.PROVIDER: "openai", names.ATTEMPT_NUMBER: 1, names.IS_STREAM: True, names.TTFT_S: 0.25},
            error="timeout",
            kind="client",
            links=[f"00-{'b' * 32}-{'c' * 16}-01"],
        )
        (span,) = receiver.wait_for(lambda spans: len(spans) == 1)
        telemetry.stop()
    assert (span.trace_id, span.span_id, span.parent_id) == (root.trace_id, "a" * 16, root.span_id)
    assert (span.name, span.service, span.kind) == ("attempt 1 openai:gpt-4o", "adapter", "client")
    assert (span.start_ns, span.end_ns) == (1_700_000_000_000_000_001, 1_700_000_000_000_000_099)
    assert span.attributes == {
        "gen_ai.provider.name": "openai",
        "tollway.attempt_number": 1,
        "gen_ai.request.stream": True,
        "gen_ai.response.time_to_first_chunk": 0.25,
        "error.type": "timeout",
    }
    assert (span.is_error, span.status_message) == (True, "timeout")
    assert span.links == (("b" * 32, "c" * 16),)
    assert span.resource["service.name"] == "tollway-adapter"
    assert span.resource["service.instance.id"] == telemetry.node


def test_a_span_of_a_trace_that_was_not_sampled_stays_until_the_trace_is_kept(
    receiver: OtlpReceiver, make: Make
) -> None:
    telemetry = make(receiver.environment(sample=0))
    failed, fine = telemetry.begin(), telemetry.begin()
    for begun in (failed, fine):
        record(telemetry, names.AUTH, begun.trace)
        record(telemetry, names.HOLD, begun.trace)
    telemetry.keep(failed.trace_id)
    record(telemetry, names.SETTLE, failed.trace)
    record(telemetry, names.SETTLE, fine.trace)
    telemetry.stop()
    assert {span.trace_id for span in receiver.spans} == {failed.trace_id}
    assert sorted(span.name for span in receiver.spans) == ["auth", "hold", "settle"]


def test_a_callers_trace_is_continued_and_the_root_span_names_its_parent(receiver: OtlpReceiver, make: Make) -> None:
    telemetry = make(receiver.environment(sample=0))
    begun = telemetry.begin(f"00-{'4' * 32}-{'5' * 16}-01")
    record(telemetry, "POST /v1/chat/completions", begun.trace, span_id=begun.span_id, parent_id=begun.parent_id)
    record(telemetry, names.AUTH, begun.trace)
    root, auth = receiver.wait_for(lambda spans: len(spans) == 2)
    assert (root.trace_id, root.span_id, root.parent_id) == ("4" * 32, begun.span_id, "5" * 16)
    assert (auth.trace_id, auth.parent_id) == ("4" * 32, begun.span_id)


def test_a_new_trace_has_a_root_without_a_parent(receiver: OtlpReceiver, make: Make) -> None:
    telemetry = make(receiver.environment())
    begun = telemetry.begin("garbage")
    record(telemetry, "POST /v1/chat/completions", begun.trace, span_id=begun.span_id, parent_id=begun.parent_id)
    (root,) = receiver.wait_for(lambda spans: len(spans) == 1)
    assert (root.span_id, root.parent_id) == (begun.span_id, "")
    assert traceparent.is_sampled(begun.trace)


def test_attributes_that_are_not_declared_are_left_out_and_text_is_scrubbed(receiver: OtlpReceiver, make: Make) -> None:
    telemetry = make(receiver.environment())
    attributes = {"prompt": "the caller's words", names.REASON: "provider said sk-abcdefghijkl is wrong"}
    telemetry.span("hold", trace=telemetry.begin().trace, start_ns=1, end_ns=2, attributes=attributes)
    (span,) = receiver.wait_for(lambda spans: len(spans) == 1)
    assert span.attributes == {names.REASON: "provider said [secret] is wrong"}
    assert b"words" not in receiver.requests[0]
    assert telemetry.counter("tollway_telemetry_dropped", "attribute").value == 1


def test_where_names_are_strict_an_undeclared_attribute_raises(receiver: OtlpReceiver, make: Make) -> None:
    telemetry = make({**receiver.environment(), "TOLLWAY_TELEMETRY_STRICT": "1"})
    with pytest.raises(UndeclaredNameError, match="prompt"):
        telemetry.span("hold", trace=telemetry.begin().trace, start_ns=1, end_ns=2, attributes={"prompt": "x"})


def test_without_an_endpoint_nothing_is_made_and_nothing_is_sampled(make: Make) -> None:
    telemetry = make({"TOLLWAY_TRACE_SAMPLE": "1"})
    begun = telemetry.begin()
    record(telemetry, names.AUTH, begun.trace)
    telemetry.keep(begun.trace_id)
    assert not telemetry.is_tracing
    assert not traceparent.is_sampled(begun.trace)
    assert telemetry.counter("tollway_spans", "remembered").value == 0


def test_without_an_endpoint_neither_the_sdk_nor_prometheus_is_loaded() -> None:
    program = (
        "import sys; from tollway import settings; from tollway.telemetry import Telemetry;"
        "Telemetry(settings.read('ingress', {})).log('info', 'started');"
        "sys.exit(any(name.startswith(('opentelemetry', 'prometheus_client', 'grpc')) for name in sys.modules))"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False, stderr=subprocess.DEVNULL).returncode == 0


def test_a_trace_of_nothing_records_nothing(receiver: OtlpReceiver, make: Make) -> None:
    telemetry = make(receiver.environment())
    record(telemetry, names.AUTH, "")
    telemetry.stop()
    assert receiver.spans == []


def test_stopping_sends_what_waits(receiver: OtlpReceiver, make: Make) -> None:
    telemetry = make({**receiver.environment(), "OTEL_BSP_SCHEDULE_DELAY": "60000"})
    for _ in range(700):
        record(telemetry, names.AUTH, telemetry.begin().trace)
    telemetry.stop()
    assert len(receiver.spans) == 700


def test_stopping_ends_though_the_endpoint_is_dead(make: Make) -> None:
    telemetry = make({"OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{free_port()}", "TOLLWAY_TRACE_SAMPLE": "1"})
    record(telemetry, names.AUTH, telemetry.begin().trace)
    before = time.monotonic()
    telemetry.stop(timeout_s=0.2)
    assert time.monotonic() - before < 20
    record(telemetry, names.AUTH, "00-" + "1" * 32 + "-" + "1" * 16 + "-01")


@pytest.mark.parametrize(
    ("environ", "target"),
    [
        ({}, None),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4318/"}, Target("http://c:4318/v1/traces", "http/protobuf")),
        (
            {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4317", "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"},
            Target("http://c:4317", "grpc"),
        ),
        (
            {"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://t/x", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://c"},
            Target("http://t/x", "http/protobuf"),
        ),
        (
            {
                "OTEL_EXPORTER_OTLP_ENDPOINT": "http://c",
                "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc",
                "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL": "http/protobuf",
                "OTEL_BSP_SCHEDULE_DELAY": "50",
            },
            Target("http://c/v1/traces", "http/protobuf", 50),
        ),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c", "OTEL_SDK_DISABLED": "true"}, None),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c", "OTEL_TRACES_EXPORTER": "none"}, None),
    ],
)
def test_the_standard_variables_say_where_spans_go(environ: dict[str, str], target: Target | None) -> None:
    assert read_target(environ) == target


@pytest.mark.parametrize("environ", [{"TOLLWAY_TRACE_SAMPLE": "often"}, {"TOLLWAY_TRACE_RING": "-1"}])
def test_a_variable_that_cannot_be_used_is_named(environ: dict[str, str], tmp_path: Path) -> None:
    with pytest.raises(settings.SettingsError, match=next(iter(environ))):
        Telemetry(settings.read("ingress", environ))
