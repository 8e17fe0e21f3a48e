"""Checkout, webhook, and the development page."""

from html import escape
from typing import Annotated, Any, Final

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse, JSONResponse
from pydantic import Field

from tollway.ingress.management.caller import AtDesk
from tollway.ingress.management.errors import ErrorShape, Refused
from tollway.ingress.management.payments.booking import book
from tollway.ingress.management.payments.dev_payments import DevPayments
from tollway.ingress.management.payments.interface import CENTS_MAX, CENTS_MIN, Paid, Payments, ReadsEvents
from tollway.ingress.management.resources import ERRORS
from tollway.ingress.management.shapes import Asked, Shown
from tollway.settings import Settings, SettingsError, secret
from tollway.wire.refusals import Refusal, refuse

PAGE_CSP: Final = "default-src 'none'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
NO_PAYMENTS: Final = (
    "Buying credit is not set up here: the operator sets TOLLWAY_STRIPE_SECRET_KEY and TOLLWAY_STRIPE_WEBHOOK_SECRET, "
    "or for development TOLLWAY_DEV_PAYMENTS=1."
)
DISABLED: Final[dict[int | str, dict[str, Any]]] = {
    501: {"model": ErrorShape, "description": "Payments are not set up."}
}


class CheckoutAsked(Asked):
    """How much credit to buy, in cents: at least $5.00."""

    amount: Annotated[int, Field(ge=CENTS_MIN, le=CENTS_MAX)]


class CheckoutShown(Shown):
    """Where to pay. The credit follows when the payment is confirmed."""

    session_id: str
    session_url: str


Way = Payments | None


def open_payments(settings: Settings) -> Way:
    """The operator's payment provider. Raises SettingsError when half of it is missing."""
    environ = settings.environ
    key = secret(environ, "TOLLWAY_STRIPE_SECRET_KEY")
    webhook_secret = secret(environ, "TOLLWAY_STRIPE_WEBHOOK_SECRET")
    if key and not webhook_secret:
        raise SettingsError("TOLLWAY_STRIPE_WEBHOOK_SECRET is missing: without it no payment could be believed")
    if key:
        from tollway.ingress.management.payments.stripe_payments import StripePayments  # 0.2 s and 30 MB to import

        return StripePayments(api_key=key, webhook_secret=webhook_secret, environ=environ)
    return DevPayments() if environ.get("TOLLWAY_DEV_PAYMENTS") == "1" else None


def payment_router() -> APIRouter:
    """The addresses; which of them work depends on the operator's settings."""
    router = APIRouter()
    router.add_api_route(
        "/credits/checkout-session",
        open_checkout,
        methods=["POST"],
        response_model=CheckoutShown,
        status_code=201,
        responses=ERRORS | DISABLED,
        tags=["Credits"],
    )
    router.add_api_route("/stripe/webhook", stripe_webhook, methods=["POST"], include_in_schema=False)
    router.add_api_route("/dev-payments/{session_id}", dev_page, methods=["GET"], include_in_schema=False)
    router.add_api_route("/dev-payments/{session_id}", dev_pay, methods=["POST"], include_in_schema=False)
    return router


async def open_checkout(desk: AtDesk, request: Request, body: CheckoutAsked) -> CheckoutShown:
    """Start buying credit."""
    way: Way = request.app.state.payments
    if way is None:
        raise Refused(refuse("feature_disabled", NO_PAYMENTS))
    checkout = await way.open_checkout(desk.by.account_id, body.amount, return_url=desk.uris.to(""))
    if isinstance(checkout, Refusal):
        raise Refused(checkout)
    return CheckoutShown(session_id=checkout.session_id, session_url=checkout.session_url)


async def stripe_webhook(request: Request) -> JSONResponse:
    """Believed by its signature; 200 only when the ledger has it."""
    way: Way = request.app.state.payments
    if not isinstance(way, ReadsEvents):
        raise Refused(refuse("not_found"))
    movement = await way.read_event(await request.body(), request.headers.get("stripe-signature", ""))
    refusal = movement if isinstance(movement, Refusal) else None
    if movement is not None and not isinstance(movement, Refusal):
        refusal = await book(request.app.state.bus, movement)
    if refusal is not None:
        request.app.state.telemetry.log("warning", "payment_not_booked", reason=refusal.code)
        raise Refused(refusal)
    return JSONResponse({"received": True})


async def dev_page(request: Request, session_id: str) -> HTMLResponse:
    """What would be paid, and a button."""
    paid = _dev_session(request, session_id)
    dollars = f"${paid.amount_cents // 100}.{paid.amount_cents % 100:02d}"
    action = escape(request.scope["path"], quote=True)
    return _page(f'<p>Buy {dollars} of credit. No money is taken.</p><form method="post" action="{action}">'
                 "<button>Pay</button></form>")  # fmt: skip


async def dev_pay(request: Request, session_id: str) -> HTMLResponse:
    """The payment is confirmed; again changes nothing."""
    refusal = await book(request.app.state.bus, _dev_session(request, session_id))
    if refusal is not None:
        raise Refused(refusal)
    return _page("<p>Paid. The credit is there.</p>")


def _dev_session(request: Request, session_id: str) -> Paid:
    way: Way = request.app.state.payments
    paid = way.read(session_id) if isinstance(way, DevPayments) else refuse("not_found")
    if isinstance(paid, Refusal):
        raise Refused(paid)
    return paid


def _page(body: str) -> HTMLResponse:
    html = f'<!DOCTYPE html><html lang="en"><meta charset="utf-8"><title>Tollway development payment</title>{body}'
    return HTMLResponse(html, headers={"content-security-policy": PAGE_CSP})
