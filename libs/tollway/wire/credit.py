"""Money commands: what the ledger is asked, and what it answers once the answer is durable."""

from typing import Final, Literal

import msgspec

HOLDS_AT_ONCE_MAX: Final = 64
"""How many holds one command may open."""
SETTLED_WITHIN_S: Final = 0.3
"""How long AwaitHolds waits at most."""


class OpenHold(msgspec.Struct, frozen=True, omit_defaults=True):
    """Set credit aside before anything is called. Repeating it returns the committed decision.

    `hold_id` is the request id `rq_<ULID>`. `deadline_ms`: when the request must have ended; past it and a grace the
    hold expires by itself. Refusals: `insufficient_credits`, `hold_conflict`, `hold_expired`, `ledger_busy`,
    `rate_limited` (a spend limit of the key).
    """

    hold_id: str
    account_id: str
    access_key_id: str
    amount_nusd: int
    hold_deadline_ms: int
    price_version: str
    models: tuple[str, ...]
    spend_day_max_nusd: int | None = None
    spend_month_max_nusd: int | None = None


class HoldOpened(msgspec.Struct, frozen=True):
    """The hold is in a committed block."""

    hold_id: str
    amount_nusd: int
    available_nusd: int


class OpenHolds(msgspec.Struct, frozen=True):
    """Open holds that are alike, for requests that will very likely come: each is what OpenHold of its id would open.

    As many as there is credit for, in order. Refused like OpenHold if not even the first can be opened.
    """

    hold_ids: tuple[str, ...]
    account_id: str
    access_key_id: str
    amount_nusd: int
    hold_deadline_ms: int
    price_version: str
    models: tuple[str, ...]


class HoldsOpened(msgspec.Struct, frozen=True):
    """The first `opened` of them are in committed blocks; the others were never opened."""

    opened: int
    available_nusd: int


class ExtendHold(msgspec.Struct, frozen=True, omit_defaults=True):
    """Add to an open hold; `nth` counts from 1 and makes a repeat harmless. `hold_deadline_ms` moves the deadline.

    Refusals: `insufficient_credits`, `hold_unknown` (ended or never opened), `hold_conflict`, `rate_limited`.
    """

    hold_id: str
    account_id: str
    nth: int
    delta_nusd: int
    hold_deadline_ms: int | None = None


class HoldExtended(msgspec.Struct, frozen=True):
    """The extension is in a committed block."""

    hold_id: str
    nth: int
    amount_nusd: int


class VoidHold(msgspec.Struct, frozen=True):
    """End a hold without a charge, before anything was dispatched."""

    hold_id: str
    account_id: str
    reason: str


class HoldEnded(msgspec.Struct, frozen=True):
    """The hold is over: settled, voided or expired."""

    hold_id: str
    charged_nusd: int


class AwaitHolds(msgspec.Struct, frozen=True):
    """Answer when none of these holds is open any more, or after SETTLED_WITHIN_S: their requests have ended."""

    account_id: str
    hold_ids: tuple[str, ...]


class HoldsAwaited(msgspec.Struct, frozen=True):
    """How many of them are still open."""

    open: int


class GrantCredit(msgspec.Struct, frozen=True, omit_defaults=True):
    """Put a lot into an account: bought (`purchase`) or given (`promotional`). Once per (account, source, ext_ref),
    for ever.

    `expires_at_ms` None: for a purchase the end (23:59:59.999 UTC) of the 365th day after it, otherwise never.
    `priority`: lower is spent first. Opens the account if it is new. Refusals: `invalid_amount`, `duplicate_payment`
    (the same payment with another amount; the same again returns the lot).
    """

    account_id: str
    amount_nusd: int
    category: Literal["purchase", "promotional"]
    source: str
    ext_ref: str
    by: str
    expires_at_ms: int | None = None
    priority: int = 0
    reason: str = ""


class CreditGranted(msgspec.Struct, frozen=True):
    """The lot is in a committed block."""

    lot_id: str
    amount_nusd: int
    available_nusd: int


class ReverseCredit(msgspec.Struct, frozen=True):
    """Take a payment back (chargeback): what is spent already becomes debt."""

    account_id: str
    source: str
    ext_ref: str
    amount_nusd: int
    reason: str
    by: str


class AdjustBalance(msgspec.Struct, frozen=True):
    """A correction by an operator, with its reason; positive gives, negative takes. `idem` makes a repeat harmless."""

    account_id: str
    amount_nusd: int
    reason: str
    ticket: str
    by: str
    idem: str


class UpdateAccount(msgspec.Struct, frozen=True, omit_defaults=True):
    """Let an account spend or not. Holds that are open end as they would; new ones are refused with `forbidden`.

    `is_delivery_charged`: whether an answer that breaks midway is charged for what was delivered (None: as it is).
    """

    account_id: str
    status: Literal["active", "suspended", "closed"]
    by: str
    idem: str
    reason: str = ""
    is_delivery_charged: bool | None = None


class Booked(msgspec.Struct, frozen=True):
    """A correction or reversal is in a committed block."""

    available_nusd: int
    debt_nusd: int
