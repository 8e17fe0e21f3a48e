"""The life of one request, from its head to its receipt. Ingress conducts the way in; the attempts are the adapter's.

    authenticate → admit → read → plan → hold → dispatch → relay

Every step returns what the next needs, or a Refusal, which ends the request in the caller's dialect. Nothing reaches
a provider before the hold is durable.
"""

import asyncio
from contextvars import ContextVar
from typing import TypeVar

import msgspec

from tollway import clock, ids
from tollway.bus import NOTHING, Bus, BusError
from tollway.crash import crashpoint
from tollway.dialects.bridge import Intake, read_intake
from tollway.ingress import domain
from tollway.ingress.admission import may_come_from
from tollway.ingress.counting import counted
from tollway.ingress.exchange import Exchange
from tollway.ingress.following import follow
from tollway.ingress.giving_back import give_back
from tollway.ingress.journey import Admitted, House, Journey, PlanKey
from tollway.ingress.replay import Lead, Record
from tollway.ingress.waiting import OUTCOME_OF_LOSS, Wait
from tollway.ingress.way_out import relay, say_no
from tollway.tasks import spawn
from tollway.wire import keys, subjects
from tollway.wire.access import Principal
from tollway.wire.credit import HoldOpened, OpenHold, VoidHold
from tollway.wire.envelope import Context
from tollway.wire.plan import Plan
from tollway.wire.refusals import Refusal, refuse
from tollway.wire.usage import Outcome, Witness
from tollway.wire.work import BODY_INLINE_BYTES_MAX, Work

ASK_TIMEOUT_S = 2.0
PATIENCE_S = 0.45
"""How long a service that just died is waited for: a restart may be quicker than the caller's own retry."""
RETRY_PAUSE_S = 0.05
BACKSTOP_S = 1.0
REDISPATCHES_MAX = 2
WITNESS_TIMEOUT_S = 5.0
WITNESS_PAUSES_S = (0.5, 1, 2, 4, 8, 15, 30)

R = TypeVar("R", bound=msgspec.Struct)

ASKING: ContextVar[Context] = ContextVar("asking", default=NOTHING)
"""The request on whose behalf a verdict or a plan is asked for: what is remembered is keyed without it."""


async def live(house: House, journey: Journey) -> None:
    """One request, all of it. The caller always gets a well-formed answer or an explicit in-band error."""
    ASKING.set(journey.context())
    principal = await _let_in(house, journey)
    if isinstance(principal, Refusal):
        await say_no(journey, principal)
        return
    house.admission.enter(principal.account_id)
    try:
        await _live_inside(house, journey, principal)
    finally:
        house.admission.leave(principal.account_id)
        if journey.lead is not None:
            is_whole = journey.end is not None and journey.end.outcome == "complete"
            journey.lead.finish(is_whole=is_whole, now_s=clock.monotonic_s())


async def _live_inside(house: House, journey: Journey, principal: Principal) -> None:
    admitted = await _way_in(house, journey, principal)
    if isinstance(admitted, Refusal):
        await say_no(journey, admitted)
    elif isinstance(admitted, Record):
        journey.is_replayed = True
        is_stream = journey.intake is not None and journey.intake.is_stream
        await follow(journey, admitted, quiet_after_s=house.tuning.heartbeat_s if is_stream else 0.0)
    else:
        await _serve(house, journey, admitted)


async def _serve(house: House, journey: Journey, admitted: Admitted) -> None:
    wait = Wait(quiet_after_s=house.tuning.heartbeat_s if admitted.intake.is_stream else 0.0)
    wait.on_no_sign = _Redispatch(house, journey, wait, admitted).again
    journey.exchange.watch(lambda: _gone(journey, wait))
    backstop = asyncio.get_running_loop().call_later(_backstop_s(admitted), wait.lose, "time_up")
    try:
        crashpoint("ingress.after_hold")
        if not _dispatch(house, journey, wait, admitted):
            _void(house, journey, admitted, "not dispatched")
            await say_no(journey, refuse("gateway_unavailable", "No adapter is running; try again in a moment."))
            return
        await relay(house, journey, wait, is_stream=admitted.intake.is_stream)
        if journey.end is not None and journey.end.is_shed:
            _void(house, journey, admitted, "no room")
    finally:
        backstop.cancel()
        journey.exchange.unwatch()
        house.bodies.pop(journey.dispatch_id, None)
        _part(house, journey, wait, admitted)


def _gone(journey: Journey, wait: Wait) -> None:
    """The caller hung up; when nobody else waits for the same answer, it is not wanted any more."""
    if journey.lead is None or not journey.lead.record.followers:
        wait.lose("client_gone")
    else:
        journey.lead.record.on_deserted = lambda: wait.lose("client_gone")


# -- the way in


async def _let_in(house: House, journey: Journey) -> Principal | Refusal:
    """Before the body is read: who is it, and is there room?"""
    exchange = journey.exchange
    principal = exchange.head_refusal() or await authenticate(house, exchange, journey)
    if isinstance(principal, Refusal):
        return principal
    journey.principal = principal
    return house.admission.knock(principal, clock.monotonic_s()) or principal


async def _way_in(house: House, journey: Journey, principal: Principal) -> Admitted | Record | Refusal:
    exchange = journey.exchange
    timeout_s = domain.total_timeout_s(principal.settings, exchange.headers.get("tollway-timeout", ""))
    if isinstance(timeout_s, Refusal):
        return timeout_s
    body = await exchange.body()
    if isinstance(body, Refusal):
        return body
    journey.bytes_in = len(body)
    intake = read_intake(journey.door.dialect, body, surface=journey.door.surface)
    if isinstance(intake, Refusal):
        return intake
    journey.intake = intake
    follows = _claim(house, journey, principal, body)
    if follows is not None:
        return follows
    plan = await _plan(house, journey, principal, intake)
    if isinstance(plan, Refusal):
        return plan
    plan = journey.plan = domain.with_service(plan, intake.service, journey.door.dialect)
    tokens = domain.tokens_input_bound(intake)
    too_many = house.admission.weigh(principal, tokens, clock.monotonic_s())
    if too_many is not None:
        return too_many
    deadline_ms = clock.now_ms() + int(timeout_s * 1000)
    return await _afford(house, journey, Admitted(principal, intake, plan, _NOT_SIZED, body, deadline_ms))


def _claim(house: House, journey: Journey, principal: Principal, body: bytes) -> Record | Refusal | None:
    """With an Idempotency-Key: follow, be refused, or lead (None)."""
    key = journey.exchange.headers.get("idempotency-key", "")
    if not key:
        return None
    claimed = house.replays.claim(principal.access_key_id, key, journey.door.path, body, clock.monotonic_s())
    if not isinstance(claimed, Lead):
        return claimed
    journey.lead = claimed
    journey.exchange.recorder = claimed.record
    return None


_NOT_SIZED = domain.Sizing(0, 0, 0, 0)


async def authenticate(house: House, exchange: Exchange, journey: Journey | None = None) -> Principal | Refusal:
    """The verdict on the key: offline checks first, then memory, then auth. Garbage costs no message and no write."""
    token = exchange.token()
    if not token:
        return refuse("no_api_key")
    if not keys.is_well_formed(token):
        return refuse("invalid_access_key")
    start_ns = clock.now_ns()
    remembered = house.principals.peek(token)
    verdict = remembered if remembered is not None else await house.principals.get(token)
    if journey is not None:
        journey.mark("auth", start_ns, is_remembered=remembered is not None, result=verdict)
    if isinstance(verdict, Principal):
        if verdict.expires_at_ms is not None and verdict.expires_at_ms <= clock.now_ms():
            return refuse("invalid_access_key", "The access key has expired.")
        if not may_come_from(exchange.client, verdict):
            return refuse("invalid_access_key", "The access key may not be used from this address.")
        house.known[verdict.access_key_id] = verdict
    return verdict


async def _plan(house: House, journey: Journey, principal: Principal, intake: Intake) -> Plan | Refusal:
    key = PlanKey(
        principal.access_key_id,
        principal.version,
        (intake.model, *intake.models),
        journey.door,
        intake.needs,
        journey.exchange.headers.get("tollway-strategy", ""),
        domain.tokens_input_least(intake),
        is_searching=intake.searches > 0,
        billed_tools=intake.billed_tools,
    )
    start_ns = clock.now_ns()
    remembered = house.plans.peek(key)
    plan = remembered if remembered is not None else await house.plans.get(key)
    journey.mark("plan", start_ns, is_remembered=remembered is not None, result=plan)
    return plan


async def _afford(house: House, journey: Journey, way: Admitted) -> Admitted | Refusal:
    """Open the hold: first by the cheap bound of the input, then, if that is refused, by an exact count."""
    tokens = domain.tokens_input_bound(way.intake)
    cap = way.principal.settings.tokens_input_max
    if cap is not None and tokens > cap:
        tokens = await counted(way.body, way.intake)
        refusal = domain.input_refusal(tokens, way.principal.settings)
        if refusal is not None:
            return refusal
    held = await _hold(house, journey, way, tokens)
    if isinstance(held, Admitted) or held.code != "insufficient_credits":
        return held
    fewer = await counted(way.body, way.intake)
    if fewer >= tokens:
        return held
    journey.request_id = ids.new_id("rq")  # a refused hold stays refused
    return await _hold(house, journey, way, fewer)


async def _hold(house: House, journey: Journey, way: Admitted, tokens_input: int) -> Admitted | Refusal:
    principal, is_stream = way.principal, way.intake.is_stream
    sizing = journey.sizing = domain.size(
        way.plan.candidates, way.intake, principal.settings, journey.door.surface, tokens_input=tokens_input
    )
    deadline_ms = domain.hold_deadline_ms(way.deadline_ms, is_stream=is_stream)
    start_ns = clock.now_ns()
    kind = domain.kind_of_hold(principal, way.plan, sizing, is_stream=is_stream)
    ready = house.ahead.take(kind, deadline_ms, clock.monotonic_s()) if kind is not None else None
    if kind is not None and ready is not None:
        journey.request_id = ready
        journey.sizing = msgspec.structs.replace(sizing, amount_nusd=kind.amount_nusd)
        journey.mark("hold", start_ns, is_remembered=True)
        return msgspec.structs.replace(way, sizing=journey.sizing)
    crashpoint("ingress.before_hold")
    reply = await _ask_for_hold(house, journey, way.plan, sizing, deadline_ms)
    journey.mark("hold", start_ns, result=reply)
    if isinstance(reply, HoldOpened):
        if kind is not None:
            house.ahead.learn(kind, reply.available_nusd)
        return msgspec.structs.replace(way, sizing=sizing)
    if reply.code == "gateway_unavailable":
        if reply.details.get("cause") == "timeout":  # it was heard: the ledger may have died before it said so
            _void(house, journey, way, "no answer")
        return refuse("ledger_unavailable", retry_after_s=1)
    return domain.credit_refusal(reply, sizing, is_stream=is_stream) if reply.code == "insufficient_credits" else reply


async def _ask_for_hold(
    house: House, journey: Journey, plan: Plan, sizing: domain.Sizing, deadline_ms: int
) -> HoldOpened | Refusal:
    principal = journey.principal
    assert principal is not None, "who asks is known by now"
    command = OpenHold(
        hold_id=journey.request_id,
        account_id=principal.account_id,
        access_key_id=principal.access_key_id,
        amount_nusd=sizing.amount_nusd,
        hold_deadline_ms=deadline_ms,
        price_version=plan.price_version,
        models=domain.models_of(plan),
        spend_day_max_nusd=principal.limits.spend_day_nusd,
        spend_month_max_nusd=principal.limits.spend_month_nusd,
    )
    subject = subjects.hold(subjects.journal_of(principal.account_id))
    return await ask_patiently(house.bus, subject, command, HoldOpened, journey.context())


async def ask_patiently(
    bus: Bus, subject: str, body: msgspec.Struct, reply: type[R], context: Context, *, timeout_s: float = ASK_TIMEOUT_S
) -> R | Refusal:
    """Ask, and ask again for PATIENCE_S where nobody was there to hear it."""
    give_up_s = clock.monotonic_s() + PATIENCE_S
    while True:
        answer = await bus.ask(subject, body, reply, timeout_s=timeout_s, context=context)
        is_away = isinstance(answer, Refusal) and answer.details.get("cause") in ("no_responders", "disconnected")
        if not is_away or clock.monotonic_s() > give_up_s:
            return answer
        await asyncio.sleep(RETRY_PAUSE_S)


# -- dispatch


def _dispatch(house: House, journey: Journey, wait: Wait, way: Admitted) -> bool:
    """Hand the work to the pool of the first candidate; False if nobody there is alive."""
    pool = way.plan.candidates[0].pool
    if not house.room.is_served(pool):
        return False
    journey.dispatch_id = ids.new_span_id()
    is_inline = len(way.body) <= BODY_INLINE_BYTES_MAX
    if not is_inline:
        house.bodies[journey.dispatch_id] = way.body
    work = Work(
        request_id=journey.request_id,
        dispatch_id=journey.dispatch_id,
        account_id=way.principal.account_id,
        access_key_id=way.principal.access_key_id,
        node=house.node,
        inbox=subjects.inbox(house.node, journey.dispatch_id),
        dialect=journey.door.dialect,
        surface=journey.door.surface,
        is_stream=way.intake.is_stream,
        candidates=tuple(candidate for candidate in way.plan.candidates if candidate.pool == pool),
        limits=domain.limits_of(way.principal.settings),
        deadline_ms=way.deadline_ms,
        price_version=way.plan.price_version,
        tokens_input_bound=way.sizing.tokens_input_bound,
        tokens_output_cap=way.sizing.tokens_output_cap,
        tokens_output_wanted=way.sizing.tokens_output_wanted,
        hold_amount_nusd=way.sizing.amount_nusd,
        body=way.body if is_inline else b"",
        body_token="" if is_inline else journey.dispatch_id,
        body_bytes=len(way.body),
        headers=domain.passed_on(journey.exchange.headers),
        retry_same_candidate=way.principal.settings.retry_same_candidate,
        is_rescue_allowed=way.principal.settings.is_rescue_allowed,
        strategy=way.plan.strategy,
        skipped=domain.passed_over(way.plan, (way.intake.model, *way.intake.models)),
    )
    house.room.open(journey.dispatch_id, wait)
    stale_ms = clock.now_ms() + int(domain.DISPATCH_STALE_S * 1000)
    house.bus.tell(subjects.dispatch(pool), work, context=journey.context(stale_ms))
    return True


class _Redispatch:
    """Nobody gave a sign: give the work to another adapter, under the same hold."""

    def __init__(self, house: House, journey: Journey, wait: Wait, way: Admitted) -> None:
        self._house, self._journey, self._wait, self._way = house, journey, wait, way
        self._left = REDISPATCHES_MAX

    def again(self) -> None:
        """Called while there is no sign. The one that may still wake up is told that it is superseded."""
        self._left -= 1
        self._house.room.abandon(self._journey.dispatch_id, "gateway_failed", is_superseded=True)
        self._house.bodies.pop(self._journey.dispatch_id, None)
        if self._left < 0 or not _dispatch(self._house, self._journey, self._wait, self._way):
            self._wait.lose("adapter_lost")


def _backstop_s(way: Admitted) -> float:
    """The adapter keeps the deadline; this is for an adapter that does not."""
    left_s = (way.deadline_ms - clock.now_ms()) / 1000 + BACKSTOP_S
    return left_s + domain.STREAM_SECONDS_MAX if way.intake.is_stream else left_s


# -- the end


def _part(house: House, journey: Journey, wait: Wait, way: Admitted) -> None:
    """Leave the waiting room. Without the adapter's last word, say what the caller got: the witness."""
    if journey.end is not None or not journey.dispatch_id:
        house.room.close(journey.dispatch_id)
        return
    outcome = OUTCOME_OF_LOSS[wait.loss or "bus_lost"]
    house.room.abandon(journey.dispatch_id, outcome)
    spawn(_bear_witness(house, journey, way, outcome), name="witness")


async def _bear_witness(house: House, journey: Journey, way: Admitted, outcome: Outcome) -> None:
    account_id = way.principal.account_id
    witness = Witness(
        hold_id=journey.request_id,
        account_id=account_id,
        access_key_id=way.principal.access_key_id,
        outcome=outcome,
        bytes_out=journey.exchange.bytes_out,
        pieces_out=journey.pieces,
        ended_at_ms=clock.now_ms(),
        tokens_input_estimate=way.sizing.tokens_input_bound,
        model=journey.head.model if journey.head is not None else "",
        is_streaming=way.intake.is_stream,
    )
    subject = subjects.witness(subjects.journal_of(account_id))
    for pause_s in WITNESS_PAUSES_S:
        try:
            await _put_witness(house, journey, subject, witness)
            return
        except BusError:
            await asyncio.sleep(pause_s)


async def _put_witness(house: House, journey: Journey, subject: str, witness: Witness) -> None:
    await house.bus.put(
        subject,
        witness,
        message_id=f"witness-{journey.request_id}",
        timeout_s=WITNESS_TIMEOUT_S,
        context=journey.context(),
    )


def _void(house: House, journey: Journey, way: Admitted, reason: str) -> None:
    """The hold has no use: give it back now instead of at its deadline."""
    command = VoidHold(journey.request_id, way.principal.account_id, reason)
    spawn(give_back(house.bus, command, journey.context()), name="give back")
