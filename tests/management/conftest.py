"""The management plane over a real auth on SQLite and a ledger that answers from a table."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any, cast

import httpx
import msgspec
import pytest
from fastapi import FastAPI
from tests.auth.conftest import House, environ  # noqa: F401  a fixture

from tollway import settings
from tollway.bus import Handles
from tollway.bus.memory import Broker, MemoryBus
from tollway.ingress.management.app import api as make_app
from tollway.ingress.management.gate import Gate
from tollway.ingress.management.payments.routes import open_payments
from tollway.telemetry import Telemetry
from tollway.wire import credit, queries, subjects
from tollway.wire.envelope import Context
from tollway.wire.refusals import Refusal, refuse


class Ledger:
    """Answers queries with what a test put here, and remembers what it was asked."""

    def __init__(self) -> None:
        self.answers: dict[str, msgspec.Struct] = {}
        self.asked: list[Any] = []
        self.booked: dict[tuple[str, str], Any] = {}

    async def answer(self, command: msgspec.Struct, _context: Context) -> msgspec.Struct | Refusal:
        self.asked.append(command)
        return self.answers.get(type(command).__name__) or refuse("resource_missing")

    async def grant(self, command: credit.GrantCredit, _context: Context) -> credit.CreditGranted | Refusal:
        """Once per (source, ext_ref), as the real one."""
        known = self.booked.setdefault((command.source, command.ext_ref), command)
        if known != command:
            return refuse("duplicate_payment")
        return credit.CreditGranted("lot_1", command.amount_nusd, self.available_nusd())

    async def reverse(self, command: Any, _context: Context) -> credit.Booked | Refusal:
        key = ("reversal", command.ext_ref if isinstance(command, credit.ReverseCredit) else command.idem)
        self.booked.setdefault(key, command)
        return credit.Booked(self.available_nusd(), 0)

    def available_nusd(self) -> int:
        signs = {credit.GrantCredit: 1, credit.ReverseCredit: -1, credit.AdjustBalance: 1}
        return sum(signs[type(command)] * command.amount_nusd for command in self.booked.values())

    def handlers(self) -> list[Handles]:
        kinds = (
            queries.GetBalance,
            queries.ListTransactions,
            queries.ListUsage,
            queries.GetOverview,
            queries.GetRequest,
        )
        return [
            *(Handles(subjects.LEDGER_QUERY, kind, Ledger.answer) for kind in kinds),
            Handles(subjects.CREDIT_ALL, credit.GrantCredit, Ledger.grant),
            Handles(subjects.CREDIT_ALL, credit.ReverseCredit, Ledger.reverse),
            Handles(subjects.CREDIT_ALL, credit.AdjustBalance, Ledger.reverse),
        ]


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


@pytest.fixture(scope="session")
def fastapi_app(tmp_path_factory: pytest.TempPathFactory) -> FastAPI:
    """Made once: routes and shapes are the same for every test, what stands behind them is set by `plane`."""
    told = settings.read("ingress", {"TOLLWAY_DATA_DIR": str(tmp_path_factory.mktemp("app"))})
    return make_app(MemoryBus("none", Broker()), told, Telemetry(told))


@pytest.fixture
async def plane(environ: dict[str, str], fastapi_app: FastAPI) -> AsyncIterator[Plane]:  # noqa: F811  the fixture
    house = House(environ)
    made = house.first_account()
    await house.open()
    told = settings.read("ingress", environ)
    ledger, bus, telemetry = Ledger(), MemoryBus("ingress", house.broker), Telemetry(told)
    await MemoryBus("ledger", house.broker).serve(ledger.handlers(), ledger, queue="ledger")
    fastapi_app.state.bus, fastapi_app.state.telemetry = bus, telemetry
    fastapi_app.state.payments = open_payments(told)
    yield Plane(house, Gate(cast("Any", fastapi_app), bus), ledger, made.account_id, made.api_key, made.access_key)
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
