"""The life of one piece of work: attempts in order, the fact on disk, the last word.

Everything that can end it ends in `Pursuit._end`, once, with one fact: served, failed, cancelled or cut off.
"""

import asyncio
import random
from collections.abc import Callable
from typing import Any, Final, Protocol

import msgspec

from tollway import clock, ids
from tollway.adapter import billing
from tollway.adapter.answering import Reply
from tollway.adapter.attempting import Attempting, CreditExhaustedError, LinkLostError
from tollway.adapter.attempting import House as AttemptingHouse
from tollway.adapter.attempts import Attempts, Decision, Failure, GiveUp, RetryBudget, Try
from tollway.adapter.counting import Counted
from tollway.adapter.endings import length_ending
from tollway.adapter.extending import Extension
from tollway.adapter.publishing import Publisher
from tollway.adapter.rescuing import Seam, is_able
from tollway.adapter.running import Running
from tollway.adapter.telling import Teller
from tollway.adapter.verdicts import cut_off, verdict
from tollway.bus import Bus
from tollway.crash import crashpoint
from tollway.dialects.bridge import CONTENT_TYPE_JSON, CONTENT_TYPE_SSE, receipt_comment
from tollway.dialects.faults import FAULTS
from tollway.store.outbox import OutboxError
from tollway.tasks import report
from tollway.telemetry import names
from tollway.wire import money, subjects
from tollway.wire.envelope import Context
from tollway.wire.plan import Skipped
from tollway.wire.pricing import charge_nusd, charged_of
from tollway.wire.refusals import Refusal, refuse
from tollway.wire.usage import Attempt, Certainty, Completion, Outcome, Usage, UsageFact
from tollway.wire.work import BODY_PART_BYTES, BodyPart, End, FetchBody, Head, Work

BODY_TIMEOUT_S: Final = 5.0
WHOLE: Final[tuple[Outcome, ...]] = ("complete", "content_filter")
STOP_CREDIT: Final = "insufficient_credits"
SAID_OF: Final[dict[Outcome, str]] = {"deadline": "total_timeout"}


BillingRule = Callable[[Usage | None, Callable[[], Counted], Callable[[], Counted]], tuple[Usage, Certainty]]


class House(AttemptingHouse, Protocol):
    """What the pursuit needs of the service around it."""

    bus: Bus
    publisher: Publisher
    budget: RetryBudget
    teller: Teller


class Ending(msgspec.Struct):
    """How it ended and what is still to be said. `run`: the attempt that is billed, if one is. `is_unkept`: the disk
    did not take the fact."""

    outcome: Outcome
    run: Running | None = None
    usage: Usage = billing.NOTHING_USED
    certainty: Certainty = "reported"
    data: bytes = b""
    head: Head | None = None
    refusal: Refusal | None = None
    stop: str = ""
    is_unkept: bool = False


class Pursuit:
    """One Work. `run` is its task; `cancel` may come at any time."""

    def __init__(self, house: House, work: Work, context: Context) -> None:
        self.work = work
        self.task: asyncio.Task[None] | None = None
        self.reply = Reply(house.bus, work, context, asyncio.get_running_loop().time())
        self.rows: list[Attempt] = []
        self._house = house
        self._trace = context.trace
        self._started_ns = clock.now_ns()
        self._span_id = ids.new_span_id()
        self._attempts = Attempts(
            work.candidates,
            retry_same=work.retry_same_candidate,  # pyright: ignore[reportArgumentType]  one of the setting's words
            deadline_ms=work.deadline_ms,
        )
        is_extensible = work.is_stream and work.tokens_output_wanted > work.tokens_output_cap
        extension = Extension(house.bus, work, context) if is_extensible else None
        self._extension = extension
        self._seam = Seam(work.dialect) if work.is_rescue_allowed and work.is_stream else None
        self._attempting = Attempting(house, work, self.reply, extension, self._seam)
        self._failed: list[Running] = []
        self._current: Running | None = None
        self._unasked: Refusal | None = None
        self._skipped: list[Skipped] = []
        self._stopped: Outcome | None = None
        self._is_superseded = self._is_ending = False

    def cancel(self, outcome: Outcome, *, is_superseded: bool = False) -> None:
        """Hang up on the provider and end with this outcome. Once the end has begun, only the rest is not sent."""
        self._is_superseded = self._is_superseded or is_superseded
        if self._is_ending:
            self.reply.abandon()
        elif self._stopped is None:
            self._stopped = outcome
            if self.task is not None:
                self.task.cancel()

    async def run(self) -> None:
        """All of it."""
        ending = await self._ended()
        self._is_ending = True
        if not self._is_superseded:
            await self._end(ending)

    async def _ended(self) -> Ending:
        try:
            return await self._pursue()
        except asyncio.CancelledError:
            if self._stopped is None or self.task is None:
                raise
            self.task.uncancel()
            return await self._broken_off(self._stopped)
        except LinkLostError:
            self._is_ending = True  # a cancellation that comes while it is counted is too late
            return await self._broken_off("gateway_failed")
        except CreditExhaustedError:
            self._is_ending = True
            return await self._exhausted()
        except Exception as fault:  # noqa: BLE001  a bug must not leave a hold open and a caller waiting
            self._is_ending = True
            report("work failed", fault)
            ending = await self._broken_off("gateway_failed")
            ending.refusal = refuse("internal_error")
            return ending

    async def _pursue(self) -> Ending:
        body = await self._fetched() if self.work.body_token else self.work.body
        if body is None:
            refusal = refuse("gateway_unavailable", "The request's body was lost inside the gateway; try again.")
            return Ending("gateway_failed", refusal=refusal)
        crashpoint("adapter.before_dispatch")
        decision: Decision | Ending = self._attempts.first()
        while isinstance(decision, Try):
            if decision.wait_s:
                await asyncio.sleep(decision.wait_s)
            if not self.reply.pieces and self._attempts.is_late(clock.now_ms()):
                return self._gave_up(GiveUp("exhausted", "deadline"))
            decision = await self._tried(decision.index, body)
        return self._gave_up(decision) if isinstance(decision, GiveUp) else decision

    async def _fetched(self) -> bytes | None:
        """A large body, part by part from the ingress that has it."""
        parts: list[bytes] = []
        for offset in range(0, self.work.body_bytes, BODY_PART_BYTES):
            part = await self._house.bus.ask(
                subjects.body(self.work.node),
                FetchBody(self.work.body_token, offset),
                BodyPart,
                timeout_s=BODY_TIMEOUT_S,
            )
            if isinstance(part, Refusal) or not part.data:
                return None
            parts.append(part.data)
        return b"".join(parts)

    # -- attempts

    async def _tried(self, index: int, body: bytes) -> Decision | Ending:
        """Make one attempt: an ending if it served, else what to do next."""
        run = self._current = Running(
            self._attempts.candidates[index],
            number=self._attempts.count + self.work.attempt_number_first - 1,
            span_id=ids.new_span_id(),
            started_ns=clock.now_ns(),
            is_streaming=self.work.is_stream,
        )
        run.body, run.is_resumed = body, bool(self.reply.pieces)
        if self._seam is not None and run.is_resumed:
            run.body = self._seam.continued(body, run.candidate)
        unasked = await self._made(run)
        run.ended_ns = clock.now_ns()
        if unasked is not None:
            self._unasked, self._current = unasked, None
            self._skipped.append(_skipped(run, unasked))
            return self._attempts.skip(index, is_able=is_able if run.is_resumed else None)
        return await self._served(run) if run.fault is None else self._after(index, run)

    async def _made(self, run: Running) -> Refusal | None:
        """The attempt itself, on the retry budget if it is not the first."""
        if not self.rows:
            return await self._attempting.make(run)
        budget, has_failed = self._house.budget, None
        taken = budget.begin()
        try:
            unasked = await self._attempting.make(run)
            has_failed = run.fault is not None if unasked is None else None
        finally:
            budget.end(taken, has_failed=has_failed)
        return unasked

    def _after(self, index: int, run: Running) -> Decision:
        """Write down an attempt that failed, and decide."""
        failure = run.failure
        assert failure is not None
        decision = self._attempts.after(
            index,
            failure,
            now_ms=clock.now_ms(),
            jitter=random.random(),  # noqa: S311  it spreads retries and guards nothing
            is_budget_left=self._house.budget.is_left,
        )
        if failure.has_content:
            decision = self._rescued(index, failure) or decision
        if run.has_content or (failure.error_class == "timeout" and run.is_sent):
            run.usage, _ = billing.partial(run.usage, *run.estimates(bound=self.work.tokens_input_bound))
        reason = decision.reason if isinstance(decision, GiveUp) else failure.error_class
        row = run.row(decision.action, reason=reason)
        is_rescued = failure.has_content and isinstance(decision, Try)
        self._record(run, msgspec.structs.replace(row, is_served=False) if is_rescued else row)
        self._failed.append(run)
        self._current = None
        return decision

    def _rescued(self, index: int, failure: Failure) -> Try | None:
        """Another candidate that may go on with the answer, where the account allows it and it can be done honestly."""
        is_meant = self._seam is not None and self._seam.is_possible and self._house.budget.is_left
        if not is_meant or FAULTS[failure.error_class].other != "yes":
            return None
        return self._attempts.rescue(index, is_able)

    def _record(self, run: Running, row: Attempt) -> None:
        self.rows.append(row)
        self._house.teller.attempt(self.work, run, row, trace=self._trace, parent_id=self._span_id)

    # -- how it can end

    async def _served(self, run: Running) -> Ending:
        run.usage, certainty = await self._billed(billing.whole, run)
        self._record(run, run.row("succeeded"))
        is_filtered = run.stop_reason == "content_filter"
        ending = Ending("content_filter" if is_filtered else "complete", run, run.usage, certainty, run.last)
        if not self.work.is_stream:
            ending.head = Head(200, CONTENT_TYPE_JSON, len(self.rows), run.model)
        elif not self.reply.pieces:
            ending.head = self._attempting.head(run)
        return ending

    def _gave_up(self, decision: GiveUp) -> Ending:
        last = self._failed[-1] if self._failed else None
        if last is not None and (last.has_content or last.is_resumed):
            usage = last.usage or billing.NOTHING_USED
            return Ending("failed_midstream", last, usage, "estimated", refusal=cut_off(last))
        told = verdict(self._failed, decision, candidates_tried=self._attempts.candidates_tried, unasked=self._unasked)
        return Ending("failed_before_content", data=told.data, head=told.head, refusal=told.refusal)

    async def _billed(self, rule: BillingRule, run: Running) -> tuple[Usage, Certainty]:
        """By a rule of `billing`: at once where the provider reported all, else counted in a thread."""
        self._disbelieve(run)
        counts = run.counts(bound=self.work.tokens_input_bound)
        if rule is billing.whole and run.is_reported:
            usage, certainty = rule(run.usage, *counts)
        else:
            usage, certainty = await asyncio.to_thread(rule, run.usage, *counts)
        return billing.as_served(usage, run.priced_services), certainty

    def _disbelieve(self, run: Running) -> None:
        """Figures that cannot be true are not billed, and somebody should ask the provider."""
        reported = run.usage
        if reported is not None:
            window = run.candidate.tokens_window
            run.usage = billing.possible(reported, tokens_window=window, text_bytes=run.sample.text_bytes)
            if run.usage is not reported:
                run.notes += ("usage is beyond the model's window",)

    async def _broken_off(self, outcome: Outcome) -> Ending:
        """Ended from outside: by the client, the caller's deadline or the gateway itself."""
        run = self._current
        refusal = None if outcome == "client_aborted" else refuse(SAID_OF.get(outcome, "gateway_unavailable"))
        if run is None:
            return Ending(outcome, refusal=refusal)
        return await self._partly(run, outcome, completion="unknown", refusal=refusal)

    async def _exhausted(self) -> Ending:
        """The credit for further output is used up: a well-formed end, as if the output limit had been reached."""
        run = self._current
        assert run is not None
        run.stop_reason = "length"
        ending = await self._partly(run, "credit_exhausted", completion="succeeded", refusal=None)
        cap = self._extension.cap if self._extension is not None else self.work.tokens_output_cap
        ending.usage = msgspec.structs.replace(ending.usage, tokens_output=min(ending.usage.tokens_output or 0, cap))
        ending.stop = STOP_CREDIT
        tokens = ending.usage.tokens_output or 0
        data = length_ending(self.work.dialect, run.sample.begin, run.tail, tokens, run.output)
        if data is None:
            ending.refusal = refuse("insufficient_credits", "The credit was used up in the middle of the answer.")
        ending.data = data or b""
        return ending

    async def _partly(
        self, run: Running, outcome: Outcome, *, completion: Completion, refusal: Refusal | None
    ) -> Ending:
        run.ended_ns = clock.now_ns()
        usage, certainty = billing.NOTHING_USED, "reported"
        if run.is_billed_when_broken_off:
            usage, certainty = await self._billed(billing.partial, run)
        run.usage = usage
        self._record(run, run.row("fail_fast", completion=completion, reason=outcome))
        return Ending(outcome, run, usage, certainty, refusal=refusal)

    # -- the end

    async def _end(self, ending: Ending) -> None:
        """The fact to disk, then the last piece. An answer that cannot reach its caller is not charged."""
        if self.reply.is_cut_off and ending.outcome in WHOLE:
            ending = Ending("gateway_failed", ending.run, refusal=refuse("gateway_unavailable"))
        try:
            await self._house.publisher.keep(self._fact(ending))
        except OutboxError:
            ending = Ending("gateway_failed", ending.run, refusal=refuse("gateway_unavailable"), is_unkept=True)
        end = self._end_of(ending)
        data = ending.data
        if self.work.is_stream and _is_event_stream(ending, self.reply.pieces):
            data = receipt_comment(self._receipt(end)) + data
        await self.reply.send_all(data, head=ending.head, end=end)
        self._house.teller.work(
            self.work,
            self._attributes(ending),
            skipped=(*self.work.skipped, *self._skipped),
            trace=self._trace,
            span_id=self._span_id,
            start_ns=self._started_ns,
            stalls=self.reply.stalls,
        )

    def _fact(self, ending: Ending) -> UsageFact:
        run = ending.run
        candidate = run.candidate if run is not None else None
        return UsageFact(
            hold_id=self.work.request_id,
            account_id=self.work.account_id,
            access_key_id=self.work.access_key_id,
            outbox=self._house.publisher.outbox.id,
            outcome=ending.outcome,
            certainty=ending.certainty,
            usage=ending.usage,
            attempts=self.rows,
            ended_at_ms=clock.now_ms(),
            is_managed=candidate is not None and candidate.is_managed,
            price=candidate.price if candidate is not None else None,
            price_version=self.work.price_version,
            trace=self._trace,
            strategy=self.work.strategy,
            skipped=(*self.work.skipped, *self._skipped),
        )

    def _end_of(self, ending: Ending) -> End:
        run = ending.run
        is_charged = billing.IS_CHARGED[ending.outcome]
        return End(
            outcome=ending.outcome,
            attempts=len(self.rows),
            model=run.model if run is not None else "",
            cost_nusd=self._cost_nusd(ending) if is_charged else 0,
            refusal=ending.refusal,
            stop=ending.stop,
            is_failed_over=len(self.rows) > 1,
            tokens_input=ending.usage.tokens_input if is_charged else None,
            tokens_output=ending.usage.tokens_output if is_charged else None,
            dropped=run.dropped if run is not None else (),
            is_shed=ending.is_unkept,
        )

    def _cost_nusd(self, ending: Ending) -> int:
        """What the ledger will charge: a cost beyond the hold is the operator's."""
        if ending.run is None:
            return 0
        candidate = ending.run.candidate
        cost_nusd = charge_nusd(ending.usage, candidate.price, is_managed=candidate.is_managed)
        extended_nusd = self._extension.added_nusd if self._extension is not None else 0
        return charged_of(cost_nusd, self.work.hold_amount_nusd + extended_nusd)

    def _receipt(self, end: End) -> dict[str, str]:
        fields = {
            "tollway-request-id": self.work.request_id,
            "tollway-attempts": str(end.attempts),
            "tollway-model": end.model,
            "tollway-cost": money.dollars(end.cost_nusd or 0),
        }
        if self._seam is not None and self._seam.places:
            fields["tollway-seam"] = ",".join(map(str, self._seam.places))
        return fields | ({"tollway-stop": end.stop} if end.stop else {})

    def _attributes(self, ending: Ending) -> dict[str, Any]:
        found = {
            names.OUTCOME: ending.outcome,
            names.CERTAINTY: ending.certainty,
            names.ATTEMPTS: len(self.rows),
            names.PIECES: self.reply.pieces,
            names.ACCOUNT_ID: self.work.account_id,
            names.SURFACE: self.work.surface,
        }
        return found | ({names.REFUSAL: ending.refusal.code} if ending.refusal is not None else {})


def _skipped(run: Running, refusal: Refusal) -> Skipped:
    """A candidate to which the request could not be carried, for the books."""
    candidate = run.candidate
    return Skipped(candidate.provider, candidate.model, candidate.credential_id, refusal.code)


def _is_event_stream(ending: Ending, pieces: int) -> bool:
    """Whether the client is being sent events, so that a receipt can be one of their comments."""
    if ending.head is not None:
        return ending.head.content_type == CONTENT_TYPE_SSE
    return pieces > 0 and ending.run is not None and ending.run.has_content
