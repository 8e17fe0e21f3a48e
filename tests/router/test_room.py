"""The router as a service on a bus: beats in, answers out."""

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import msgspec
import pytest

from tests.conftest import NatsServer
from tests.router.conftest import principal_of
from tollway import clock, settings
from tollway.bus import Bus
from tollway.bus.memory import Broker, MemoryBus
from tollway.bus.nats import connect
from tollway.router.handlers import build
from tollway.router.room import Room
from tollway.runtime import Edge
from tollway.telemetry import Telemetry
from tollway.wire import subjects
from tollway.wire.envelope import Context
from tollway.wire.plan import (
    AskHealth,
    HealthChanged,
    HealthReport,
    HealthSeen,
    ListModels,
    ModelList,
    Plan,
    PlanRoute,
)
from tollway.wire.refusals import Refusal
from tollway.wire.work import Beat


def edge_of(bus: Bus, **environ: str) -> Edge:
    told = msgspec.structs.replace(settings.read("router", environ), node=bus.node)
    return Edge(told, bus, Telemetry(told))


class World:
    """A broker with one router on it."""

    def __init__(self) -> None:
        self.broker = Broker()
        self.bus = MemoryBus("ingress-1", self.broker)
        self.room: Room = build(edge_of(MemoryBus("router-1", self.broker)))

    async def start(self) -> None:
        await self.room.start()
        await MemoryBus("router-1", self.broker).serve(self.room.HANDLERS, self.room, queue="router")

    def beat(self, *managed: str, node: str = "adapter-1") -> None:
        beat = Beat("adapter", node, clock.now_ms(), pool="default", managed=managed)
        self.bus.tell(subjects.beat("adapter", node), beat)

    async def plan(self, *models: str) -> Plan | Refusal:
        return await self.bus.ask(subjects.ROUTE_PLAN, PlanRoute(principal_of(), models, "chat"), Plan, timeout_s=2)


@pytest.fixture
async def world() -> AsyncIterator[World]:
    world = World()
    await world.start()
    yield world
    await world.room.stop()


async def until(is_so: Callable[[], bool]) -> None:
    async with asyncio.timeout(5):
        while not is_so():  # noqa: ASYNC110  what is waited for has no event
            await asyncio.sleep(0.005)


async def test_a_plan_is_asked_for_over_the_bus(world: World) -> None:
    world.beat("simulator")
    await until(lambda: not world.room.not_ready())
    answer = await world.plan("simulator:echo")
    assert isinstance(answer, Plan)
    assert answer.candidates[0].credential_id == "managed:simulator"


async def test_models_are_asked_for_over_the_bus(world: World) -> None:
    world.beat("simulator")
    await until(lambda: not world.room.not_ready())
    answer = await world.bus.ask(subjects.ROUTE_MODELS, ListModels(principal_of()), ModelList, timeout_s=2)
    assert isinstance(answer, ModelList)
    assert "simulator:echo" in [card.id for card in answer.models]


async def test_the_router_is_not_ready_before_it_heard_an_adapter(world: World) -> None:
    assert world.room.not_ready() == ("no adapter was heard",)
    answer = await world.plan("simulator:echo")
    assert isinstance(answer, Refusal)
    assert answer.code == "gateway_unavailable"


async def test_remembered_plans_are_to_be_forgotten_when_an_adapter_offers_something_new(world: World) -> None:
    told: list[HealthChanged] = []

    def hear(change: HealthChanged, _context: Context, _subject: str) -> None:
        told.append(change)

    await world.bus.listen(subjects.HEALTH_CHANGED, [HealthChanged], hear)
    world.beat("simulator")
    await until(lambda: len(told) == 1)
    world.beat("simulator")
    world.beat("simulator", "openai", node="adapter-2")
    await until(lambda: len(told) == 2)
    assert told[0].version < told[1].version
    assert isinstance(await world.plan("gpt-4o"), Plan)


async def test_beats_of_other_services_offer_nothing(world: World) -> None:
    world.bus.tell(subjects.beat("ledger", "ledger-1"), Beat("ledger", "ledger-1", 0))
    answer = await world.plan("simulator:echo")
    assert isinstance(answer, Refusal)


async def test_the_operators_overrides_change_prices_and_add_models(tmp_path: Path) -> None:
    overrides = tmp_path / "catalog.json"
    overrides.write_text('{"openai": {"models": {"gpt-4o": {"cost": {"input": 1.5, "output": "0.000001"}}}}}')
    room = build(edge_of(MemoryBus("router-1", Broker()), TOLLWAY_CATALOG_FILE=str(overrides)))
    found = room.view.catalog.find("openai", "gpt-4o")
    assert found is not None
    assert found.model.price is not None
    assert (found.model.price.input, found.model.price.output) == (1_500_000_000, 1_000)
    assert found.model.tokens_window == 128_000


@pytest.mark.parametrize(
    "text", [None, "", "{", '{"openai": 3}', '{"openai": {"models": {"x": {"cost": {"input": "a"}}}}}']
)
async def test_overrides_that_cannot_be_used_stop_the_start_with_a_sentence(tmp_path: Path, text: str | None) -> None:
    overrides = tmp_path / "catalog.json"
    if text is not None:
        overrides.write_text(text)
    with pytest.raises(settings.SettingsError, match=r"TOLLWAY_CATALOG_FILE: .*catalog\.json"):
        build(edge_of(MemoryBus("router-1", Broker()), TOLLWAY_CATALOG_FILE=str(overrides)))


def failures(model: str, count: int = 10, **fields: object) -> HealthSeen:
    note = HealthSeen("simulator", model, "managed:simulator", failures=count, error_class="server")
    return msgspec.structs.replace(note, **fields)


def cooling(model: str) -> HealthSeen:
    """The provider named a wait of 50 ms."""
    return failures(model, 1, error_class="rate_limit", cool_until_ms=clock.now_ms() + 50)


async def models_of(world: World, *asked: str) -> list[str]:
    answer = await world.plan(*asked)
    assert isinstance(answer, Plan)
    return [candidate.model for candidate in answer.candidates]


async def ready(world: World) -> None:
    world.beat("simulator")
    await until(lambda: not world.room.not_ready())


async def test_a_target_that_fails_goes_last_and_everybody_hears_of_it(world: World) -> None:
    await ready(world)
    told: list[HealthChanged] = []
    await world.bus.listen(
        subjects.HEALTH_CHANGED, [HealthChanged], lambda change, _context, _subject: told.append(change)
    )
    world.bus.tell(subjects.HEALTH_SEEN, failures("fail-503"))
    await until(lambda: bool(told))
    assert (told[0].model, told[0].state) == ("fail-503", "open")
    assert await models_of(world, "simulator:fail-503", "simulator:echo") == ["echo", "fail-503"]
    assert world.room.telemetry.gauge("tollway_candidates_out", "simulator").value == 1


async def test_after_its_cool_down_exactly_one_request_probes_it(world: World) -> None:
    await ready(world)
    world.bus.tell(subjects.HEALTH_SEEN, cooling("slow"))
    await until(lambda: bool(world.room.health.trouble))
    await until(lambda: world.room.health.standing("simulator", "slow", "managed:simulator").is_free)
    orders = [await models_of(world, "simulator:slow", "simulator:echo") for _ in range(5)]
    assert orders == [["slow", "echo"]] + [["echo", "slow"]] * 4
    world.bus.tell(subjects.HEALTH_SEEN, HealthSeen("simulator", "slow", "managed:simulator", successes=1))
    await until(lambda: not world.room.health.trouble)
    assert await models_of(world, "simulator:slow", "simulator:echo") == ["slow", "echo"]
    assert world.room.telemetry.gauge("tollway_candidates_out", "simulator").value == 0


async def test_of_two_routers_one_lets_probe(world: World) -> None:
    await ready(world)
    world.bus.tell(subjects.beat("router", "router-!"), Beat("router", "router-!", 0))
    world.beat("simulator", node="adapter-2")
    await until(lambda: not world.room.view.is_prober)
    world.bus.tell(subjects.HEALTH_SEEN, cooling("slow"))
    await until(lambda: world.room.health.standing("simulator", "slow", "managed:simulator").is_free)
    assert await models_of(world, "simulator:slow", "simulator:echo") == ["echo", "slow"]


async def test_explaining_shows_reasons_and_gives_no_probe_away(world: World) -> None:
    await ready(world)
    world.bus.tell(subjects.HEALTH_SEEN, cooling("slow"))
    await until(lambda: world.room.health.standing("simulator", "slow", "managed:simulator").is_free)
    question = PlanRoute(principal_of(), ("simulator:slow", "simulator:echo", "nobody:x"), "chat", strategy="cheapest")
    answer = await world.bus.ask(subjects.ROUTE_EXPLAIN, question, Plan, timeout_s=2)
    assert isinstance(answer, Plan)
    assert answer.strategy == "cheapest"
    assert [skipped.reason.partition(":")[0] for skipped in answer.skipped] == ["model_unknown", "half_open"]
    assert answer.reasons[0] == "step 1, managed; 1.25 dollars a million tokens; not tried lately"
    assert "1 tries lately, 100% failed" in answer.reasons[1]
    assert world.room.health.standing("simulator", "slow", "managed:simulator").is_free


async def test_health_is_asked_for_over_the_bus(world: World) -> None:
    await ready(world)
    world.bus.tell(subjects.HEALTH_SEEN, failures("fail-500"))
    await until(lambda: bool(world.room.health.trouble))
    report = await world.bus.ask(subjects.ROUTE_HEALTH, AskHealth("simulator"), HealthReport, timeout_s=2)
    assert isinstance(report, HealthReport)
    assert (report.targets[0].model, report.targets[0].state, report.targets[0].failures) == ("fail-500", "open", 10)


async def test_the_operator_names_the_models_of_auto() -> None:
    room = build(edge_of(MemoryBus("router-1", Broker()), TOLLWAY_AUTO_MODELS="simulator:slow, openai:gpt-4o"))
    assert room.view.auto_models == ("simulator:slow", "openai:gpt-4o")
    with pytest.raises(settings.SettingsError, match="TOLLWAY_AUTO_MODELS"):
        build(edge_of(MemoryBus("router-1", Broker()), TOLLWAY_AUTO_MODELS="gpt-4o"))


async def test_of_two_routers_on_one_bus_exactly_one_request_in_forty_is_the_probe(nats_server: NatsServer) -> None:
    buses = [await connect(nats_server.url, role="router", node=f"router-{name}") for name in "ab"]
    rooms = [build(edge_of(bus)) for bus in buses]
    asker = await connect(nats_server.url, role="ingress", node="ingress-1")
    for bus, room in zip(buses, rooms, strict=True):
        await room.start()
        await bus.serve(room.HANDLERS, room, queue="router")
    for room in rooms:
        asker.tell(subjects.beat("router", room.node), Beat("router", room.node, 0))
    asker.tell(subjects.beat("adapter", "x"), Beat("adapter", "x", 0, pool="default", managed=("simulator",)))
    asker.tell(subjects.HEALTH_SEEN, cooling("slow"))
    await until(lambda: all(room.health.standing("simulator", "slow", "managed:simulator").is_free for room in rooms))
    await until(lambda: sum(room.view.is_prober for room in rooms) == 1)
    question = PlanRoute(principal_of(), ("simulator:slow", "simulator:echo"), "chat")
    answers = await asyncio.gather(*(asker.ask(subjects.ROUTE_PLAN, question, Plan, timeout_s=5) for _ in range(40)))
    firsts = [answer.candidates[0].model for answer in answers if isinstance(answer, Plan)]
    assert sorted(firsts) == ["echo"] * 39 + ["slow"]
    for room, bus in zip(rooms, buses, strict=True):
        await room.stop()
        await bus.drain()
    await asker.drain()
