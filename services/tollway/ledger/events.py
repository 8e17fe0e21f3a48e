"""The words of the log: what happened to the money, in the past tense, as stored.

Every event names its account (`a`); its number in the journal is its place: the blocks before it hold `first_eid`
events. Amounts are integer nano-dollars, times Unix milliseconds. `lots` are slices `[lot, amount]` in burn order.
Refusals are not events. New fields are optional; another meaning is another type.
"""

from typing import Any, Final, Literal, TypeAlias

import msgspec

from tollway.wire.plan import Price, Skipped
from tollway.wire.usage import Attempt, Certainty, Outcome, Usage

Slices: TypeAlias = list[tuple[str, int]]
"""Amounts taken from lots, in burn order."""

NO_REPORT: Final = msgspec.Raw(b"null")
"""Where no adapter reported. (A union of Raw and None would decode as None alone.)"""

Status: TypeAlias = Literal["active", "suspended", "closed"]


class Report(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """What a usage fact says of the request, kept whole: usage rows are rebuilt from it alone.

    Events carry it as encoded bytes, so that replay need not read it; `digest` in the event is made over those bytes.
    """

    outcome: Outcome
    certainty: Certainty
    usage: Usage
    attempts: list[Attempt]
    ended_at_ms: int
    is_managed: bool = False
    price: Price | None = None
    price_version: str = ""
    strategy: str = "ordered"
    skipped: tuple[Skipped, ...] = ()


class Event(
    msgspec.Struct, frozen=True, omit_defaults=True, gc=False, tag_field="t", rename={"account": "a"}, kw_only=True
):
    """Something that happened to an account; the journal's own events have no account."""

    account: str = ""


class JournalOpened(Event, tag="journal.opened", frozen=True):
    """The first event of a journal."""

    journal: int
    version: str
    nonce: str


class EpochStarted(Event, tag="epoch.started", frozen=True):
    """A writer took the journal over: blocks of earlier epochs can no longer be appended."""

    epoch: int
    writer: str
    head: str


class AccountOpened(Event, tag="account.opened", frozen=True):
    """The account exists; opened by its first credit."""

    by: str = ""


class AccountUpdated(Event, tag="account.updated", frozen=True):
    """An operator changed whether the account may spend, or its terms for answers that break midway."""

    status: Status
    by: str
    idem: str
    reason: str = ""
    is_delivery_charged: bool | None = None


class Granted(Event, frozen=True, kw_only=True):
    """A lot came in: what `credit.purchased` and `credit.granted` have in common. `expires_at` None: never."""

    lot: str
    amount: int
    source: str
    ext_ref: str
    by: str
    expires_at: int | None = None
    priority: int = 0
    reason: str = ""


class CreditPurchased(Granted, tag="credit.purchased", frozen=True):
    """cash_in to available."""


class CreditGranted(Granted, tag="credit.granted", frozen=True):
    """promo to available."""


class CreditReversed(Event, tag="credit.reversed", frozen=True):
    """A payment was taken back: `lots` from available to refund, the shortage `debt` is owed."""

    source: str
    ext_ref: str
    amount: int
    lots: Slices
    debt: int
    reason: str
    by: str


class HoldOpened(Event, tag="hold.opened", frozen=True):
    """available to held."""

    hold: str
    key: str
    amount: int
    lots: Slices
    deadline: int
    price_version: str = ""
    models: tuple[str, ...] = ()
    day_max: int | None = None
    month_max: int | None = None


class HoldExtended(Event, tag="hold.extended", frozen=True):
    """available to held, the `nth` time."""

    hold: str
    nth: int
    delta: int
    lots: Slices
    deadline: int | None = None


class HoldWitnessed(Event, tag="usage.witnessed", frozen=True):
    """Ingress said what the client got; it counts only if no fact comes before the hold's end."""

    hold: str
    outcome: Outcome
    bytes_out: int
    tokens_input: int
    ended_at: int
    model: str = ""
    is_streaming: bool = False
    is_managed: bool = False
    price: Price | None = None


class HoldSettled(Event, tag="hold.settled", frozen=True):
    """held to revenue, the rest back to available.

    `cost` = price(usage) = `charged` + `written_off`. What the hold did not cover (`overrun`) came from `lots`, and
    what those did not cover is `debt`. The slices of the hold are consumed in order.
    """

    hold: str
    key: str
    report: msgspec.Raw
    digest: str
    cost: int
    charged: int
    released: int
    overrun: int = 0
    lots: Slices = []
    debt: int = 0
    written_off: int = 0
    is_absurd: bool = False
    operator_cost: int = 0


class HoldSettledLate(Event, tag="hold.settled_late", frozen=True):
    """A fact came after the hold had expired: available to revenue, the shortage is debt."""

    hold: str
    key: str
    report: msgspec.Raw
    digest: str
    cost: int
    charged: int
    lots: Slices
    debt: int = 0
    written_off: int = 0
    is_absurd: bool = False
    operator_cost: int = 0


class HoldVoided(Event, tag="hold.voided", frozen=True):
    """held to available: the request ended without a charge. `report` where an adapter gave one."""

    hold: str
    key: str
    reason: str
    released: int
    report: msgspec.Raw = NO_REPORT
    digest: str = ""
    operator_cost: int = 0


class HoldExpired(Event, tag="hold.expired", frozen=True):
    """held to available: its deadline and the grace passed."""

    hold: str
    key: str
    released: int


class UsageConflicted(Event, tag="usage.conflict", frozen=True):
    """A fact that changes nothing, kept for audit: the hold ended otherwise. `kept` is the digest that counts."""

    hold: str
    key: str
    reason: Literal["differs", "voided", "unknown", "account"]
    seen: str
    kept: str
    report: msgspec.Raw = NO_REPORT
    operator_cost: int = 0


class LotExpired(Event, tag="lot.expired", frozen=True):
    """available to breakage: the unreserved rest of a lot. Slices that were held follow when they are released."""

    lot: str
    amount: int


class DebtRepaid(Event, tag="debt.repaid", frozen=True):
    """available to debt."""

    amount: int
    lots: Slices


class AdjustmentPosted(Event, tag="adjustment.posted", frozen=True):
    """available to or from writeoff, by an operator. A positive amount makes `lot`, a negative one takes `lots`."""

    amount: int
    reason: str
    ticket: str
    by: str
    idem: str
    lot: str = ""
    lots: Slices = []
    debt: int = 0


class StateRooted(Event, tag="state.root", frozen=True):
    """The digest of the state at the previous event, for the auditor to compare with its own replay."""

    accounts: int
    digest: str
    version: int = 1


class LogRepaired(Event, tag="log.repaired", frozen=True):
    """An operator appended verified blocks from the other copy."""

    first_seq: int
    last_seq: int
    copy: str
    head: str


AnyEvent: TypeAlias = (
    JournalOpened
    | EpochStarted
    | AccountOpened
    | AccountUpdated
    | CreditPurchased
    | CreditGranted
    | CreditReversed
    | HoldOpened
    | HoldExtended
    | HoldWitnessed
    | HoldSettled
    | HoldSettledLate
    | HoldVoided
    | HoldExpired
    | UsageConflicted
    | LotExpired
    | DebtRepaid
    | AdjustmentPosted
    | StateRooted
    | LogRepaired
)
Events: TypeAlias = list[Any]
"""What one command makes happen, in order. (Any: a list of the union would have to be matched wherever it is read.)"""
