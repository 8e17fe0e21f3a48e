"""The management plane on a real socket, in a thread with a loop of its own: for tools that speak HTTP."""

import asyncio
import threading
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, cast

import uvicorn
from tests.auth.conftest import House
from tests.management.conftest import Ledger

from tollway import settings
from tollway.auth.bootstrap import FirstAccount
from tollway.bus import Handles
from tollway.bus.memory import MemoryBus
from tollway.ingress.management import management_app
from tollway.telemetry import Telemetry
from tollway.wire import subjects
from tollway.wire.envelope import Context
from tollway.wire.plan import (
    AskHealth,
    Candidate,
    HealthReport,
    ListModels,
    ModelCard,
    ModelList,
    Plan,
    PlanRoute,
    Price,
    TargetHealth,
)
from tollway.wire.probe import Probed, ProbeProvider


@dataclass
class Live:
    """Where it is, and its first account."""

    url: str
    made: FirstAccount


async def list_models(_room: object, _command: ListModels, _context: Context) -> ModelList:
    """The router's part."""
    return ModelList((ModelCard("openai:gpt-4o", "openai", "GPT-4o", price=Price(2_500_000_000, 10_000_000_000)),))


async def probe(_room: object, _command: ProbeProvider, _context: Context) -> Probed:
    """The adapter's part."""
    return Probed(is_reachable=False, duration_ms=3, problem="the provider's name has no address")


async def explain(_room: object, _command: PlanRoute, _context: Context) -> Plan:
    """The router's part."""
    price = Price(2_500_000_000, 10_000_000_000)
    candidate = Candidate(
        "openai", "OpenAI", "gpt-4o", "GPT-4o", "gpt-4o", "openai_chat", "managed:openai", True, price=price
    )
    return Plan((candidate,), "prices-1", reasons=("step 0, managed",))


async def health(_room: object, _command: AskHealth, _context: Context) -> HealthReport:
    """The router's part."""
    return HealthReport(1, (TargetHealth("openai", "gpt-4o", "managed:openai", "open", 1_700_000_000_000, "server"),))


OTHERS = (
    Handles(subjects.ROUTE_MODELS, ListModels, list_models),
    Handles(subjects.ROUTE_EXPLAIN, PlanRoute, explain),
    Handles(subjects.ROUTE_HEALTH, AskHealth, health),
    Handles(subjects.probe("*"), ProbeProvider, probe),
)


@contextmanager
def live_plane(environ: dict[str, str], ledger: Ledger) -> Generator[Live]:
    """Runs until the block ends."""
    house = House(environ)
    made = house.first_account()
    ready, port = threading.Event(), [0]
    server: list[uvicorn.Server] = []

    async def main() -> None:
        await house.open()
        told = settings.read("ingress", environ)
        bus, telemetry = MemoryBus("ingress", house.broker), Telemetry(told)
        await MemoryBus("ledger", house.broker).serve(ledger.handlers(), ledger, queue="ledger")
        await MemoryBus("others", house.broker).serve(OTHERS, ledger, queue="others")
        app = cast("Any", management_app(bus, told, telemetry))
        config = uvicorn.Config(app, "127.0.0.1", 0, lifespan="off", log_level="error", access_log=False)
        server.append(uvicorn.Server(config))
        serving = asyncio.create_task(server[0].serve())
        while not server[0].started:  # noqa: ASYNC110  uvicorn says it in no other way
            await asyncio.sleep(0.01)
        port[0] = server[0].servers[0].sockets[0].getsockname()[1]
        ready.set()
        await serving
        await house.close()
        telemetry.stop()

    thread = threading.Thread(target=lambda: asyncio.run(main()))
    thread.start()
    assert ready.wait(30)
    try:
        yield Live(f"http://127.0.0.1:{port[0]}/api", made)
    finally:
        server[0].should_exit = True
        thread.join(30)
