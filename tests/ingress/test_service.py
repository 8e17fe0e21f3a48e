"""The service around the application: what it remembers, and until when."""

from pathlib import Path

from tests.conftest import free_port
from tests.ingress.conftest import KEY, PRINCIPAL
from tollway import settings
from tollway.bus import Handles
from tollway.bus.memory import Broker, MemoryBus
from tollway.ingress.handlers import Ingress
from tollway.runtime import Edge
from tollway.telemetry import Telemetry
from tollway.wire import subjects
from tollway.wire.access import CheckAccessKey, ConfigChanged, Principal
from tollway.wire.envelope import Context


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
