"""Everything at once: two of each service, fifty accounts of which one is hot and five have next to nothing, and blows
that fall on anybody in any order, faster than the last one is recovered from."""

import random
import time
from collections.abc import Callable
from functools import partial
from typing import Final

import pytest

from tests.faults.checker import audit, books_of
from tests.faults.conftest import NewHouse
from tests.faults.database import Database
from tests.faults.house import NUSD_PER_CENT, OTHERS, House, Wallet
from tests.faults.load import Ask, Storm
from tests.faults.test_credit import hold_of
from tests.ledger.conftest import new_database

TWO_OF_EACH: Final = ("--ingresses", "2", "--adapters", "2", "--ledgers", "2")
ACCOUNTS: Final = 50
POOR: Final = 5
POOR_HOLDS: Final = 3
HOT_CENTS: Final = 100_000
"""Enough for every second request, however long its text is by now: each try has a longer one than the one before."""
FROZEN_S: Final = 2.0
STRANDED_MAX: Final = 24
"""Each killed ingress may leave a hold or two between its opening and its dispatch."""


def crowd(house: House) -> tuple[list[Wallet], list[Wallet]]:
    """Accounts that differ, and in which order they ask: every second request is the hot one's."""
    hot = house.wallet(cents=HOT_CENTS)
    poor_cents = -(-POOR_HOLDS * hold_of(house, hot, Ask()) // NUSD_PER_CENT)
    others = [house.wallet() for _ in range(ACCOUNTS - 1 - POOR)]
    others += [house.wallet(cents=poor_cents) for _ in range(POOR)]
    return [hot, *others], [each for other in others for each in (hot, other)]


def blows_on(house: House, database: Database | None) -> list[Callable[[], object]]:
    """What may happen, each once."""
    services = [name for name in house.pids() if name not in OTHERS]
    found: list[Callable[[], object]] = [partial(house.kill, "nats")]
    for what in (house.kill, house.end, partial(freeze, house)):
        found += [partial(what, name) for name in services]
    return found if database is None else [*found, partial(stop, house, database), partial(cut, house, database)]


def freeze(house: House, name: str) -> None:
    """A process that nobody hears for a while."""
    pid = house.freeze(name)
    time.sleep(FROZEN_S)
    house.thaw(pid)


def stop(house: House, database: Database) -> None:
    """A database that is away for a second."""
    house.faults.append("postgresql stopped")
    database.stop()
    time.sleep(1)
    database.start()


def cut(house: House, database: Database) -> None:
    """A database that loses all its connections."""
    house.faults.append("connections cut")
    database.cut()


@pytest.mark.long
@pytest.mark.timeout(400)
@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_the_books_balance_after_blows_on_everybody_in_any_order(
    kind: str, new_house: NewHouse, request: pytest.FixtureRequest
) -> None:
    database: Database | None = request.getfixturevalue("database") if kind == "postgresql" else None
    house = new_house(*TWO_OF_EACH, database_url="" if database is None else new_database(database.server))
    house.start()
    wallets, askers = crowd(house)
    draw = random.Random(kind)
    blows = blows_on(house, database)
    with Storm(house.base_url, askers, requests=4_000, rate=20) as storm:
        draw.shuffle(blows)
        for blow in blows:
            time.sleep(draw.uniform(0.5, 2.5))
            blow()
        time.sleep(2)
        storm.stop()
    house.until_ready(within_s=60)
    assert storm.is_served_again()
    found = audit(house, wallets, storm.tries, stranded_max=STRANDED_MAX, may_lose_answers=True)
    assert found.breaches == []
    assert len(storm.completed()) > storm.started // 2
    books = books_of(house)
    left = [books.accounts[wallet.account_id] for wallet in wallets]
    assert all(account.charged > 0 for account in left), "every account was served"
    assert sum(account.debt for account in left) == 0
