"""The router as a service on a bus: beats in, answers out."""

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from tests.router.conftest import principal_of
from tollway import clock, settings
from tollway.bus.memory import Broker, MemoryBus
from tollway.router.handlers import Room, build
from tollway.runtime import Edge
from tollway.telemetry import Telemetry
from tollway.wire import subjects
from tollway.wire.envelope import Context
from tollway.wire.plan import HealthChanged, ListModels, ModelList, Plan, PlanRoute
from tollway.wire.refusals import Refusal
from tollway.wire.work import Beat


def edge_of(bus: MemoryBus, **environ: str) -> Edge:
    told = settings.read("router", environ)
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
