"""Ingress on a real socket, with its neighbours scripted on the memory bus."""

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field

import httpx
import pytest
import uvicorn

from tests.conftest import free_port
from tollway import ids, settings
from tollway.bus import Handles
from tollway.bus.memory import Broker, MemoryBus
from tollway.ingress.admission import Admission
from tollway.ingress.ahead import HoldsAhead
from tollway.ingress.app import App
from tollway.ingress.exchange import Message, Receive, Send
from tollway.ingress.journey import Journey, PlanKey
from tollway.ingress.replay import Replays
from tollway.ingress.tuning import Tuning
from tollway.ingress.waiting import WaitingRoom
from tollway.remember import Remembered
from tollway.tasks import spawn
from tollway.telemetry import Telemetry
from tollway.wire import keys, subjects
from tollway.wire.access import CheckAccessKey, Principal
from tollway.wire.credit import HoldEnded, HoldOpened, HoldsOpened, OpenHold, OpenHolds, VoidHold
from tollway.wire.envelope import Context
from tollway.wire.plan import Candidate, ListModels, ModelCard, ModelList, Plan, PlanRoute, Price
from tollway.wire.refusals import Refusal, refuse
from tollway.wire.usage import Outcome, Witness
from tollway.wire.work import Beat, Cancel, Piece, Work

KEY = keys.write_key("tw", id="0123456789ab", secret="S" * 32)
CANDIDATE = Candidate(
    provider="simulator",
    provider_name="Simulator",
    model="echo",
    model_name="Echo",
    model_sent="echo",
    dialect="openai_chat",
    credential_id="managed:simulator",
    is_managed=True,
    price=Price(10**9, 2 * 10**9),
    tokens_output_max=1_000,
)

AVAILABLE_NUSD = 10**12
PRINCIPAL = Principal("ac_1", "aigk_1", 1)
PLAN = Plan((CANDIDATE,), "prices-1")

Script = Callable[["Neighbours", Work], None]


@dataclass
class Neighbours:
    """Auth, router, ledger and one adapter, each in a few lines; `script` is what the adapter does with work."""

    bus: MemoryBus
    script: Script
    principal: Principal = PRINCIPAL
    plan: Plan | Refusal = PLAN
    hold: Refusal | None = None
    listed: Refusal | None = None
    works: list[Work] = field(default_factory=lambda: list[Work]())
    holds: list[OpenHold] = field(default_factory=lambda: list[OpenHold]())
    ahead: list[OpenHolds] = field(default_factory=lambda: list[OpenHolds]())
    voids: list[VoidHold] = field(default_factory=lambda: list[VoidHold]())
    cancels: list[Cancel] = field(default_factory=lambda: list[Cancel]())
    witnesses: list[Witness] = field(default_factory=lambda: list[Witness]())
    checks: int = 0

    async def serve(self) -> None:
        hold = subjects.hold(subjects.journal_of("ac_1"))
        rows = (
            Handles(subjects.AUTH_CHECK, CheckAccessKey, check),
            Handles(subjects.ROUTE_PLAN, PlanRoute, plan),
            Handles(subjects.ROUTE_MODELS, ListModels, models),
            Handles(hold, OpenHold, open_hold),
            Handles(hold, OpenHolds, open_holds),
            Handles(hold, VoidHold, void_hold),
            Handles(subjects.dispatch("default"), Work, work),
        )
        await self.bus.serve(rows, self, queue="all")
        await self.bus.listen(subjects.flow("adapter-1"), [Cancel], lambda body, _c, _s: self.cancels.append(body))
        await self.bus.listen(subjects.WITNESS_ALL, [Witness], lambda body, _c, _s: self.witnesses.append(body))

    def send(self, work: Work, *pieces: Piece) -> None:
        for piece in pieces:
            self.bus.tell(work.inbox, piece)


async def check(room: Neighbours, command: CheckAccessKey, _context: Context) -> Principal | Refusal:
    room.checks += 1
    return room.principal if command.token == KEY else refuse("invalid_access_key")


async def plan(room: Neighbours, _command: PlanRoute, _context: Context) -> Plan | Refusal:
    return room.plan


async def models(room: Neighbours, command: ListModels, _context: Context) -> ModelList | Refusal:
    if room.listed is not None:
        return room.listed
    cards = (ModelCard("simulator:echo", "simulator", "Echo", price=Price(10**9, 2 * 10**9)),)
    return ModelList(tuple(card for card in cards if command.model_id in ("", card.id)))


async def open_hold(room: Neighbours, command: OpenHold, _context: Context) -> HoldOpened | Refusal:
    room.holds.append(command)
    return room.hold or HoldOpened(command.hold_id, command.amount_nusd, AVAILABLE_NUSD)


async def open_holds(room: Neighbours, command: OpenHolds, _context: Context) -> HoldsOpened:
    room.ahead.append(command)
    return HoldsOpened(len(command.hold_ids), AVAILABLE_NUSD)


async def void_hold(room: Neighbours, command: VoidHold, _context: Context) -> HoldEnded:
    room.voids.append(command)
    return HoldEnded(command.hold_id, 0)


async def work(room: Neighbours, command: Work, _context: Context) -> None:
    room.works.append(command)
    room.script(room, command)


class Gate:
    """The service around the application, without its own start-up."""

    def __init__(self, bus: MemoryBus) -> None:
        self.bus = bus
        self.node = bus.node
        self.telemetry = Telemetry(settings.read("ingress", {}))
        self.admission = Admission()
        self.replays = Replays()
        self.ahead = HoldsAhead(bus)
        self.tuning = Tuning()
        self.room = WaitingRoom(self._cancel)
        self.known: dict[str, Principal] = {}
        self.bodies: dict[str, bytes] = {}
        self.told: list[Journey] = []
        self.principals: Remembered[str, Principal] = Remembered(self._check, age_max_s=60)
        self.plans: Remembered[PlanKey, Plan] = Remembered(self._plan, age_max_s=60)

    async def _check(self, token: str) -> Principal | Refusal:
        return await self.bus.ask(subjects.AUTH_CHECK, CheckAccessKey(token), Principal, timeout_s=1)

    async def _plan(self, key: PlanKey) -> Plan | Refusal:
        question = PlanRoute(
            self.known[key.access_key_id], key.models, key.door.surface, key.needs, strategy=key.strategy
        )
        return await self.bus.ask(subjects.ROUTE_PLAN, question, Plan, timeout_s=1)

    def _cancel(self, node: str, dispatch_id: str, outcome: Outcome, is_superseded: bool) -> None:
        self.bus.tell(subjects.flow(node), Cancel(dispatch_id, outcome, is_superseded))

    async def management(self, scope: Message, receive: Receive, send: Send) -> None:
        raise AssertionError("not under test")

    def tell(self, journey: Journey) -> None:
        self.told.append(journey)

    def readiness(self) -> dict[str, str]:
        return {}

    def hear_adapter(self) -> None:
        self.room.hear(Beat("adapter", "adapter-1", 0, pool="default"), Context(), "")


@dataclass
class Street:
    """What a test holds: the client, the gate, the neighbours."""

    client: httpx.AsyncClient
    gate: Gate
    neighbours: Neighbours
    port: int


@pytest.fixture
async def street(request: pytest.FixtureRequest) -> AsyncIterator[Street]:
    broker = Broker()
    gate = Gate(MemoryBus(ids.new_id("ingress"), broker))
    neighbours = Neighbours(MemoryBus("neighbours", broker), nothing)
    await neighbours.serve()
    await gate.bus.listen(subjects.inbox(gate.node, "*"), [Piece], gate.room.take)
    gate.hear_adapter()
    port = free_port()
    config = uvicorn.Config(
        App(gate), port=port, lifespan="off", log_config=None, ws="none", http="httptools", proxy_headers=False
    )
    server = uvicorn.Server(config)
    serving = spawn(server._serve(), name="uvicorn")
    looking = spawn(look(gate), name="look")
    while not server.started:  # noqa: ASYNC110
        await asyncio.sleep(0.01)
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=20) as client:
        client.headers["authorization"] = f"Bearer {KEY}"
        yield Street(client, gate, neighbours, port)
    looking.cancel()
    server.should_exit = True
    await serving
    await neighbours.bus.drain()
    gate.telemetry.stop()


async def look(gate: Gate) -> None:
    while True:
        await asyncio.sleep(0.1)
        gate.room.look()


def nothing(_neighbours: Neighbours, _work: Work) -> None:
    """An adapter that takes work and says nothing."""
