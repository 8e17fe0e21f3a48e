"""Two ledgers on one journal: one writes, the other stands by; a frozen one that wakes up says nothing and ends."""

import json
import sqlite3
import time
import zlib
from collections import Counter
from typing import Any, Final

import pytest

from tests.e2e.gateway import until
from tests.faults.books import read_blocks
from tests.faults.checker import audit
from tests.faults.conftest import NewHouse
from tests.faults.house import House
from tests.faults.load import Ask, Storm

FROZEN_S: Final = 6.0
NAMES: Final = ("ledger-1", "ledger-2")
UNTIL_SERVED: Final = (Ask(tries_max=20), Ask("simulator:echo;delay=40", tries_max=20))
"""No streams: who tries again after the begin of an answer would ask twice."""


def writers(house: House) -> dict[int, str]:
    """Who wrote last in each journal, by the epochs in the log."""
    found: dict[int, str] = {}
    for row in read_blocks(house.journal):
        for event in events_of(row):
            if event["t"] == "epoch.started":
                found[row[0]] = event["writer"]
    return found


def events_of(row: Any) -> list[dict[str, Any]]:
    """The events of a stored block."""
    return json.loads(zlib.decompress(row[9]) if row[8] else row[9])


def node_that_writes(house: House) -> str:
    """The process that writes most journals, by the name it has in this life."""
    return Counter(writers(house).values()).most_common(1)[0][0]


def name_of_writer(house: House) -> str:
    """The supervisor's name of the process that writes most journals, "" before its log tells."""
    node = node_that_writes(house)
    logs = {name: (house.data / "logs" / f"{name}.log").read_bytes() for name in NAMES}
    return next((name for name, log in logs.items() if node.encode() in log), "")


def test_a_frozen_ledger_is_replaced_by_its_standby_and_ends_when_it_wakes_up(new_house: NewHouse) -> None:
    house = new_house("--ledgers", "2")
    house.start()
    wallets = [house.wallet() for _ in range(2)]
    active = name_of_writer(house)
    with Storm(house.base_url, wallets, requests=110, rate=10) as storm:
        time.sleep(1.5)
        pid = house.freeze(active)
        until(lambda: name_of_writer(house) not in (active, ""), within_s=30)
        time.sleep(max(0.0, FROZEN_S - 3))
        house.thaw(pid)
        house.until_replaced(active, pid)
    house.until_ready()
    assert storm.is_served_again()
    assert audit(house, wallets, storm.tries, stranded_max=4).breaches == []
    assert len(storm.completed()) > storm.started // 4


@pytest.mark.long
def test_a_killed_ledger_is_replaced(new_house: NewHouse) -> None:
    house = new_house("--ledgers", "2")
    house.start()
    by_journal = Counter(row[0] for row in read_blocks(house.journal) for event in events_of(row) if _starts(event))
    assert set(by_journal.values()) == {1}, "two that start at once do not fight"
    wallets = [house.wallet() for _ in range(2)]
    with Storm(house.base_url, wallets, requests=80, rate=10) as storm:
        for _ in range(2):
            time.sleep(1)
            until(lambda: name_of_writer(house) != "")
            active, node = name_of_writer(house), node_that_writes(house)
            pid = house.kill(active)
            until(lambda before=node: node_that_writes(house) != before, within_s=30)
            house.until_replaced(active, pid)
    house.until_ready()
    assert audit(house, wallets, storm.tries).breaches == []
    assert len(storm.completed()) > storm.started // 4


def _starts(event: dict[str, Any]) -> bool:
    return event["t"] == "epoch.started"


WIPE: Final = ("DELETE FROM ledger_member", "UPDATE ledger_owner SET node = NULL")


def wipe(house: House) -> None:
    """Nobody knows any more who owns what: whoever looks next takes all, and the writer does not know it yet."""
    link = sqlite3.connect(house.data / "journal.db", isolation_level=None, timeout=20)
    link.execute("BEGIN IMMEDIATE")
    for statement in WIPE:
        link.execute(statement)
    link.execute("COMMIT")
    link.close()
    house.faults.append("the table of owners wiped")


@pytest.mark.long
def test_who_writes_is_decided_by_the_journal_even_if_nobody_knows_who_owns_it(new_house: NewHouse) -> None:
    house = new_house("--ledgers", "3")
    house.start()
    wallets = [house.wallet() for _ in range(3)]
    with Storm(house.base_url, wallets, requests=160, rate=12) as storm:
        for _ in range(6):
            time.sleep(1.7)
            wipe(house)
    house.until_ready()
    assert storm.is_served_again()
    assert audit(house, wallets, storm.tries, stranded_max=6).breaches == []
    assert len(storm.completed()) > storm.started // 4
    epochs = max(row[2] for row in read_blocks(house.journal))
    assert epochs > 1, "the journals changed hands"


@pytest.mark.long
def test_every_service_is_ended_in_turn_under_load_and_whoever_tries_again_is_served(new_house: NewHouse) -> None:
    house = new_house("--ledgers", "2", "--adapters", "2")
    house.start()
    wallets = [house.wallet() for _ in range(2)]
    with Storm(house.base_url, wallets, requests=300, rate=8, kinds=UNTIL_SERVED) as storm:
        for name in ("ingress", "router", "auth", "adapter-1", "adapter-2", "ledger-1", "ledger-2", "nats", "ingress"):
            time.sleep(1)
            pid = house.end(name)
            house.until_replaced(name, pid)
            house.until_ready()
        storm.stop()
    assert audit(house, wallets, storm.tries, stranded_max=6, may_lose_answers=True).breaches == []
    assert {tried.ending for tried in storm.last} == {"complete"}, "whoever tried again was served"


@pytest.mark.long
def test_services_are_ended_one_after_another_under_load_and_no_answer_is_cut(new_house: NewHouse) -> None:
    house = new_house("--ledgers", "2", "--adapters", "2")
    house.start()
    wallets = [house.wallet() for _ in range(2)]
    with Storm(house.base_url, wallets, requests=200, rate=8) as storm:
        for name in ("ledger-1", "ledger-2", "adapter-1", "adapter-2", "router", "auth"):
            time.sleep(1)
            pid = house.end(name)
            house.until_replaced(name, pid)
        storm.stop()
    house.until_ready()
    assert audit(house, wallets, storm.tries).breaches == []
    assert {tried.ending for tried in storm.tries} <= {"complete", "aborted", "refused"}, "no stream was cut"
    assert {tried.ending for tried in storm.last} <= {"complete", "aborted"}, "whoever tried again was served"
