"""A bus with the permission table in force, and the roles that talk over it."""

import asyncio
import contextlib
import subprocess
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path

import pytest
from nats.aio.client import Client

from tollway.bus.nats import NatsBus, connect
from tollway.cli import bus_table, embedded_nats
from tollway.cli.place import Place, new_passwords
from tollway.cli.streams import make_streams


class GuardedBus:
    """A `nats-server` started with the configuration that `tollway up` writes."""

    def __init__(self, root: Path) -> None:
        self.place = Place(root)
        self.place.claim()
        self.passwords = new_passwords(bus_table.USERS)
        self.ports = embedded_nats.keep_or_choose({}, ("nats", "nats_monitor"))
        self.url = f"nats://127.0.0.1:{self.ports['nats']}"
        self.monitor_url = f"http://127.0.0.1:{self.ports['nats_monitor']}"
        command = embedded_nats.write_config(self.place, ports=self.ports, passwords=self.passwords)
        self._log = (root / "log").open("wb")
        self._process = subprocess.Popen(command, stdout=self._log, stderr=self._log)

    def stop(self) -> None:
        self._process.kill()
        self._process.wait()
        self._log.close()
        self.place.release()


@pytest.fixture(scope="session")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GuardedBus]:
    bus = GuardedBus(tmp_path_factory.mktemp("guarded") / "data")
    asyncio.run(make_streams(bus.url, password=bus.passwords["setup"]))
    yield bus
    bus.stop()


Connect = Callable[[str], Awaitable[NatsBus]]


@pytest.fixture
async def as_role(guarded: GuardedBus) -> AsyncIterator[Connect]:
    """Connect to the guarded bus as a role, the way its service does."""
    async with contextlib.AsyncExitStack() as stack:

        async def open_as(role: str) -> NatsBus:
            bus = await connect(guarded.url, role=role, node=f"{role}-1", user=role, password=guarded.passwords[role])
            stack.push_async_callback(bus.drain)
            return bus

        yield open_as


class Intruder:
    """A plain client with a role's password, which tries what the role may not do."""

    def __init__(self) -> None:
        self.client = Client()
        self.violations: list[str] = []

    async def open(self, guarded: GuardedBus, role: str) -> None:
        await self.client.connect(
            guarded.url,
            user=role,
            password=guarded.passwords[role],
            inbox_prefix=f"_in.{role}",
            error_cb=self._note,
            max_reconnect_attempts=0,
        )

    async def _note(self, error: Exception) -> None:
        self.violations.append(str(error).lower())

    async def is_refused(self, action: Awaitable[object]) -> bool:
        """Whether the broker answered the action with a violation."""
        before = len(self.violations)
        with contextlib.suppress(Exception):
            await action
        await self.client.flush()
        for _ in range(100):
            if len(self.violations) > before:
                return "permissions violation" in self.violations[-1]
            await asyncio.sleep(0.01)
        return False


@pytest.fixture
async def intrude(guarded: GuardedBus) -> AsyncIterator[Callable[[str], Awaitable[Intruder]]]:
    async with contextlib.AsyncExitStack() as stack:

        async def open_as(role: str) -> Intruder:
            intruder = Intruder()
            await intruder.open(guarded, role)
            stack.push_async_callback(intruder.client.close)
            return intruder

        yield open_as
