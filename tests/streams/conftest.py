"""Two gateways for this suite: one that carries a crowd, and one with little room."""

from collections.abc import Iterator

import pytest

from tests.faults.house import Wallet
from tests.streams.gateway import Gateway

HEARTBEAT_S = 1
STALL_S = 8
ROOM = 40
REPORT: list[str] = []
"""What was measured, for the end of the run."""


@pytest.fixture(scope="package")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """Heartbeats and stalls in seconds instead of a minute."""
    told = {"TOLLWAY_HEARTBEAT_S": str(HEARTBEAT_S), "TOLLWAY_SEND_STALL_S": str(STALL_S)}
    gateway = Gateway(tmp_path_factory.mktemp("streams"), environment=told)
    try:
        gateway.start()
        yield gateway
    finally:
        gateway.close()


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """Room for few requests."""
    gateway = Gateway(tmp_path_factory.mktemp("small"), environment={"TOLLWAY_REQUESTS_MAX": str(ROOM)})
    try:
        gateway.start()
        yield gateway
    finally:
        gateway.close()


@pytest.fixture
def wallet(gateway: Gateway) -> Wallet:
    """An account with credit enough for a crowd."""
    return gateway.wallet(cents=500_000)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """The figures of the run."""
    for line in REPORT:
        terminalreporter.write_line(line)
