"""What the adapter tells: a span for each attempt with the ledger's ids, and the health of targets."""

from collections.abc import Sequence
from pathlib import Path

import pytest
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

from tests.adapter.conftest import Bench, candidate, close_bench, open_bench, until
from tollway import settings
from tollway.adapter.handlers import Adapter
from tollway.bus.memory import Broker, MemoryBus
from tollway.runtime import Edge
from tollway.telemetry import Telemetry
from tollway.wire import subjects
from tollway.wire.envelope import Context
from tollway.wire.plan import HealthSeen, Skipped
from tollway.wire.work import AskOffer, Beat, Piece

TRACE = "00-" + "ab" * 16 + "-" + "cd" * 8 + "-01"


class Kept(SpanExporter):
    """Keeps what would be sent."""

    def __init__(self) -> None:
        self.spans: list[ReadableSpan] = []

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        self.spans.extend(spans)
        return SpanExportResult.SUCCESS


async def _traced(bench: Bench, tmp_path: Path) -> tuple[Kept, Adapter]:
    """A second adapter that exports its spans, in a pool of its own."""
    kept = Kept()
    environ = {
        "TOLLWAY_DATA_DIR": str(tmp_path / "traced"),
        "TOLLWAY_POOL": "traced",
        "TOLLWAY_SIMULATOR_BASE_URL": bench.simulator.base_url + "/v1",
        "TOLLWAY_TELEMETRY_STRICT": "1",
    }
    told = settings.read("adapter", environ)
    adapter = Adapter(Edge(told, MemoryBus(told.node, bench.broker), Telemetry(told, exporter=kept)))
    await adapter.start()
    return kept, adapter


async def test_every_attempt_is_a_span_whose_id_is_the_usage_rows(bench: Bench, tmp_path: Path) -> None:
    kept, adapter = await _traced(bench, tmp_path)
    ended: list[Piece] = []
    skipped = (Skipped("openai", "gpt-4o", "managed:openai", "open:server"),)
    work = bench.work(candidate("fail-429"), candidate("echo"), skipped=skipped)
    await bench.ingress.listen(work.inbox, [Piece], lambda piece, _context, _subject: ended.append(piece))
    bench.ingress.tell(subjects.dispatch("traced"), work, context=Context(work.request_id, trace=TRACE))
    await until(lambda: ended and ended[-1].end)
    await until(lambda: work.request_id in bench.facts)
    rows = bench.facts[work.request_id][0].attempts
    adapter._telemetry.stop()
    spans = {span.name: span for span in kept.spans}
    assert set(spans) == {"work", "attempt 1 simulator:fail-429", "attempt 2 simulator:echo", "POST"}
    for row, name in zip(rows, ("attempt 1 simulator:fail-429", "attempt 2 simulator:echo"), strict=True):
        span = spans[name]
        attributes = span.attributes or {}
        assert span.context is not None
        assert f"{span.context.span_id:016x}" == row.id == attributes["tollway.attempt_id"]
        assert f"{span.context.trace_id:032x}" == "ab" * 16
        assert attributes["tollway.hold_id"] == attributes["tollway.request_id"] == work.request_id
        assert attributes["tollway.retry_action"] == row.retry_action
        assert attributes["tollway.credential_id"] == "managed:simulator"
    first, work_span = spans["attempt 1 simulator:fail-429"], spans["work"]
    assert first.attributes is not None
    assert (first.attributes["error.type"], first.attributes["http.response.status_code"]) == ("rate_limit", 429)
    assert first.attributes["tollway.reason"] == "rate_limit"
    assert first.parent is not None
    assert work_span.context is not None
    assert work_span.parent is not None
    assert first.parent.span_id == work_span.context.span_id
    assert f"{work_span.parent.span_id:016x}" == "cd" * 8
    (left_out,) = work_span.events
    assert left_out.name == "candidate.skipped"
    assert left_out.attributes == {
        "gen_ai.provider.name": "openai",
        "gen_ai.request.model": "gpt-4o",
        "tollway.credential_id": "managed:openai",
        "tollway.reason": "open:server",
    }
    calls = [span for span in kept.spans if span.name == "POST"]
    assert {span.parent.span_id for span in calls if span.parent} == {int(row.id, 16) for row in rows}
    await adapter.stop()


class Router:
    """Hears what adapters say of health."""

    def __init__(self, bench: Bench) -> None:
        self.notes: list[HealthSeen] = []
        self._bench = bench

    async def listen(self) -> None:
        await self._bench.ingress.listen(subjects.HEALTH_SEEN, [HealthSeen], lambda note, *_: self.notes.append(note))

    def of(self, model: str) -> list[HealthSeen]:
        return [note for note in self.notes if note.model == model]


async def test_successes_are_told_once_a_second_and_failures_at_once(bench: Bench) -> None:
    router = Router(bench)
    await router.listen()
    for _ in range(3):
        await bench.ask(bench.work(candidate("echo")))
    await bench.ask(bench.work(candidate("fail-500")))
    assert [(note.failures, note.error_class) for note in router.of("fail-500")] == [(1, "server")]
    await until(lambda: sum(note.successes for note in router.of("echo")) == 3)
    assert len(router.of("echo")) <= 2


@pytest.mark.parametrize(
    ("model", "at_least_s", "at_most_s"), [("fail-429-retry-after;retry_after=7", 5, 8), ("fail-quota", 590, 601)]
)
async def test_a_stated_wait_and_an_exhausted_quota_are_told_as_a_cool_down(
    bench: Bench, model: str, at_least_s: int, at_most_s: int
) -> None:
    router = Router(bench)
    await router.listen()
    work = bench.work(candidate(model), retry_same_candidate="never")
    await bench.ask(work)
    await until(lambda: router.notes)
    left_ms = router.notes[0].cool_until_ms - (work.deadline_ms - 20_000)
    assert at_least_s * 1000 <= left_ms <= at_most_s * 1000


@pytest.mark.parametrize("model", ["fail-400", "fail-content-policy", "fail-context", "fail-413"])
async def test_the_callers_faults_say_nothing_about_health(bench: Bench, model: str) -> None:
    router = Router(bench)
    await router.listen()
    await bench.ask(bench.work(candidate(model)))
    await bench.ask(bench.work(candidate("fail-500")))
    await until(lambda: router.of("fail-500"))
    assert not router.of(model)


async def test_an_alarming_credential_is_logged_once_a_minute(bench: Bench, capfd: pytest.CaptureFixture[str]) -> None:
    for _ in range(3):
        await bench.ask(bench.work(candidate("fail-401")))
    bench.adapter._telemetry.flush()
    lines = [line for line in capfd.readouterr().err.splitlines() if "credential_failing" in line]
    assert len(lines) == 1
    assert '"credential_id":"managed:simulator"' in lines[0]


async def test_what_an_adapter_offers_is_in_its_beat_and_told_on_demand(bench: Bench) -> None:
    beat = await bench.ingress.ask(subjects.ASK_OFFER, AskOffer(), Beat, timeout_s=1)
    assert isinstance(beat, Beat)
    assert (beat.pool, beat.managed, beat.is_ready) == ("default", ("simulator",), True)


async def test_what_operators_watch_is_counted(bench: Bench) -> None:
    await bench.ask(bench.work(candidate("echo")))
    await bench.ask(bench.work(candidate("fail-429")))
    telemetry = bench.adapter._telemetry
    assert telemetry.counter("tollway_attempts", "simulator", "succeeded", "succeeded").value == 1
    assert telemetry.counter("tollway_attempt_errors", "simulator", "rate_limit").value == 1
    assert telemetry.counter("tollway_outbox_syncs").value >= 1
    assert telemetry.histogram("gen_ai_client_token_usage", "simulator", "input").total == 3
    await until(lambda: telemetry.gauge("tollway_outbox_facts").value == 0)
    assert telemetry.gauge("tollway_attempts_in_flight").value == 0


async def test_an_adapter_without_a_place_for_its_outbox_does_not_start(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    told = settings.read("adapter", {"TOLLWAY_DATA_DIR": str(tmp_path / "file" / "data")})
    with pytest.raises(settings.SettingsError, match="TOLLWAY_DATA_DIR"):
        Adapter(Edge(told, MemoryBus(told.node, Broker()), Telemetry(told)))


async def test_a_bench_can_be_opened_and_closed_again_on_the_same_data(tmp_path: Path) -> None:
    for _ in range(2):
        bench = await open_bench(tmp_path)
        assert (await bench.ask(bench.work(candidate("echo")))).text == "hello there"
        await close_bench(bench)
