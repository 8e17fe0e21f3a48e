"""What a request costs is settled by the price it was held under, and by figures that can be true."""

import json
import threading
from pathlib import Path
from typing import Final

import pytest

from tests.e2e.gateway import until
from tests.faults.books import OVERRUN_MIN
from tests.faults.checker import audit, books_of, settle_down
from tests.faults.conftest import NewHouse
from tests.faults.house import House, Wallet
from tests.faults.load import Ask, Try, attempt_once, together

FEE: Final = 50
NOT_KNOWN: Final = 422
LIES: Final = ("huge", "negative", "zero", "nan", "2e63", "float", "text", "null")


def test_usage_that_cannot_be_true_empties_no_account_and_gives_nothing_away(house: House) -> None:
    wallet = house.wallet()
    models = ["simulator:fail-no-usage", *(f"simulator:fail-usage-{lie}" for lie in LIES)]
    asks = [Ask(model, is_stream=is_stream, tries_max=1) for model in models for is_stream in (False, True)]
    tries = together(house.base_url, wallet, asks)
    house.faults += [f"usage of {tried.ask.model}" for tried in tries]
    books = settle_down(house, [wallet])
    assert books.breaches == []
    for tried in tries:
        settled, held = books.settled[tried.request_id], books.opened[tried.request_id]
        assert settled.charged <= held + max(held // 20, OVERRUN_MIN)
        assert settled.charged > 0, f"{tried.ask.model}: content was delivered for nothing"
    account = books.accounts[wallet.account_id]
    assert (account.debt, account.held) == (0, 0)
    assert account.available == account.came_in - account.charged


def _priced(file: Path, dollars_in: int, dollars_out: int) -> None:
    cost = {"input": str(dollars_in), "output": str(dollars_out)}
    file.write_text(json.dumps({"simulator": {"models": {"echo": {"cost": cost}}}}))


def _per_token(tried: Try, tokens_out: int, nusd_in: int, nusd_out: int) -> int:
    return tried.tokens_input * (nusd_in + FEE) + tokens_out * (nusd_out + FEE)


def _begun(house: House, wallet: Wallet, slow: Ask, tries: list[Try]) -> threading.Thread:
    """A request whose hold is open, and that will be among the tries when it has ended."""
    thread = threading.Thread(target=lambda: tries.append(attempt_once(house.base_url, wallet, slow)))
    thread.start()
    until(lambda: bool(books_of(house).holds))
    return thread


@pytest.mark.long
def test_a_price_that_changes_during_a_request_is_not_its_price(new_house: NewHouse, tmp_path: Path) -> None:
    prices = tmp_path / "prices.json"
    _priced(prices, 1, 2)
    house = new_house(environment={"TOLLWAY_CATALOG_FILE": str(prices)})
    house.start()
    wallet = house.wallet()
    tries: list[Try] = []
    thread = _begun(house, wallet, Ask("simulator:echo;chunks=60;delay=150", is_stream=True, tries_max=1), tries)
    _priced(prices, 10, 20)
    house.faults.append("a price list changed while an answer streams")
    pid = house.kill("router")
    house.until_replaced("router", pid)
    house.until_ready()
    tries.append(attempt_once(house.base_url, wallet, Ask()))
    assert thread.is_alive(), "the first answer still streams"
    thread.join()
    assert {tried.ending for tried in tries} == {"complete"}
    assert audit(house, [wallet], tries).breaches == []
    settled = books_of(house).settled
    after, before = tries
    assert after.receipt_nusd == _per_token(after, settled[after.request_id].tokens_output, 10_000, 20_000)
    assert before.receipt_nusd == _per_token(before, settled[before.request_id].tokens_output, 1_000, 2_000)


def test_a_model_that_is_removed_during_a_request_is_settled_as_it_was_held(new_house: NewHouse) -> None:
    house = new_house(environment={"TOLLWAY_ALLOW_PRIVATE_CIDRS": "loopback"})
    house.start()
    wallet = house.wallet()
    told = {"providerId": "own", "name": "own", "baseUrl": f"http://127.0.0.1:{house.state['ports']['simulator']}/v1"}
    provider = house.ask("POST", "/providers", wallet.api_key, told)
    tries: list[Try] = []
    thread = _begun(house, wallet, Ask("own:echo;chunks=40;delay=100", is_stream=True, tries_max=1), tries)
    house.ask("DELETE", f"/providers/{provider['id']}", wallet.api_key)
    house.faults.append("a provider removed while its answer streams")
    until(lambda: attempt_once(house.base_url, wallet, Ask("own:echo", tries_max=1)).status == NOT_KNOWN)
    assert thread.is_alive(), "the first answer still streams"
    thread.join()
    assert {tried.ending for tried in tries} == {"complete"}
    assert audit(house, [wallet], tries).breaches == []
    settled = books_of(house).settled[tries[0].request_id]
    assert settled.charged == FEE * (settled.tokens_input + settled.tokens_output)
