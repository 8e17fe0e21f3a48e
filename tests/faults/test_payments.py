"""Payments reported many times, to two ledgers, a chargeback in between, a ledger killed: money comes in once."""

import hashlib
import hmac
import json
import random
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final

import pytest

from tests.faults.checker import audit, books_of
from tests.faults.conftest import NewHouse
from tests.faults.database import Database
from tests.faults.house import NUSD_PER_CENT, House, Wallet
from tests.faults.load import Ask, Storm, attempt_once
from tests.ledger.conftest import new_database

SECRET: Final = "whsec_faults"
CENTS: Final = 2_500
REPORTS: Final = 5
DELIVERED_WITHIN_S: Final = 30.0
INTENT: Final = "pi_"


class Stripe(BaseHTTPRequestHandler):
    """Enough of its API: a payment intent names its account."""

    def do_GET(self) -> None:
        intent = self.path.rpartition("/")[2]
        account = {"tollway_account_id": intent.removeprefix(INTENT)}
        said = json.dumps({"id": intent, "object": "payment_intent", "metadata": account}).encode()
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(said)))
        self.end_headers()
        self.wfile.write(said)

    def log_message(self, *args: Any, **_: Any) -> None:
        """Quiet."""


@pytest.fixture
def stripe() -> Iterator[str]:
    """The address of a Stripe."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Stripe)
    thread = threading.Thread(target=server.serve_forever, name="stripe")
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def payment(wallet: Wallet) -> dict[str, Any]:
    """It was paid."""
    session = {
        "id": "cs_1", "payment_status": "paid", "currency": "usd", "payment_intent": INTENT + wallet.account_id,
        "amount_total": CENTS, "metadata": {"tollway_account_id": wallet.account_id},
    }  # fmt: skip
    return {"id": "evt_1", "object": "event", "type": "checkout.session.completed", "data": {"object": session}}


def chargeback(wallet: Wallet) -> dict[str, Any]:
    """The bank took it back."""
    dispute = {"id": "dp_1", "amount": CENTS, "payment_intent": INTENT + wallet.account_id}
    return {"id": "evt_2", "object": "event", "type": "charge.dispute.funds_withdrawn", "data": {"object": dispute}}


def delivered(house: House, event: dict[str, Any]) -> None:
    """Reported until it is taken, as Stripe does."""
    give_up = time.monotonic() + DELIVERED_WITHIN_S
    while (status := reported(house, event)) != 200:
        assert time.monotonic() < give_up, status
        time.sleep(random.uniform(0.1, 0.4))


def reported(house: House, event: dict[str, Any]) -> int:
    """The status of one report."""
    payload, stamp = json.dumps(event), int(time.time())
    mac = hmac.new(SECRET.encode(), f"{stamp}.{payload}".encode(), hashlib.sha256).hexdigest()
    headers = {"stripe-signature": f"t={stamp},v1={mac}", "content-type": "application/json"}
    request = urllib.request.Request(f"{house.base_url}/api/stripe/webhook", payload.encode(), headers)
    try:
        with urllib.request.urlopen(request, timeout=20) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        with error:
            return error.code


def all_at_once(house: House, events: Sequence[dict[str, Any]]) -> None:
    """Each from a thread of its own."""
    with ThreadPoolExecutor(len(events)) as pool:
        for done in [pool.submit(delivered, house, event) for event in events]:
            done.result()


@pytest.mark.long
def test_payments_reported_five_times_to_two_ledgers_come_in_once_and_go_back_once(
    new_house: NewHouse, database: Database, stripe: str
) -> None:
    told = {
        "TOLLWAY_STRIPE_SECRET_KEY": "sk_test_faults",
        "TOLLWAY_STRIPE_WEBHOOK_SECRET": SECRET,
        "TOLLWAY_STRIPE_API_BASE": stripe,
    }
    house = new_house("--ledgers", "2", environment=told, database_url=new_database(database.server))
    house.start()
    wallets = [house.wallet(cents=100) for _ in range(8)]
    kept, taken_back = wallets[:4], wallets[4:]
    reports = [payment(wallet) for wallet in wallets for _ in range(REPORTS)]
    random.Random(35).shuffle(reports)
    with Storm(house.base_url, wallets, requests=80, rate=10) as storm:
        for wallet in taken_back:
            delivered(house, payment(wallet))
        pid = house.kill("ledger-1")
        all_at_once(house, [*reports, *(chargeback(wallet) for wallet in taken_back for _ in range(3))])
        house.until_replaced("ledger-1", pid)
        all_at_once(house, reports[:20])
    house.faults += ["a payment or chargeback reported again"] * (len(reports) + 20)
    house.until_ready()
    assert audit(house, wallets, storm.tries, stranded_max=6).breaches == []
    accounts = books_of(house).accounts
    assert {accounts[wallet.account_id].came_in for wallet in wallets} == {(100 + CENTS) * NUSD_PER_CENT}
    assert {accounts[wallet.account_id].went_out for wallet in kept} == {0}
    assert {accounts[wallet.account_id].went_out for wallet in taken_back} == {CENTS * NUSD_PER_CENT}


def test_a_chargeback_of_spent_credit_is_owed_and_the_next_payment_repays_it(house: House) -> None:
    wallet = house.wallet(cents=0)
    house.sell(wallet.account_id, 50, reference="first")
    tried = attempt_once(house.base_url, wallet, Ask(max_tokens=1_000, tries_max=1))
    assert tried.ending == "complete"
    charged = tried.receipt_nusd
    house.take_back(wallet.account_id, 50, reference="first")
    assert audit(house, [wallet], [tried]).breaches == []
    assert books_of(house).accounts[wallet.account_id].debt == charged
    refused = attempt_once(house.base_url, wallet, Ask(tries_max=1))
    assert (refused.ending, refused.status) == ("refused", 403)
    house.sell(wallet.account_id, 100, reference="second")
    account = books_of(house).accounts[wallet.account_id]
    assert (account.debt, account.available) == (0, 100 * NUSD_PER_CENT - (charged or 0))
