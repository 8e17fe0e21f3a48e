"""What is told of a request when it is over: spans, counts, one log line."""

from collections.abc import Mapping

from tollway import clock, ids
from tollway.bus import Bus
from tollway.ingress.journey import Journey
from tollway.telemetry import Telemetry, names
from tollway.telemetry.ring import Attributes
from tollway.wire import subjects
from tollway.wire.work import KeepTrace


class Teller:
    """Tells journeys to telemetry."""

    def __init__(self, telemetry: Telemetry, bus: Bus) -> None:
        self._telemetry = telemetry
        self._bus = bus
        self._stages = {
            stage: telemetry.histogram("tollway_stage_seconds", stage) for stage in ("auth", "plan", "hold")
        }
        self._remembered = {
            (stage, is_remembered): telemetry.counter("tollway_remembered", stage, "hit" if is_remembered else "miss")
            for stage in ("auth", "plan")
            for is_remembered in (True, False)
        }
        self._first_piece = telemetry.histogram("tollway_first_piece_seconds")
        self._bytes_in = telemetry.counter("tollway_request_bytes")
        self._bytes_out = telemetry.counter("tollway_response_bytes")
        self._failovers = telemetry.counter("tollway_failovers")
        self._aborts = telemetry.counter("tollway_client_aborts")

    def tell(self, journey: Journey) -> None:
        """Everything, once."""
        end_ns = clock.now_ns()
        self._count(journey, end_ns)
        if self._telemetry.is_tracing:
            self._trace(journey, end_ns)
        self._log(journey, end_ns)

    # -- metrics

    def _count(self, journey: Journey, end_ns: int) -> None:
        door, telemetry = journey.door, self._telemetry
        is_stream = journey.intake is not None and journey.intake.is_stream
        seconds = (end_ns - journey.started_ns) / 1e9
        telemetry.counter("tollway_requests", door.surface, str(journey.exchange.status), _outcome(journey)).add()
        telemetry.histogram("tollway_request_seconds", door.surface, "yes" if is_stream else "no").observe(seconds)
        self._bytes_in.add(journey.bytes_in)
        self._bytes_out.add(journey.exchange.bytes_out)
        for mark in journey.marks:
            self._stages[mark.name].observe((mark.end_ns - mark.start_ns) / 1e9)
            if mark.name != "hold":
                self._remembered[mark.name, mark.is_remembered].add()
        if is_stream and journey.first_out_ns:
            self._first_piece.observe((journey.first_out_ns - journey.started_ns) / 1e9)
        if journey.refusal is not None:
            telemetry.counter("tollway_refusals", journey.refusal.code).add()
        if journey.loss == "client_gone":
            self._aborts.add()
        self._count_end(journey)

    def _count_end(self, journey: Journey) -> None:
        end = journey.end
        if end is None:
            return
        if end.is_failed_over:
            self._failovers.add()
        if end.cost_nusd:
            provider = end.model.partition(":")[0]
            self._telemetry.counter("tollway_cost_nusd", provider).add(end.cost_nusd)

    # -- spans

    def _trace(self, journey: Journey, end_ns: int) -> None:
        door, trace = journey.door, journey.begun.trace
        self._telemetry.span(
            names.span_request(journey.exchange.method, door.path),
            trace=trace,
            span_id=journey.begun.span_id,
            parent_id=journey.begun.parent_id,
            start_ns=journey.started_ns,
            end_ns=end_ns,
            attributes=_attributes(journey),
            error=_error(journey),
            kind="server",
        )
        for mark in journey.marks:
            self._telemetry.span(
                mark.name,
                trace=trace,
                span_id=ids.new_span_id(),
                start_ns=mark.start_ns,
                end_ns=mark.end_ns,
                attributes=_mark_attributes(journey, mark.is_remembered),
                error=mark.error,
                kind="client" if mark.name == "hold" else "internal",
            )
        if _is_worth_keeping(journey):
            self._telemetry.keep(journey.begun.trace_id)
            self._bus.tell(subjects.TRACE_KEEP, KeepTrace(journey.begun.trace_id), context=journey.context())

    # -- log

    def _log(self, journey: Journey, end_ns: int) -> None:
        fields: dict[str, object] = {
            "request_id": journey.request_id,
            "trace_id": journey.begun.trace_id,
            "route": journey.door.path,
            "status": journey.exchange.status,
            "duration_ms": round((end_ns - journey.started_ns) / 1e6, 2),
            "bytes_in": journey.bytes_in,
            "bytes_out": journey.exchange.bytes_out,
            "outcome": _outcome(journey),
        }
        if journey.principal is not None:
            fields["account_id"] = journey.principal.account_id
            fields["access_key_id"] = journey.principal.access_key_id
        if journey.intake is not None:
            fields["is_stream"] = journey.intake.is_stream
        if journey.plan is not None and journey.intake is not None:
            fields["model_asked"] = journey.intake.model  # only once the catalog has recognised it
        if journey.sizing is not None:
            fields["hold_nusd"] = journey.sizing.amount_nusd
        if journey.refusal is not None:
            fields["code"] = journey.refusal.code
        fields.update(_end_fields(journey))
        fields.update((f"{mark.name}_ms", round((mark.end_ns - mark.start_ns) / 1e6, 2)) for mark in journey.marks)
        level = journey.refusal.rule.level if journey.refusal is not None else "info"
        self._telemetry.log("info" if level == "debug" else level, "request", **fields)


def _end_fields(journey: Journey) -> dict[str, object]:
    end = journey.end
    if end is None:
        return {}
    return {
        "model": end.model,
        "attempts": end.attempts,
        "is_failed_over": end.is_failed_over,
        "tokens_input": end.tokens_input,
        "tokens_output": end.tokens_output,
        "cost_nusd": end.cost_nusd,
    }


def _outcome(journey: Journey) -> str:
    if journey.end is not None:
        return journey.end.outcome
    if journey.is_replayed:
        return "replayed"
    return journey.loss or ("refused" if journey.refusal is not None else "unknown")


def _error(journey: Journey) -> str | None:
    if journey.refusal is not None:
        return journey.refusal.code
    return str(journey.exchange.status) if journey.exchange.status >= 500 else None


def _is_worth_keeping(journey: Journey) -> bool:
    """Failed or failed over after the way in; a caller's own mistake is not worth a trace."""
    if journey.end is not None:
        return journey.end.is_failed_over or journey.end.outcome != "complete"
    return journey.loss is not None or (journey.refusal is not None and journey.refusal.rule.status >= 500)


def _attributes(journey: Journey) -> Attributes:
    door, end = journey.door, journey.end
    found: dict[str, str | int | float | bool | None] = {
        names.OPERATION: door.operation,
        names.SURFACE: door.surface,
        names.DIALECT: door.dialect,
        names.HTTP_METHOD: journey.exchange.method,
        names.HTTP_ROUTE: door.path,
        names.HTTP_STATUS: journey.exchange.status,
        names.HTTP_REQUEST_BYTES: journey.bytes_in,
        names.HTTP_RESPONSE_BYTES: journey.exchange.bytes_out,
        names.REQUEST_ID: journey.request_id,
        names.HOLD_ID: journey.request_id if journey.sizing is not None else None,
        names.ACCOUNT_ID: journey.principal.account_id if journey.principal is not None else None,
        names.ACCESS_KEY_ID: journey.principal.access_key_id if journey.principal is not None else None,
        names.MODEL_ASKED: journey.intake.model if journey.plan is not None and journey.intake is not None else None,
        names.IS_STREAM: journey.intake.is_stream if journey.intake is not None else None,
        names.CANDIDATES: len(journey.plan.candidates) if journey.plan is not None else None,
        names.HOLD_NUSD: journey.sizing.amount_nusd if journey.sizing is not None else None,
        names.REFUSAL: journey.refusal.code if journey.refusal is not None else None,
        names.OUTCOME: _outcome(journey),
        names.ATTEMPTS: end.attempts if end is not None else None,
        names.COST_NUSD: end.cost_nusd if end is not None else None,
        names.TOKENS_INPUT: end.tokens_input if end is not None else None,
        names.TOKENS_OUTPUT: end.tokens_output if end is not None else None,
        names.PIECES: journey.pieces or None,
    }
    return _present(found)


def _mark_attributes(journey: Journey, is_remembered: bool) -> Attributes:
    return _present({names.REQUEST_ID: journey.request_id, names.IS_REMEMBERED: is_remembered})


def _present(found: Mapping[str, str | int | float | bool | None]) -> Attributes:
    return {name: value for name, value in found.items() if value is not None}
