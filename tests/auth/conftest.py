"""An auth service on real databases: SQLite by default, PostgreSQL where a test asks for both."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import TypeVar

import msgspec
import pytest
from sqlalchemy import create_engine, text
from tests.postgres import postgresql

from tollway import settings
from tollway.auth.bootstrap import FirstAccount, first_account
from tollway.auth.service import Auth
from tollway.bus.memory import Broker, MemoryBus
from tollway.runtime import Edge
from tollway.sealing import create_master_key
from tollway.store import migrate
from tollway.telemetry import Telemetry
from tollway.wire.access import ApiPrincipal, CheckApiKey

Environ = dict[str, str]
T = TypeVar("T", bound=msgspec.Struct)


@pytest.fixture(scope="session")
def postgres_url() -> Iterator[str]:
    """A real PostgreSQL for the run."""
    with postgresql() as server:
        yield server.get_uri().replace("postgresql://", "postgresql+psycopg://", 1)


@pytest.fixture
def environ(tmp_path: Path) -> Environ:
    """A data directory with master keys, and tables on SQLite."""
    told = {"TOLLWAY_DATA_DIR": str(tmp_path)}
    create_master_key(tmp_path / "master.key", tmp_path / "master.pub")
    migrate.upgrade(settings.read("auth", told).database("auth"), "auth")
    return told


@pytest.fixture(params=["sqlite", "postgresql"])
def environ_on_both(request: pytest.FixtureRequest, environ: Environ) -> Iterator[Environ]:
    """The same on SQLite and on PostgreSQL, with fresh tables."""
    if request.param == "sqlite":
        yield environ
        return
    url = request.getfixturevalue("postgres_url")
    migrate.upgrade(url, "auth")
    yield {**environ, "TOLLWAY_DATABASE_URL": url}
    engine = create_engine(url)
    with engine.begin() as connection:
        for table in ("auth_event", "auth_record", "auth_position", "auth_use"):
            connection.execute(text(f"DELETE FROM {table}"))
    engine.dispose()


class House:
    """Auth services of one test, each with a bus of its own on one broker."""

    def __init__(self, environ: Environ) -> None:
        self.environ = environ
        self.broker = Broker()
        self.client = MemoryBus("test", self.broker)
        self._rooms: list[tuple[Auth, MemoryBus, Telemetry]] = []

    def first_account(self) -> FirstAccount:
        return first_account(settings.read("auth", self.environ))

    async def open(self) -> Auth:
        told = settings.read("auth", self.environ)
        bus, telemetry = MemoryBus(told.node, self.broker), Telemetry(told)
        room = Auth(Edge(told, bus, telemetry))
        await room.start()
        await bus.serve(room.HANDLERS, room, queue="auth")
        self._rooms.append((room, bus, telemetry))
        return room

    async def close(self) -> None:
        while self._rooms:
            room, bus, telemetry = self._rooms.pop()
            await bus.drain()
            await room.drain()
            await room.stop()
            telemetry.stop()

    async def ask(self, subject: str, body: msgspec.Struct, reply: type[T]) -> T:
        answer = await self.client.ask(subject, body, reply, timeout_s=5)
        assert isinstance(answer, reply), answer
        return answer

    async def principal(self, api_key: str) -> ApiPrincipal:
        return await self.ask("auth.check_api", CheckApiKey(api_key), ApiPrincipal)


@pytest.fixture
async def house(environ: Environ) -> AsyncIterator[House]:
    """On SQLite."""
    house = House(environ)
    yield house
    await house.close()


@pytest.fixture
async def house_on_both(environ_on_both: Environ) -> AsyncIterator[House]:
    """On SQLite and on PostgreSQL."""
    house = House(environ_on_both)
    yield house
    await house.close()
