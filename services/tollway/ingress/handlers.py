"""The ingress service: what it remembers, whom it hears, and the little that others ask of it."""

import asyncio
from collections.abc import Sequence
from typing import Any, Final

from tollway import clock
from tollway.bus import Handles
from tollway.ingress import waiting
from tollway.ingress.admission import Admission
from tollway.ingress.ahead import HoldsAhead
from tollway.ingress.app import App
from tollway.ingress.journey import Journey, PlanKey
from tollway.ingress.lately import Lately
from tollway.ingress.life import ASKING, ask_patiently
from tollway.ingress.management import management_app
from tollway.ingress.replay import Replays
from tollway.ingress.server import Door
from tollway.ingress.telling import Teller
from tollway.ingress.tuning import read_tuning
from tollway.ingress.waiting import WaitingRoom
from tollway.remember import Remembered
from tollway.runtime import Edge, spawn
from tollway.wire import subjects
from tollway.wire.access import CheckAccessKey, ConfigChanged, Principal
from tollway.wire.envelope import Context
from tollway.wire.plan import HealthChanged, Plan, PlanRoute
from tollway.wire.refusals import Refusal
from tollway.wire.usage import Outcome
from tollway.wire.work import BODY_PART_BYTES, Beat, BodyPart, Cancel, FetchBody, Piece

PRINCIPAL_AGE_MAX_S: Final = 1.0
"""A revoked key works no longer than this, even if every event were lost."""
PRINCIPAL_REFRESH_S: Final = 0.5
PLAN_AGE_MAX_S: Final = 10.0
BEAT_AGE_MAX_S: Final = 3.0
ROLES: Final = ("auth", "router", "adapter", "ledger")


class Ingress:
    """See `tollway.runtime.Service` and `tollway.ingress.journey.House`."""

    def __init__(self, edge: Edge) -> None:
        self.bus = edge.bus
        self.telemetry = edge.telemetry
        self.node = edge.settings.node
        self.known: dict[str, Principal] = {}
        self._seen_version = 0
        self.bodies: dict[str, bytes] = {}
        self.principals: Remembered[str, Principal] = Remembered(
            self._check, age_max_s=PRINCIPAL_AGE_MAX_S, refresh_after_s=PRINCIPAL_REFRESH_S
        )
        self.plans: Remembered[PlanKey, Plan] = Remembered(
            self._plan, age_max_s=PLAN_AGE_MAX_S, is_kept=lambda plan: plan.is_cacheable
        )
        self.tuning = read_tuning(edge.settings.environ)
        self.admission = Admission(self.tuning.requests_max)
        self.replays = Replays()
        self.ahead = HoldsAhead(edge.bus, self.tuning.holds_ahead_max)
        self.room = WaitingRoom(self._cancel)
        self.lately = Lately(edge.bus)
        self.management = management_app(edge.bus, edge.settings, edge.telemetry, settled=self.lately.settled)
        self._teller = Teller(edge.telemetry, edge.bus)
        self._door = Door(App(self), edge.settings, send_stall_s=self.tuning.send_stall_s)
        self._beats: dict[str, dict[str, tuple[float, Beat]]] = {role: {} for role in ROLES}
        self._looking: asyncio.Task[Any] | None = None
        edge.telemetry.gauge("tollway_requests_in_flight").read = lambda: self.admission.in_flight
        edge.telemetry.gauge("tollway_holds_ahead").read = lambda: self.ahead.count
        edge.telemetry.gauge("tollway_connections").read = lambda: self._door.connections

    @property
    def HANDLERS(self) -> Sequence[Handles]:  # noqa: N802  the table's name in every service
        """Bodies are pulled from the very process that has them."""
        return (Handles(subjects.body(self.node), FetchBody, fetch_body),)

    async def start(self) -> None:
        """Hear first, then open the door."""
        await self.bus.listen(subjects.inbox(self.node, "*"), [Piece], self.room.take)
        await self.bus.listen(subjects.BEATS_ALL, [Beat], self._hear)
        await self.bus.listen(subjects.CONFIG_ALL, [ConfigChanged], self._config_changed)
        await self.bus.listen(subjects.HEALTH_CHANGED, [HealthChanged], self._health_changed)
        self.bus.on_reconnect += (self._forget_all, self.room.listen_anew)
        self.bus.on_disconnect.append(self._forget_all)
        self._looking = spawn(self._look(), name="look after waits")
        self.room.listen_anew()
        await self._door.open()

    def not_ready(self) -> tuple[str, ...]:
        """The door is open as long as the process lives."""
        return ()

    async def drain(self) -> None:
        """Running answers finish; nobody new is let in."""
        await self._door.close()
        await self.ahead.close()

    async def stop(self) -> None:
        """Let go."""
        self._door.force()
        if self._looking is not None:
            self._looking.cancel()

    # -- what is remembered

    async def _check(self, token: str) -> Principal | Refusal:
        question = CheckAccessKey(token, self._seen_version)
        return await ask_patiently(self.bus, subjects.AUTH_CHECK, question, Principal, ASKING.get())

    async def _plan(self, key: PlanKey) -> Plan | Refusal:
        question = PlanRoute(
            self.known[key.access_key_id],
            key.models,
            key.door.surface,
            key.needs,
            strategy=key.strategy,
            tokens_input=key.tokens_input,
            is_searching=key.is_searching,
            billed_tools=key.billed_tools,
        )
        return await ask_patiently(self.bus, subjects.ROUTE_PLAN, question, Plan, ASKING.get())

    def _config_changed(self, event: ConfigChanged, _context: Context, _subject: str) -> None:
        self._seen_version = max(self._seen_version, event.version)
        is_everybody = event.account_id == "*"
        self.principals.forget(lambda _, verdict: is_everybody or verdict.account_id == event.account_id)
        self.ahead.forget(event.account_id)

    def _health_changed(self, _event: HealthChanged, _context: Context, _subject: str) -> None:
        self.plans.clear()

    def _forget_all(self) -> None:
        self.principals.clear()
        self.plans.clear()

    # -- who is alive

    def _hear(self, beat: Beat, context: Context, subject: str) -> None:
        self.room.hear(beat, context, subject)
        if beat.role in self._beats:
            self._beats[beat.role][beat.node] = (clock.monotonic_s(), beat)

    def readiness(self) -> dict[str, str]:
        """Per service that cannot serve, why not."""
        if not self.bus.is_connected:
            return {"bus": "disconnected"}
        found = {role: self._role_missing(role) for role in ROLES}
        return {role: why for role, why in found.items() if why}

    def _role_missing(self, role: str) -> str:
        since = clock.monotonic_s() - BEAT_AGE_MAX_S
        fresh = [beat for at, beat in self._beats[role].values() if at > since]
        if any(beat.is_ready for beat in fresh):
            return ""
        return ", ".join(why for beat in fresh for why in beat.not_ready) or "not heard"

    async def _look(self) -> None:
        """Look after the waits; not right after this process itself was held up, when everybody seems silent."""
        last_s = clock.monotonic_s()
        while True:
            await asyncio.sleep(waiting.LOOK_EVERY_S)
            now_s = clock.monotonic_s()
            if now_s - last_s < 2 * waiting.LOOK_EVERY_S:
                self.room.look()
            last_s = now_s
            self.ahead.sweep(now_s)
            self.lately.sweep(now_s)
            self._tidy(now_s)

    def _tidy(self, now_s: float) -> None:
        for reason, count in self.admission.shed.items():
            self.telemetry.counter("tollway_shed", reason).value = count
        for reason, count in self._door.closed.items():
            self.telemetry.counter("tollway_connections_closed", reason).value = count
        if len(self.known) > 20_000:
            self.known.clear()
            self.plans.clear()
        for nodes in self._beats.values():
            for node in [node for node, (at, _) in nodes.items() if now_s - at > 60]:
                del nodes[node]

    # -- what is told

    def _cancel(self, node: str, dispatch_id: str, outcome: Outcome, is_superseded: bool) -> None:
        self.bus.tell(subjects.flow(node), Cancel(dispatch_id, outcome, is_superseded))

    def tell(self, journey: Journey) -> None:
        """A request is over."""
        if journey.end is not None and journey.principal is not None:
            self.lately.note(journey.principal.account_id, journey.request_id, clock.monotonic_s())
        self._teller.tell(journey)


async def fetch_body(room: Ingress, command: FetchBody, _context: Context) -> BodyPart:
    """A part of a body that was too large to travel with its work; empty when the request is over."""
    body = room.bodies.get(command.token, b"")
    return BodyPart(body[command.offset : command.offset + BODY_PART_BYTES])
