"""What the adapter tells of its attempts: spans, metrics, and what the router should learn of a target's health."""

from collections.abc import Sequence
from typing import Any, Final

from tollway import clock, ids
from tollway.adapter.running import NO_HEALTH, Running, together
from tollway.bus import Bus
from tollway.dialects.faults import FAULTS
from tollway.telemetry import Telemetry, names
from tollway.wire import subjects
from tollway.wire.plan import HealthSeen, Skipped
from tollway.wire.usage import Attempt
from tollway.wire.work import Work

ALARM_EVERY_S: Final = 60.0

OPERATIONS: Final = {"completions": "text_completion", "embeddings": "embeddings", "count_tokens": "count_tokens"}


class Teller:
    """One per process. Successes are told once a second, failures at once."""

    def __init__(self, bus: Bus, telemetry: Telemetry) -> None:
        self._bus = bus
        self._telemetry = telemetry
        self._health: dict[tuple[str, str, str], HealthSeen] = {}
        self._alarmed: dict[tuple[str, str], float] = {}

    def attempt(self, work: Work, run: Running, row: Attempt, *, trace: str, parent_id: str) -> None:
        """An attempt has ended."""
        self._count(run, row, OPERATIONS.get(work.surface, "chat"))
        if run.notes:
            self._odd(work, run, row)
        if run.refusal is None and (run.fault is None or run.fault.error_class not in NO_HEALTH):
            self._note(run)
        if self._telemetry.is_tracing and trace:
            self._spans(work, run, row, trace, parent_id)

    def flush(self) -> None:
        """Tell what was gathered."""
        for note in self._health.values():
            self._bus.tell(subjects.HEALTH_SEEN, note)
        self._health.clear()

    def work(
        self,
        work: Work,
        attributes: dict[str, Any],
        *,
        skipped: Sequence[Skipped],
        trace: str,
        span_id: str,
        start_ns: int,
        stalls: int,
    ) -> None:
        """A piece of work has ended; its client made the provider wait so many times."""
        if stalls:
            self._telemetry.counter("tollway_credit_stalls").add(stalls)
        if self._telemetry.is_tracing and trace:
            shared = {names.REQUEST_ID: work.request_id, names.HOLD_ID: work.request_id, names.NODE: self._bus.node}
            self._telemetry.span(
                names.WORK,
                trace=trace,
                span_id=span_id,
                start_ns=start_ns,
                end_ns=clock.now_ns(),
                attributes=shared | attributes,
                kind="server",
                events=[(names.EVENT_SKIPPED, start_ns, _skip_attributes(skip)) for skip in skipped],
            )

    def _note(self, run: Running) -> None:
        note = run.health(clock.now_ms())
        target = (note.provider, note.model, note.credential_id)
        before = self._health.pop(target, None)
        note = note if before is None else together(before, note)
        if run.fault is None:
            self._health[target] = note
            return
        self._bus.tell(subjects.HEALTH_SEEN, note)
        if FAULTS[run.fault.error_class].is_alarm:
            self._alarm(run, note)

    def _alarm(self, run: Running, note: HealthSeen) -> None:
        """An operator must act; said once a minute for each credential."""
        now_s, key = clock.monotonic_s(), (note.credential_id, note.error_class)
        if now_s - self._alarmed.get(key, float("-inf")) >= ALARM_EVERY_S:
            self._alarmed[key] = now_s
            self._telemetry.log(
                "warning",
                "credential_failing",
                provider=note.provider,
                credential_id=note.credential_id,
                error_type=note.error_class,
                status=run.status,
            )

    def _odd(self, work: Work, run: Running, row: Attempt) -> None:
        """Figures that cannot be true and the like: somebody should ask the provider."""
        self._telemetry.log(
            "warning",
            "provider_answer_odd",
            request_id=work.request_id,
            attempt_id=run.id,
            provider=row.provider,
            model=row.model,
            reason="; ".join(dict.fromkeys(run.notes[:8])),
        )

    def _count(self, run: Running, row: Attempt, operation: str) -> None:
        telemetry, provider = self._telemetry, row.provider
        telemetry.counter("tollway_attempts", provider, row.completion, row.retry_action).add()
        if row.error_class is not None:
            telemetry.counter("tollway_attempt_errors", provider, row.error_class).add()
        seconds = (run.ended_ns - run.started_ns) / 1e9
        telemetry.histogram("gen_ai_client_operation_duration_seconds", provider, operation).observe(seconds)
        for kind, tokens in (("input", row.usage.tokens_input), ("output", row.usage.tokens_output)):
            if tokens:
                telemetry.histogram("gen_ai_client_token_usage", provider, kind).observe(tokens)
        if run.first_ns:
            first = telemetry.histogram("gen_ai_client_operation_time_to_first_chunk_seconds", provider)
            first.observe((run.first_ns - run.started_ns) / 1e9)

    def _spans(self, work: Work, run: Running, row: Attempt, trace: str, parent_id: str) -> None:
        error = row.error_class
        self._telemetry.span(
            names.span_attempt(run.number, run.candidate.provider, run.candidate.model),
            trace=trace,
            span_id=run.id,
            parent_id=parent_id,
            start_ns=run.started_ns,
            end_ns=run.ended_ns,
            attributes=_attempt_attributes(work, run, row),
            error=error,
            kind="client",
        )
        if run.way is not None:
            self._telemetry.span(
                "POST",
                trace=trace,
                span_id=ids.new_span_id(),
                parent_id=run.id,
                start_ns=run.started_ns,
                end_ns=run.ended_ns,
                attributes=_http_attributes(run),
                error=error,
                kind="client",
            )


def _skip_attributes(skip: Skipped) -> dict[str, str]:
    found = {
        names.PROVIDER: skip.provider,
        names.MODEL_SENT: skip.model,
        names.CREDENTIAL_ID: skip.credential_id,
        names.REASON: skip.reason,
    }
    return {name: value for name, value in found.items() if value}


def _attempt_attributes(work: Work, run: Running, row: Attempt) -> dict[str, Any]:
    candidate, usage = run.candidate, row.usage
    found: dict[str, Any] = {
        names.OPERATION: OPERATIONS.get(work.surface, "chat"),
        names.PROVIDER: candidate.provider,
        names.MODEL_SENT: candidate.model_sent,
        names.MODEL_ANSWERED: run.model_answered or None,
        names.TOKENS_OUTPUT_MAX: run.tokens_output_max or None,
        names.IS_STREAM: run.is_streaming,
        names.STOP_REASONS: run.stop_reason or None,
        names.TTFT_S: (run.first_ns - run.started_ns) / 1e9 if run.first_ns else None,
        names.TOKENS_INPUT: usage.tokens_input,
        names.TOKENS_OUTPUT: usage.tokens_output,
        names.TOKENS_CACHE_READ: usage.tokens_cache_read,
        names.TOKENS_REASONING: usage.tokens_reasoning,
        names.REQUEST_ID: work.request_id,
        names.HOLD_ID: work.request_id,
        names.ATTEMPT_ID: run.id,
        names.ATTEMPT_NUMBER: run.number,
        names.ACCOUNT_ID: work.account_id,
        names.CREDENTIAL_ID: candidate.credential_id,
        names.KEY_SOURCE: row.key_source,
        names.PROVIDER_DIALECT: candidate.dialect,
        names.HTTP_STATUS: row.status,
        names.COMPLETION: row.completion,
        names.RETRY_ACTION: row.retry_action,
        names.REASON: row.reason,
        names.IS_SERVED: row.is_served,
        names.IS_TIMED_OUT: row.is_timed_out,
    }
    return {name: value for name, value in found.items() if value is not None}


def _http_attributes(run: Running) -> dict[str, Any]:
    way = run.way
    assert way is not None
    found: dict[str, Any] = {
        names.HTTP_METHOD: "POST",
        names.SERVER_ADDRESS: way.target.host,
        names.SERVER_PORT: way.target.port,
        names.URL_PATH: way.target.base_path + run.path.partition("?")[0],
        names.HTTP_STATUS: run.status,
        names.HTTP_RESPONSE_BYTES: run.answer_bytes,
    }
    return {name: value for name, value in found.items() if value is not None}
