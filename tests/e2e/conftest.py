"""One gateway for the tests that only talk to it, and fresh ones for those that break it."""

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest

from tests.e2e.gateway import Gateway
from tests.telemetry.receiver import OtlpReceiver

Start = Callable[..., Gateway]


@pytest.fixture(scope="session")
def receiver() -> Iterator[OtlpReceiver]:
    """Where the shared gateway's spans go."""
    with OtlpReceiver() as receiver:
        yield receiver


@pytest.fixture(scope="session")
def gateway(tmp_path_factory: pytest.TempPathFactory, receiver: OtlpReceiver) -> Iterator[Gateway]:
    """A gateway with its first account, every trace sampled. At the end it drains, and no service ever tried to say
    or hear what the bus's permissions forbid."""
    gateway = Gateway(tmp_path_factory.mktemp("gateway"), environment=receiver.environment()).start()
    yield gateway
    code = gateway.stop()
    gateway.close()
    logs = {path.name: path.read_text(errors="replace") for path in (gateway.data / "logs").iterdir()}
    assert code == 0
    assert [name for name, text in logs.items() if "violation" in text.lower()] == []


@pytest.fixture
def fresh(tmp_path: Path) -> Iterator[Start]:
    """Make gateways on directories of their own; they are ended whatever happens."""
    made: list[Gateway] = []

    def make(*arguments: str, environment: Mapping[str, str] | None = None) -> Gateway:
        root = tmp_path / str(len(made))
        root.mkdir()
        made.append(Gateway(root, *arguments, environment=environment))
        return made[-1]

    yield make
    for gateway in made:
        gateway.close()
