"""Payments by Stripe, through its own library.

A checkout session carries the account in the metadata of its payment intent. Its webhook is believed only with a good
signature, moves credit once per payment intent, and answers 200 only after the ledger has it: Stripe repeats the rest.
"""

import json
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final

import stripe

from tollway.ingress.management.payments.interface import Checkout, Movement, Paid, TakenBack
from tollway.tasks import report
from tollway.wire.refusals import Refusal, refuse

SOURCE: Final = "stripe"
ACCOUNT: Final = "tollway_account_id"
TOLERANCE_S: Final = 300
RETRIES: Final = 2
TIMEOUT_S: Final = 20
CURRENCY: Final = "usd"

Event = dict[str, Any]
_verify: Callable[..., bool] = stripe.WebhookSignature.verify_header  # pyright: ignore  partly typed


class StripePayments:
    """One Stripe account. `environ` may name another API address (tests)."""

    def __init__(self, *, api_key: str, webhook_secret: str, environ: Mapping[str, str]) -> None:
        base = environ.get("TOLLWAY_STRIPE_API_BASE")
        self._client = stripe.StripeClient(
            api_key,
            max_network_retries=RETRIES,
            http_client=stripe.HTTPXClient(timeout=TIMEOUT_S),
            base_addresses={"api": base} if base else {},
        )
        self._webhook_secret = webhook_secret
        self._cancel_url = environ.get("TOLLWAY_STRIPE_CANCEL_URL", "")
        self._success_url = environ.get("TOLLWAY_STRIPE_SUCCESS_URL", "")

    async def open_checkout(self, account_id: str, amount_cents: int, *, return_url: str) -> Checkout | Refusal:
        """See Payments."""
        metadata = {ACCOUNT: account_id}
        try:
            session = await self._client.v1.checkout.sessions.create_async(
                {
                    "mode": "payment",
                    "client_reference_id": account_id,
                    "metadata": metadata,
                    "payment_intent_data": {"metadata": metadata},
                    "success_url": self._success_url or return_url,
                    "cancel_url": self._cancel_url or return_url,
                    "line_items": [
                        {
                            "quantity": 1,
                            "price_data": {
                                "currency": CURRENCY,
                                "unit_amount": amount_cents,
                                "product_data": {"name": "Tollway credit"},
                            },
                        }
                    ],
                }
            )
        except stripe.StripeError as fault:
            report("stripe checkout failed", fault)
            return refuse("gateway_unavailable", "The payment provider does not answer.")
        return Checkout(session.id, session.url or "")

    async def read_event(self, payload: bytes, signature: str) -> Movement | Refusal | None:
        """A webhook's body as a movement of credit; None: nothing that concerns us. Refusals: `unauthorized`."""
        try:
            _verify(payload.decode(), signature, self._webhook_secret, TOLERANCE_S)
        except (stripe.SignatureVerificationError, UnicodeDecodeError):
            return refuse("unauthorized", "The signature of the webhook is not valid.")
        event: Event = json.loads(payload)
        read = _READERS.get(str(event.get("type")))
        if read is None:
            return None
        return await read(self, event["data"]["object"])

    async def _account_of(self, intent_id: str) -> str | Refusal:
        try:
            intent: Event = (await self._client.v1.payment_intents.retrieve_async(intent_id)).to_dict()
        except stripe.StripeError as fault:
            report("stripe payment intent not read", fault)
            return refuse("gateway_unavailable", "The payment provider does not answer.")
        return _account_in(intent)

    async def paid(self, session: Event) -> Movement | Refusal | None:
        """A checkout session: complete, or paid later by a slow method."""
        account_id = _account_in(session)
        if session.get("payment_status") != "paid" or session.get("currency") != CURRENCY or not account_id:
            return None
        return Paid(SOURCE, str(session["payment_intent"]), account_id, int(session["amount_total"]))

    async def refunded(self, refund: Event) -> Movement | Refusal | None:
        """A refund that went through: a part of a payment, named by its own id."""
        if refund.get("status") != "succeeded" or not refund.get("payment_intent"):
            return None
        return await self._taken_back(refund, "refund")

    async def charged_back(self, dispute: Event) -> Movement | Refusal | None:
        """The bank took the money."""
        return await self._taken_back(dispute, "chargeback") if dispute.get("payment_intent") else None

    async def _taken_back(self, thing: Event, kind: Any) -> Movement | Refusal | None:
        intent = str(thing["payment_intent"])
        account_id = await self._account_of(intent)
        if isinstance(account_id, Refusal):
            return account_id
        if not account_id:
            return None
        return TakenBack(SOURCE, intent, account_id, int(thing["amount"]), kind, str(thing["id"]))


def _account_in(thing: Event) -> str:
    metadata: Event = thing.get("metadata") or {}
    return str(metadata.get(ACCOUNT, ""))


_Reader = Callable[[StripePayments, Event], Awaitable[Movement | Refusal | None]]
_READERS: Final[dict[str, _Reader]] = {
    "checkout.session.completed": StripePayments.paid,
    "checkout.session.async_payment_succeeded": StripePayments.paid,
    "refund.created": StripePayments.refunded,
    "refund.updated": StripePayments.refunded,
    "charge.dispute.funds_withdrawn": StripePayments.charged_back,
}
