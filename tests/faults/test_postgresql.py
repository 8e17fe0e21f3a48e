"""The same promises on PostgreSQL: killed services, a database that stops at once and starts again, cut connections."""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from tests.e2e.gateway import until
from tests.faults.checker import audit, books_of
from tests.faults.conftest import NewHouse
from tests.faults.database import Database, Wire
from tests.faults.house import NUSD_PER_CENT, House
from tests.faults.load import Ask, Storm, attempt_once, together
from tests.faults.test_damage import ledger, two_wallets
from tests.ledger.conftest import new_database
from tollway.wire.subjects import journal_of

STOPS: Final = 3
EVERY: Final = 5


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
    is_lossy = name in ("adapter", "nats")
    assert audit(house, wallets, storm.tries, stranded_max=6, may_lose_answers=is_lossy).breaches == []
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


@pytest.mark.long
@pytest.mark.timeout(240)
def test_a_database_restored_from_a_backup_halts_and_gets_what_came_after_from_the_stream(
    new_house: NewHouse, database: Database, tmp_path: Path
) -> None:
    house = new_house(database_url=new_database(database.server))
    house.start()
    wallets = two_wallets(house)
    tries = [tried for wallet in wallets for tried in together(house.base_url, wallet, [Ask(tries_max=1)] * 6)]
    database.dump(house.database_url, tmp_path / "backup")
    tries += [tried for wallet in wallets for tried in together(house.base_url, wallet, [Ask(tries_max=1)] * 6)]
    assert audit(house, wallets, tries).breaches == []
    before = [books_of(house).accounts[wallet.account_id] for wallet in wallets]
    house.stop()
    database.restore(house.database_url, tmp_path / "backup")
    house.faults.append("the database restored from a backup")
    assert books_of(house).blocks > 0, "the backup has a past"
    house.begin()
    until(lambda: "is halted" in str(house.missing().get("ledger", "")), within_s=60)
    refused = [attempt_once(house.base_url, wallet, Ask(tries_max=1)) for wallet in wallets]
    assert {tried.status for tried in refused} == {503}
    code, said = ledger(house, "repair", "--from", "stream", "--yes")
    assert (code, len(said["journals"])) == (0, len({journal_of(wallet.account_id) for wallet in wallets}))
    house.until_ready()
    assert [books_of(house).accounts[wallet.account_id] for wallet in wallets] == before
    tries += [*refused, *(attempt_once(house.base_url, wallet, Ask()) for wallet in wallets)]
    assert {tried.ending for tried in tries[-2:]} == {"complete"}
    assert audit(house, wallets, tries, is_tally_whole=False).breaches == []
    assert ledger(house, "verify", "--cross")[0] == 0


@pytest.mark.long
def test_every_fifth_commit_is_done_and_its_answer_lost(tmp_path: Path, database: Database) -> None:
    with Wire(new_database(database.server), every=EVERY) as wire:
        house = House(tmp_path, "--ledgers", "2", database_url=wire.url)
        try:
            house.start()
            wallets = [house.wallet() for _ in range(3)]
            wire.is_cutting = True
            with Storm(house.base_url, wallets, requests=120, rate=12) as storm:
                for number in range(10):
                    house.grant(wallets[0].account_id, 1, reference=f"again-{number}")
                    house.grant(wallets[0].account_id, 1, reference=f"again-{number}")
            wire.is_cutting = False
            house.faults += ["an answer to a commit lost"] * wire.cuts
            house.until_ready()
            assert storm.is_served_again()
            assert audit(house, wallets, storm.tries, stranded_max=6).breaches == []
            assert books_of(house).accounts[wallets[0].account_id].came_in == 1_010 * NUSD_PER_CENT
            assert len(storm.completed()) > storm.started // 4
            assert wire.cuts > 10
        finally:
            house.close()
