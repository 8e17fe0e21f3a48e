"""One attempt while it runs: what was seen of it, and the row, the span and the health note that come of it."""

from collections.abc import Callable
from typing import Final

import msgspec

from tollway.adapter.attempts import Failure, completion_of, cool_s
from tollway.adapter.billing import model_cost_nusd
from tollway.adapter.counting import Counted, Sample, count_input, estimate_input
from tollway.adapter.credentials import Way
from tollway.adapter.endings import Output
from tollway.dialects.faults import Fault
from tollway.wire.plan import Candidate, HealthSeen, health_id
from tollway.wire.refusals import Refusal
from tollway.wire.usage import Attempt, Completion, RetryAction, Usage


class Running:
    """The facts of an attempt, filled in on the way. Times are wall-clock nanoseconds.

    `body` is the caller's. `tail`: the last bytes sent, where they may be needed; `last`: what goes with the end;
    `output`: the items of a responses stream, where it may have to be ended by us.
    `is_resumed`: it goes on with the answer of an attempt before. `refusal`: no credential opens the candidate.
    `is_cut`: the request's deadline ended it, not its own limit.
    """

    __slots__ = (
        "answer_bytes",
        "answered_ns",
        "body",
        "candidate",
        "dropped",
        "ended_ns",
        "error_type",
        "fault",
        "first_ns",
        "has_content",
        "id",
        "is_cut",
        "is_resumed",
        "is_sent",
        "is_streaming",
        "last",
        "model_answered",
        "notes",
        "number",
        "output",
        "path",
        "refusal",
        "sample",
        "started_ns",
        "status",
        "stop_reason",
        "tail",
        "tokens_output_max",
        "usage",
        "way",
    )

    def __init__(self, candidate: Candidate, *, number: int, span_id: str, started_ns: int, is_streaming: bool) -> None:
        self.candidate = candidate
        self.number = number
        self.id = span_id
        self.started_ns = started_ns
        self.is_streaming = is_streaming
        self.sample = Sample()
        self.usage: Usage | None = None
        self.refusal: Refusal | None = None
        self.fault: Fault | None = None
        self.error_type = ""
        self.status: int | None = None
        self.body = b""
        self.notes: tuple[str, ...] = ()
        self.dropped: tuple[str, ...] = ()
        self.stop_reason = self.model_answered = ""
        self.has_content = self.is_cut = self.is_sent = self.is_resumed = False
        self.answered_ns = self.first_ns = self.ended_ns = 0
        self.answer_bytes = 0
        self.tokens_output_max = 0
        self.way: Way | None = None
        self.output: Output | None = None
        self.path = ""
        self.tail = self.last = b""

    @property
    def model(self) -> str:
        """`provider:model`, as receipts and traces name it."""
        return f"{self.candidate.provider}:{self.candidate.model}"

    @property
    def priced_services(self) -> tuple[str, ...]:
        """Services that the hold covers at their own price: the one asked for, or none."""
        price = self.candidate.price
        return tuple(special.service for special in price.services) if price is not None else ()

    @property
    def failure(self) -> Failure | None:
        """What the state machine is told; None: it did not fail."""
        fault = self.fault
        if fault is None:
            return None
        return Failure(fault.error_class, fault.retry_after_s, self.has_content or self.is_resumed)

    def was_sent(self) -> None:
        """The request is on the wire: from now on the provider may bill it."""
        self.is_sent = True

    @property
    def is_billed_when_broken_off(self) -> bool:
        """Whether the provider may bill an attempt that is given up now. One that stops billing when it is hung up on
        bills nothing before the first content of a stream.
        """
        if not self.is_sent or self.way is None:
            return False
        is_stopped = self.is_streaming and self.way.row.cancel_stops_billing
        return self.has_content or self.usage is not None or not is_stopped

    @property
    def is_reported(self) -> bool:
        """Whether the provider reported all that is billed, so that nothing needs to be counted."""
        usage = self.usage
        return (
            usage is not None and bool(usage.tokens_input) and bool(usage.tokens_output or not self.sample.text_bytes)
        )

    def counts(self, *, bound: int) -> tuple[Callable[[], Counted], Callable[[], Counted]]:
        """Counters of this attempt's input and output, for what the provider did not report."""
        provider, model = self.candidate.provider, self.candidate.model_sent
        return lambda: count_input(self.body, provider, model, bound=bound), lambda: self.sample.count(provider, model)

    def estimates(self, *, bound: int) -> tuple[Callable[[], Counted], Callable[[], Counted]]:
        """The same by length, for a failed attempt: the next candidate does not wait for a tokenizer."""
        return lambda: estimate_input(self.body, bound=bound), self.sample.estimate

    def row(self, action: RetryAction, *, completion: Completion | None = None, reason: str | None = None) -> Attempt:
        """The attempt as usage rows show it."""
        candidate, failure = self.candidate, self.failure
        is_user = not candidate.is_managed
        return Attempt(
            id=self.id,
            number=self.number,
            provider=candidate.provider,
            provider_name=candidate.provider_name,
            model=candidate.model,
            model_name=candidate.model_name,
            key_source="user" if is_user else "managed",
            started_at_ms=self.started_ns // 1_000_000,
            duration_ms=max(0, self.ended_ns - self.started_ns) // 1_000_000,
            retry_action=action,
            completion=completion or ("succeeded" if failure is None else completion_of(failure)),
            status=self.status,
            ttft_ms=(self.first_ns - self.started_ns) // 1_000_000 if self.first_ns else None,
            provider_key_id=candidate.credential_id if is_user and candidate.credential_id else None,
            provider_key_name=candidate.credential_name if is_user and candidate.credential_name else None,
            is_streaming=self.is_streaming,
            is_served=self.has_content or (failure is None and completion is None),
            is_timed_out=failure is not None and failure.error_class == "timeout",
            error_class=(self.error_type or failure.error_class) if failure is not None else None,
            stop_reason=self.stop_reason or None,
            usage=self.usage or Usage(),
            operator_cost_nusd=self.operator_cost_nusd(),
            reason=reason,
        )

    def operator_cost_nusd(self) -> int:
        """What a failed attempt cost the operator by what is known of its usage."""
        if not self.candidate.is_managed or self.fault is None or self.usage is None:
            return 0
        return model_cost_nusd(self.usage, self.candidate.price)

    def health(self, now_ms: int) -> HealthSeen:
        """What the router should learn of it."""
        candidate, failure = self.candidate, self.failure
        cooling_s = cool_s(failure.error_class, failure.retry_after_s) if failure is not None else 0.0
        return HealthSeen(
            candidate.provider,
            candidate.model,
            health_id(candidate.credential_id, candidate.base_url),
            successes=int(failure is None),
            failures=int(failure is not None),
            ttft_ms_mean=(self.first_ns - self.started_ns) // 1_000_000 if self.first_ns else 0,
            error_class=failure.error_class if failure is not None else "",
            cool_until_ms=now_ms + int(cooling_s * 1000) if cooling_s else 0,
        )


NO_HEALTH: Final = frozenset(("bad_request", "content_policy", "context_length", "too_large"))
"""Faults of the caller: they say nothing about the provider's health."""


def together(one: HealthSeen, other: HealthSeen) -> HealthSeen:
    """Two notes about the same target as one."""
    weights = (one.successes, other.successes)
    total = sum(weights)
    ttft = (one.ttft_ms_mean * weights[0] + other.ttft_ms_mean * weights[1]) // total if total else 0
    return msgspec.structs.replace(
        other,
        successes=one.successes + other.successes,
        failures=one.failures + other.failures,
        ttft_ms_mean=ttft,
        error_class=other.error_class or one.error_class,
        cool_until_ms=max(one.cool_until_ms, other.cool_until_ms),
    )
