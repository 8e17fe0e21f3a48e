"""kill -9 of each process in turn under load: the system recovers by itself, and the books balance."""

import time

import pytest

from tests.faults.checker import audit, books_of
from tests.faults.house import House
from tests.faults.load import Ask, Storm
from tollway.wire.credit import HOLDS_AT_ONCE_MAX

FROZEN_S = 17.0
"""Longer than anybody waits for a sign of life."""
HAND_ON = ("adapter", "nats", "ingress")
NAMES = ("router", "auth", "adapter", "ledger", "nats", "ingress")


@pytest.mark.parametrize("name", NAMES)
def test_the_books_balance_after_kill_9_of(name: str, house: House) -> None:
    wallets = [house.wallet() for _ in range(3)]
    with Storm(house.base_url, wallets, requests=90, rate=25) as storm:
        time.sleep(1.5)
        pid = house.kill(name)
        house.until_replaced(name, pid)
        house.until_ready()
    assert storm.is_served_again()
    found = audit(house, wallets, storm.tries, may_lose_answers=name in HAND_ON)
    assert found.breaches == []
    assert len(storm.completed()) > storm.started // 4


@pytest.mark.long
@pytest.mark.parametrize("name", NAMES[:4] + NAMES[5:])
def test_the_books_balance_after_one_was_frozen_until_it_counted_as_dead_and_woke_up(name: str, house: House) -> None:
    wallets = [house.wallet() for _ in range(3)]
    with Storm(house.base_url, wallets, requests=240, rate=8) as storm:
        time.sleep(1.5)
        pid = house.freeze(name)
        time.sleep(FROZEN_S)
        house.thaw(pid)
        time.sleep(1)
        storm.stop()
    house.until_ready()
    assert storm.is_served_again()
    found = audit(house, wallets, storm.tries, stranded_max=6, may_lose_answers=name in HAND_ON)
    assert found.breaches == []


@pytest.mark.parametrize("name", ["ingress", pytest.param("ledger", marks=pytest.mark.long)])
def test_the_books_balance_after_kill_9_amid_holds_opened_ahead_of(name: str, house: House) -> None:
    wallet = house.wallet(cents=100_000)
    with Storm(house.base_url, [wallet], requests=400, rate=160, kinds=[Ask()]) as storm:
        time.sleep(1.5)
        pid = house.kill(name)
        house.until_replaced(name, pid)
        house.until_ready()
    assert storm.is_served_again()
    stranded_max = HOLDS_AT_ONCE_MAX if name == "ingress" else 0
    found = audit(house, [wallet], storm.tries, stranded_max=stranded_max, may_lose_answers=name == "ingress")
    assert found.breaches == []
    owners = books_of(house).owners
    unused = {hold for hold, account in owners.items() if account == wallet.account_id}
    assert unused - {tried.request_id for tried in storm.tries}, "no hold was opened ahead"
