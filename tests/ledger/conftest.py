"""Journals on both databases, made by the migrations, and what builds on them."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy.engine import make_url

from tests import postgres
from tests.conftest import NatsServer, make_streams
from tests.ledger.house import House
from tollway.ledger.journal.store import JournalStore
from tollway.ledger.views.store import ViewStore
from tollway.store import migrate
from tollway.store.engine import open_engine


@pytest.fixture(scope="session")
def postgresql() -> Iterator[Any]:
    """A real PostgreSQL for the run."""
    with postgres.postgresql() as server:
        yield server


def new_database(server: Any) -> str:
    """A database of its own in the run's server."""
    name = f"t{uuid4().hex[:12]}"
    server.psql(f"create database {name}")
    url = make_url(server.get_uri()).set(drivername="postgresql+psycopg", database=name)
    return url.render_as_string(hide_password=False)


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[str], str]:
    """URL of a part, by its name, with its tables made; both databases take their turn."""
    if request.param == "postgresql":
        url = new_database(request.getfixturevalue("postgresql"))
        urls = {"journal": url, "views": url}
    else:
        urls = {part: f"sqlite:///{tmp_path}/{part}.db" for part in ("journal", "views")}
    for part, url in urls.items():
        migrate.upgrade(url, part)  # type: ignore[arg-type]
    return urls.__getitem__


@pytest.fixture
def sqlite_database(tmp_path: Path) -> Callable[[str], str]:
    """The same on SQLite alone, where the database does not matter."""
    for part in ("journal", "views"):
        migrate.upgrade(f"sqlite:///{tmp_path}/{part}.db", part)
    return lambda part: f"sqlite:///{tmp_path}/{part}.db"


@pytest.fixture
def open_store(database: Callable[[str], str]) -> Iterator[Callable[[], JournalStore]]:
    """Opens the journal, as often as there are writers."""
    opened: list[JournalStore] = []

    def open_one() -> JournalStore:
        opened.append(JournalStore(open_engine(database("journal"), is_writer=True)))
        return opened[-1]

    yield open_one
    for store in opened:
        store.let_go()
        store.engine.dispose()


@pytest.fixture
def store(open_store: Callable[[], JournalStore]) -> JournalStore:
    """One journal store."""
    return open_store()


@pytest.fixture
def views(database: Callable[[str], str]) -> Iterator[ViewStore]:
    """The read models."""
    engine = open_engine(database("views"), is_writer=True)
    views = ViewStore(engine)
    yield views
    views.close()
    engine.dispose()


@pytest.fixture
def bus_server(tmp_path: Path) -> Iterator[NatsServer]:
    """A bus of one test's own: streams and consumers are remembered by their server."""
    directory = tmp_path / "nats"
    directory.mkdir()
    server = NatsServer(directory)
    server.start()
    asyncio.run(make_streams(server.url))
    yield server
    server.kill()


@pytest.fixture
async def house(bus_server: NatsServer, database: Callable[[str], str], tmp_path: Path) -> AsyncIterator[House]:
    """A house on both databases."""
    async with House(bus_server, database, tmp_path) as house:
        yield house


@pytest.fixture
async def small_house(
    bus_server: NatsServer, sqlite_database: Callable[[str], str], tmp_path: Path
) -> AsyncIterator[House]:
    """A house on SQLite, where the database does not matter."""
    async with House(bus_server, sqlite_database, tmp_path) as house:
        yield house
