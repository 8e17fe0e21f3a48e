"""The service around the application: what it remembers, and until when."""

from pathlib import Path

import pytest

from tests.conftest import free_port
from tests.ingress.conftest import KEY, PRINCIPAL
from tollway import settings
from tollway.bus import Handles
from tollway.bus.memory import Broker, MemoryBus
from tollway.ingress.handlers import Ingress
from tollway.listening import bound, listener_of
from tollway.runtime import Edge
from tollway.settings import SettingsError
from tollway.telemetry import Telemetry
from tollway.wire import subjects
from tollway.wire.access import CheckAccessKey, ConfigChanged, Principal
from tollway.wire.envelope import Context


def test_a_socket_that_cannot_be_listened_on_is_one_sentence() -> None:
    with pytest.raises(SettingsError, match="cannot listen on descriptor 999: Bad file descriptor"):
        listener_of(settings.read("ingress", {"TOLLWAY_LISTEN_FD": "999"}))
    with bound("127.0.0.1", 0) as taken:
        port = str(taken.getsockname()[1])
        with pytest.raises(SettingsError, match=f"cannot listen on 127.0.0.1:{port}: Address already in use"):
            listener_of(settings.read("ingress", {"TOLLWAY_PORT": port}))


async def test_a_verdict_is_asked_for_with_the_newest_change_that_was_heard_of(tmp_path: Path) -> None:
    told = settings.read("ingress", {"TOLLWAY_DATA_DIR": str(tmp_path), "TOLLWAY_PORT": str(free_port())})
    broker, telemetry = Broker(), Telemetry(told)
    ingress = Ingress(Edge(told, MemoryBus(told.node, broker), telemetry))
    auth, asked = MemoryBus("auth", broker), list[int]()

    async def check(_room: None, command: CheckAccessKey, _context: Context) -> Principal:
        asked.append(command.seen_version)
        return PRINCIPAL

    await auth.serve([Handles(subjects.AUTH_CHECK, CheckAccessKey, check)], None, queue="auth")
    await ingress.start()
    for account_id, version in (("ac_1", 7), ("ac_2", 9), ("ac_1", 8)):
        await ingress.principals.get(KEY)
        auth.tell(subjects.config(account_id), ConfigChanged(account_id, version, "access_key"))
        await ingress.bus.ask(subjects.AUTH_CHECK, CheckAccessKey(""), Principal, timeout_s=5)
    await ingress.principals.get(KEY)
    assert [version for version in asked if version] == [7, 9]
    await ingress.drain()
    await ingress.stop()
    telemetry.stop()
