"""The management plane over a real auth on SQLite and a ledger that answers from a table."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import httpx
import msgspec
import pytest
from tests.auth.conftest import House, environ  # noqa: F401  a fixture

from tollway import settings
from tollway.bus import Handles
from tollway.bus.memory import MemoryBus
from tollway.ingress.management import management_app
from tollway.telemetry import Telemetry
from tollway.wire import queries, subjects
from tollway.wire.envelope import Context
from tollway.wire.refusals import Refusal, refuse


class Ledger:
    """Answers queries with what a test put here, and remembers what it was asked."""

    def __init__(self) -> None:
        self.answers: dict[str, msgspec.Struct] = {}
        self.asked: list[Any] = []

    async def answer(self, command: msgspec.Struct, _context: Context) -> msgspec.Struct | Refusal:
        self.asked.append(command)
        return self.answers.get(type(command).__name__) or refuse("resource_missing")

    def handlers(self) -> list[Handles]:
        kinds = (
            queries.GetBalance,
            queries.ListTransactions,
            queries.ListUsage,
            queries.GetOverview,
            queries.GetRequest,
        )
        return [Handles(subjects.LEDGER_QUERY, kind, Ledger.answer) for kind in kinds]


@dataclass
class Plane:
    """The plane, its first account, and clients of it."""

    house: House
    app: Any
    ledger: Ledger
    account_id: str
    api_key: str
    access_key: str

    def client(self, api_key: str | None = None) -> httpx.AsyncClient:
        headers = {"authorization": f"Bearer {self.api_key if api_key is None else api_key}"}
        transport = httpx.ASGITransport(app=self.app, raise_app_exceptions=False)
        return httpx.AsyncClient(transport=transport, base_url="http://gateway.test/api", headers=headers)


@pytest.fixture
async def plane(environ: dict[str, str]) -> AsyncIterator[Plane]:  # noqa: F811  the fixture
    house = House(environ)
    made = house.first_account()
    await house.open()
    told = settings.read("ingress", environ)
    ledger, bus, telemetry = Ledger(), MemoryBus("ingress", house.broker), Telemetry(told)
    await MemoryBus("ledger", house.broker).serve(ledger.handlers(), ledger, queue="ledger")
    app = management_app(bus, told, telemetry)
    yield Plane(house, app, ledger, made.account_id, made.api_key, made.access_key)
    await house.close()
    telemetry.stop()


@pytest.fixture
async def api(plane: Plane) -> AsyncIterator[httpx.AsyncClient]:
    """The first account's client."""
    async with plane.client() as client:
        yield client


@pytest.fixture
async def stranger(plane: Plane, api: httpx.AsyncClient) -> AsyncIterator[httpx.AsyncClient]:
    """Another account's client."""
    from tollway.wire import management as m

    by = await plane.house.principal(plane.api_key)
    made = await plane.house.ask("auth.manage", m.CreateResource(by, m.AccountDraft("other")), m.Created)
    async with plane.client(made.token) as client:
        yield client
