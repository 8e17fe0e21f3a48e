"""kill -9 at each named point of the code: retries get the committed decision, and nothing is charged twice or lost."""

import re
import time
from dataclasses import replace
from pathlib import Path
from typing import Final

import pytest

import tollway.crash
from tests.faults.checker import audit, settle_down
from tests.faults.house import House, Wallet
from tests.faults.load import KINDS, Ask, Storm, attempt_once
from tollway.crash import CRASHPOINTS

IN_SHORT: Final = ("ledger.in_commit", "adapter.after_outbox")
AFTER_THE_FACT: Final = ("adapter.after_outbox", "adapter.after_publish")
"""The usage fact is durable and the answer's end not handed on: it is charged, unless ingress was heard first."""
AUTH: Final = "auth."
JSON_ONLY: Final = (Ask(), Ask("simulator:echo;delay=40"))
STRANDED_MAX: Final = 12
"""Requests that may be between their hold and their dispatch when ingress dies, or whose caller had hung up when their
adapter died: their holds wait for the deadline."""
JSON_HOLD_ENDS_WITHIN_S: Final = 105.0
"""The 15 s that the load asks for, 15 s of margin, 60 s of grace, and the tick."""


def test_the_list_of_crash_points_is_that_of_the_code() -> None:
    root = Path(tollway.crash.__file__).parents[2] / "services"
    texts = [path.read_text() for path in root.rglob("*.py")]
    named = [name for text in texts for name in re.findall(r"crash(?:point|ing)\(\"([\w.]+)\"\)", text)]
    assert sorted(named) == sorted(CRASHPOINTS)


def cases() -> list[object]:
    """Each point at its first passing, and at a later one, when more is under way."""
    names = [name for name in CRASHPOINTS if not name.startswith(AUTH)]
    first = [pytest.param(name, 1, marks=() if name in IN_SHORT else pytest.mark.long) for name in names]
    return first + [pytest.param(name, 7, marks=pytest.mark.long) for name in names]


@pytest.mark.parametrize(("point", "nth"), cases())
def test_the_books_balance_after_a_crash_at(point: str, nth: int, house: House) -> None:
    kinds = JSON_ONLY if point in ("ingress.before_hold", "ingress.after_hold") else KINDS
    wallets = [house.wallet() for _ in range(3)]
    house.arm(point, nth=nth)
    with Storm(house.base_url, wallets, requests=60, rate=15, kinds=kinds) as storm:
        house.until_struck(point)
    house.faults.append(f"crash at {point}:{nth}")
    house.until_ready()
    assert storm.is_served_again()
    found = audit(
        house,
        wallets,
        storm.tries,
        stranded_max=0 if point.startswith("ledger.") else STRANDED_MAX,
        may_lose_answers=point in AFTER_THE_FACT,
    )
    assert found.breaches == []
    assert len(storm.completed()) > storm.started // 4
    stranded.extend(wallets if found.open_holds and kinds is JSON_ONLY else ())


stranded: Final[list[Wallet]] = []


@pytest.mark.long
@pytest.mark.timeout(240)
def test_holds_of_an_ingress_that_died_before_dispatch_end_at_their_deadline(house: House) -> None:
    assert stranded, "runs after the crashes of ingress"
    books = settle_down(house, stranded, within_s=JSON_HOLD_ENDS_WITHIN_S)
    assert books.breaches == []
    accounts = {wallet.account_id for wallet in stranded}
    assert [hold for hold in books.holds.values() if hold.account in accounts] == []
    assert [hold for hold in books.expired.values() if hold.account in accounts]


def auth_cases() -> list[object]:
    """Auth passes its points when something is changed, not when something is asked."""
    names = [name for name in CRASHPOINTS if name.startswith(AUTH)]
    return [pytest.param(name, marks=() if name in IN_SHORT else pytest.mark.long) for name in names]


@pytest.mark.parametrize("point", auth_cases())
def test_keys_work_once_they_were_given_out_and_no_more_once_they_were_revoked_though_auth_crashes_at(
    point: str, house: House
) -> None:
    wallet = house.wallet()
    house.arm(point, nth=5)
    keys = Keys(house, wallet)
    with Storm(house.base_url, [wallet], requests=40, rate=10) as storm:
        while house.is_armed:
            keys.change()
        house.until_struck(point)
    house.faults.append(f"crash at {point}")
    house.until_ready()
    assert storm.is_served_again()
    listed = {key["id"] for key in house.ask("GET", "/access-keys?limit=100", wallet.api_key)["aiGatewayAccessKeys"]}
    assert set(keys.given) <= listed
    assert not set(keys.revoked) & listed
    for token in keys.given.values():
        assert attempt_once(house.base_url, replace(wallet, access_key=token), Ask(tries_max=1)).status == 200
    for token in keys.revoked.values():
        assert attempt_once(house.base_url, replace(wallet, access_key=token), Ask(tries_max=1)).status == 401
    assert audit(house, [wallet], storm.tries).breaches == []


class Keys:
    """An owner who makes keys and revokes every other one. Kept is what was confirmed, by id."""

    def __init__(self, house: House, wallet: Wallet) -> None:
        self._house = house
        self._wallet = wallet
        self.given: dict[str, str] = {}
        self.revoked: dict[str, str] = {}

    def change(self) -> None:
        """One more key, or one less; what is not confirmed is not believed, nor its opposite."""
        try:
            if len(self.given) > len(self.revoked):
                identifier, token = self.given.popitem()
                self._house.ask("DELETE", f"/access-keys/{identifier}", self._wallet.api_key)
                self.revoked[identifier] = token
            else:
                made = self._house.ask("POST", "/access-keys", self._wallet.api_key, {"name": "more"})
                self.given[made["id"]] = made["token"]
        except OSError:
            time.sleep(0.05)
