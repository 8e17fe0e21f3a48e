"""Buying credit: refused unless set up; Stripe's own library against a server that speaks like Stripe; each payment
booked once, whatever the webhook does."""

import asyncio
import hashlib
import hmac
import json
import time
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import parse_qs

import httpx
import pytest
from tests.management.conftest import Plane
from tests.management.test_contract import is_error

from tollway import settings
from tollway.ingress.management.payments.routes import open_payments
from tollway.settings import SettingsError

WEBHOOK_SECRET = "whsec_canary"


class FakeStripe:
    """Enough of api.stripe.com: checkout sessions and payment intents."""

    def __init__(self) -> None:
        self.sessions: list[dict[str, str]] = []
        self.account = ""
        self.url = ""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        length = next((int(line[15:]) for line in head.lower().splitlines() if line.startswith("content-length:")), 0)
        body = parse_qs((await reader.readexactly(length)).decode())
        answer = json.dumps(self.answer(head.split(" ")[1], body)).encode()
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nconnection: close\r\n")
        writer.write(b"content-length: %d\r\n\r\n%s" % (len(answer), answer))
        await writer.drain()
        writer.close()

    def answer(self, path: str, body: dict[str, list[str]]) -> dict[str, Any]:
        if path == "/v1/checkout/sessions":
            self.sessions.append({name: values[0] for name, values in body.items()})
            return {"id": "cs_1", "object": "checkout.session", "url": "https://checkout.stripe.test/cs_1"}
        metadata = {"tollway_account_id": self.account}
        return {"id": path.rsplit("/", 1)[-1], "object": "payment_intent", "metadata": metadata}


@pytest.fixture
async def stripe(plane: Plane, fastapi_app: Any) -> AsyncIterator[FakeStripe]:
    fake = FakeStripe()
    server = await asyncio.start_server(fake.serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    environ = {
        **plane.house.environ,
        "TOLLWAY_STRIPE_SECRET_KEY": "sk_test_canary",
        "TOLLWAY_STRIPE_WEBHOOK_SECRET": WEBHOOK_SECRET,
        "TOLLWAY_STRIPE_API_BASE": f"http://127.0.0.1:{port}",
    }
    fastapi_app.state.payments = open_payments(settings.read("ingress", environ))
    fake.account = plane.account_id
    yield fake
    server.close()


def signed(event: dict[str, Any], secret: str = WEBHOOK_SECRET, at_s: float | None = None) -> dict[str, Any]:
    payload = json.dumps(event)
    stamp = int(at_s or time.time())
    mac = hmac.new(secret.encode(), f"{stamp}.{payload}".encode(), hashlib.sha256).hexdigest()
    return {"content": payload, "headers": {"stripe-signature": f"t={stamp},v1={mac}", "authorization": ""}}


def event(type_: str, **thing: Any) -> dict[str, Any]:
    return {"id": "evt_1", "object": "event", "type": type_, "data": {"object": thing}}


def paid(plane: Plane, **more: Any) -> dict[str, Any]:
    session = {
        "id": "cs_1", "payment_status": "paid", "currency": "usd", "payment_intent": "pi_1", "amount_total": 2500,
        "metadata": {"tollway_account_id": plane.account_id},
    }  # fmt: skip
    return event("checkout.session.completed", **{**session, **more})


async def test_buying_is_refused_where_it_is_not_set_up(api: httpx.AsyncClient) -> None:
    answer = await api.post("/credits/checkout-session", json={"amount": 500})
    assert is_error(answer, 501, "feature_disabled")
    assert is_error(await api.post("/stripe/webhook", content=b"{}"), 404, "not_found")
    assert is_error(await api.get("/dev-payments/dev_x"), 404, "not_found")


@pytest.mark.parametrize("amount", [499, 0, -500, 10_000_001, 500.5, "500", None, True])
async def test_an_amount_out_of_range_is_refused(stripe: FakeStripe, api: httpx.AsyncClient, amount: Any) -> None:
    assert is_error(await api.post("/credits/checkout-session", json={"amount": amount}), 400, "validation")
    assert stripe.sessions == []


@pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")  # Stripe's library calls httpx the old way
async def test_a_checkout_names_the_account_and_the_amount(
    plane: Plane, stripe: FakeStripe, api: httpx.AsyncClient
) -> None:
    answer = await api.post("/credits/checkout-session", json={"amount": 2500})
    assert answer.status_code == 201, answer.text
    assert answer.json() == {"sessionId": "cs_1", "sessionUrl": "https://checkout.stripe.test/cs_1"}
    [session] = stripe.sessions
    assert session["line_items[0][price_data][unit_amount]"] == "2500"
    assert session["payment_intent_data[metadata][tollway_account_id]"] == plane.account_id


async def test_a_payment_reported_five_times_at_once_is_credited_once(
    plane: Plane, stripe: FakeStripe, api: httpx.AsyncClient
) -> None:
    answers = await asyncio.gather(*(api.post("/stripe/webhook", **signed(paid(plane))) for _ in range(5)))
    assert [answer.status_code for answer in answers] == [200] * 5
    [grant] = plane.ledger.booked.values()
    assert (grant.amount_nusd, grant.category, grant.ext_ref) == (25_000_000_000, "purchase", "pi_1")


@pytest.mark.parametrize(
    "more", [{"payment_status": "unpaid"}, {"currency": "eur"}, {"metadata": {}}, {"metadata": None}]
)
async def test_what_is_no_payment_of_ours_moves_nothing(
    plane: Plane, stripe: FakeStripe, api: httpx.AsyncClient, more: dict[str, Any]
) -> None:
    assert (await api.post("/stripe/webhook", **signed(paid(plane, **more)))).status_code == 200
    assert plane.ledger.booked == {}


async def test_a_webhook_without_a_good_signature_moves_nothing(
    plane: Plane, stripe: FakeStripe, api: httpx.AsyncClient
) -> None:
    forged, old = signed(paid(plane), secret="whsec_other"), signed(paid(plane), at_s=time.time() - 3600)
    none = {"content": json.dumps(paid(plane))}
    altered = {**signed(paid(plane)), "content": json.dumps(paid(plane, amount_total=9_999_900))}
    for request in (forged, old, none, altered):
        assert is_error(await api.post("/stripe/webhook", **request), 401, "unauthorized")
    assert plane.ledger.booked == {}


async def test_a_chargeback_takes_the_payment_back_and_a_refund_its_part(
    plane: Plane, stripe: FakeStripe, api: httpx.AsyncClient
) -> None:
    await api.post("/stripe/webhook", **signed(paid(plane)))
    refund = event("refund.created", id="re_1", payment_intent="pi_1", amount=500, status="succeeded")
    dispute = event("charge.dispute.funds_withdrawn", id="dp_1", payment_intent="pi_1", amount=2500)
    for thing in (refund, refund, dispute, dispute):
        assert (await api.post("/stripe/webhook", **signed(thing))).status_code == 200
    amounts = sorted((type(command).__name__, command.amount_nusd) for command in plane.ledger.booked.values())
    assert amounts == [
        ("AdjustBalance", -5_000_000_000),
        ("GrantCredit", 25_000_000_000),
        ("ReverseCredit", 25_000_000_000),
    ]


async def test_the_webhook_is_not_acknowledged_before_the_ledger_has_it(
    plane: Plane, stripe: FakeStripe, api: httpx.AsyncClient
) -> None:
    plane.house.broker.interests = [it for it in plane.house.broker.interests if not it.pattern.startswith("credit.")]
    answer = await api.post("/stripe/webhook", **signed(paid(plane)))
    assert is_error(answer, 503, "gateway_unavailable")


async def test_the_development_page_takes_no_money_and_credits_once(
    plane: Plane, fastapi_app: Any, api: httpx.AsyncClient
) -> None:
    environ = {**plane.house.environ, "TOLLWAY_DEV_PAYMENTS": "1"}
    fastapi_app.state.payments = open_payments(settings.read("ingress", environ))
    made = (await api.post("/credits/checkout-session", json={"amount": 700})).json()
    async with plane.client("") as browser:
        page = await browser.get(made["sessionUrl"])
        assert "$7.00" in page.text
        assert (await browser.post(made["sessionUrl"])).status_code == 200
        assert (await browser.post(made["sessionUrl"])).status_code == 200
        forged = made["sessionUrl"][:-6] + "AAAAAA"
        assert is_error(await browser.post(forged), 404, "not_found")
        assert is_error(await browser.post("/stripe/webhook", content=b"{}"), 404, "not_found")
    [grant] = plane.ledger.booked.values()
    assert (grant.account_id, grant.amount_nusd, grant.source) == (plane.account_id, 7_000_000_000, "dev")


def test_half_of_a_payment_setup_is_refused_at_the_start() -> None:
    with pytest.raises(SettingsError, match="WEBHOOK_SECRET"):
        open_payments(settings.read("ingress", {"TOLLWAY_STRIPE_SECRET_KEY": "sk_test_x"}))
