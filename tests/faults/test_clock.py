"""A wall clock jumps ahead, back, and to and fro: nobody loses credit by it, and requests are served on."""

import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import pytest

from tests.e2e.gateway import until
from tests.faults.checker import Summary, audit, books_of
from tests.faults.conftest import NewHouse
from tests.faults.database import Database
from tests.faults.house import House, Wallet
from tests.faults.load import Ask, Storm
from tests.ledger.conftest import new_database

BENT: Final = Path(__file__).parent / "bent_clock"
DAY_S: Final = 86_400
HOUR_S: Final = 3_600
A_ROUND_OF_THE_TICK_S: Final = 66.0
"""Each journal is looked at for what has expired once in so long."""
FLAPS: Final = 12
UNTIL_SERVED: Final = (Ask(tries_max=20), Ask("simulator:echo;delay=40", tries_max=20))


class Clock:
    """A wall clock. The processes that live by it read the shift on every reading."""

    def __init__(self, directory: Path) -> None:
        self._file = directory / "shift"
        self.house: House | None = None

    def environment(self, bent: str) -> dict[str, str]:
        """For a house in which the processes of this module are lied to."""
        paths = [str(BENT), *filter(None, [os.environ.get("PYTHONPATH", "")])]
        return {"PYTHONPATH": os.pathsep.join(paths), "TOLLWAY_TEST_BENT": f"{bent}@{self._file}"}

    def set(self, shift_s: int) -> None:
        """The wall clock is wrong by so much from now on."""
        self._file.write_text(str(shift_s))
        if self.house is not None and shift_s:
            self.house.faults.append(f"the clock is wrong by {shift_s} s")


def expired_lots(house: House) -> list[str]:
    """Lots whose rest is gone."""
    accounts = books_of(house).accounts.values()
    return [name for account in accounts for name, lot in account.lots.items() if lot.is_expired]


def owners_of_lots_that_expire(house: House) -> list[Wallet]:
    """Accounts with nothing but bought credit."""
    wallets = [house.wallet(cents=0) for _ in range(2)]
    for wallet in wallets:
        house.sell(wallet.account_id, 1_000, reference=wallet.account_id)
    return wallets


def is_distrusted(house: House) -> bool:
    """Whether readiness says that the ledger's clock is not believed."""
    return "the clock jumped" in str(house.missing().get("ledger", ""))


def whole(house: House, wallets: Sequence[Wallet], storm: Storm) -> Summary:
    """Served on, nothing expired, the books balance."""
    assert storm.is_served_again()
    assert expired_lots(house) == []
    found = audit(house, wallets, storm.tries)
    assert found.breaches == []
    assert len(storm.completed()) > storm.started * 3 // 4, "a wrong clock stops no request"
    return found


@pytest.mark.long
@pytest.mark.timeout(300)
@pytest.mark.parametrize("bent", ["tollway.ledger", "*"], ids=["the ledger's", "the whole machine's"])
def test_a_clock_that_jumps_takes_nobodys_credit_and_stops_no_request(
    bent: str, new_house: NewHouse, tmp_path: Path
) -> None:
    clock = Clock(tmp_path)
    house = clock.house = new_house(environment=clock.environment(bent))
    house.start()
    wallets = owners_of_lots_that_expire(house)
    with Storm(house.base_url, wallets, requests=900, rate=8) as storm:
        time.sleep(1)
        clock.set(400 * DAY_S)
        until(lambda: is_distrusted(house))
        time.sleep(A_ROUND_OF_THE_TICK_S)
        clock.set(-DAY_S)
        time.sleep(2)
        assert is_distrusted(house)
        for number in range(FLAPS):
            clock.set(HOUR_S if number % 2 else -HOUR_S)
            time.sleep(0.5)
        clock.set(0)
        time.sleep(1)
        storm.stop()
    house.until_ready()
    whole(house, wallets, storm)


@pytest.mark.long
@pytest.mark.timeout(300)
@pytest.mark.parametrize("shift_s", [400 * DAY_S, -DAY_S], ids=["ahead", "behind"])
def test_a_ledger_that_starts_with_a_wrong_clock_on_postgresql_serves_and_takes_nobodys_credit(
    shift_s: int, new_house: NewHouse, tmp_path: Path, database: Database
) -> None:
    clock = Clock(tmp_path)
    house = clock.house = new_house(
        environment=clock.environment("tollway.ledger"), database_url=new_database(database.server)
    )
    house.start()
    wallets = owners_of_lots_that_expire(house)
    with Storm(house.base_url, wallets, requests=900, rate=8, kinds=UNTIL_SERVED) as storm:
        time.sleep(1)
        clock.set(shift_s)
        pid = house.kill("ledger")
        until(lambda: is_distrusted(house), within_s=30)
        assert house.pids()["ledger"] != pid
        time.sleep(A_ROUND_OF_THE_TICK_S)
        clock.set(0)
        pid = house.kill("ledger")
        house.until_replaced("ledger", pid)
        storm.stop()
    house.until_ready()
    whole(house, wallets, storm)
    assert {tried.ending for tried in storm.last} == {"complete"}
