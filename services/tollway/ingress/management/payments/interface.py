"""What a payment provider is to Tollway: it opens a checkout, and later reports events that move credit."""

from typing import Final, Literal, Protocol, runtime_checkable

import msgspec

from tollway.wire.refusals import Refusal

CENTS_MIN: Final = 500
CENTS_MAX: Final = 10_000_000


class Checkout(msgspec.Struct, frozen=True):
    """Where the buyer pays."""

    session_id: str
    session_url: str


class Paid(msgspec.Struct, frozen=True):
    """Money came in. `reference` names the payment for ever."""

    source: str
    reference: str
    account_id: str
    amount_cents: int


class TakenBack(msgspec.Struct, frozen=True):
    """Money went back: `chargeback` takes a whole payment, `refund` a part (`event` names it)."""

    source: str
    reference: str
    account_id: str
    amount_cents: int
    kind: Literal["chargeback", "refund"]
    event: str


Movement = Paid | TakenBack


class Payments(Protocol):
    """A payment provider."""

    async def open_checkout(self, account_id: str, amount_cents: int, *, return_url: str) -> Checkout | Refusal:
        """A page on which this account pays this much."""
        ...


@runtime_checkable
class ReadsEvents(Protocol):
    """A payment provider that reports by webhook."""

    async def read_event(self, payload: bytes, signature: str) -> Movement | Refusal | None:
        """A webhook's body as a movement of credit; None: nothing that concerns us. Refusals: `unauthorized`."""
        ...
