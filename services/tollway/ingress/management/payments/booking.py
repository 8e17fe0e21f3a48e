"""Movements of money to the ledger: each is booked once, however often it is reported."""

from typing import Final

from tollway.bus import Bus
from tollway.ingress.management.payments.interface import Movement, Paid, TakenBack
from tollway.wire import subjects
from tollway.wire.credit import AdjustBalance, Booked, CreditGranted, GrantCredit, ReverseCredit
from tollway.wire.money import nusd_of_cents
from tollway.wire.refusals import Refusal

BOOK_TIMEOUT_S: Final = 10.0
BY: Final = "payments"


async def book(bus: Bus, movement: Movement) -> Refusal | None:
    """Move the credit; None when the ledger has it, durably."""
    subject = subjects.credit(subjects.journal_of(movement.account_id))
    if isinstance(movement, Paid):
        granted = await bus.ask(subject, _grant(movement), CreditGranted, timeout_s=BOOK_TIMEOUT_S)
        return granted if isinstance(granted, Refusal) else None
    booked = await bus.ask(subject, _take_back(movement), Booked, timeout_s=BOOK_TIMEOUT_S)
    return booked if isinstance(booked, Refusal) else None


def _grant(paid: Paid) -> GrantCredit:
    return GrantCredit(
        account_id=paid.account_id,
        amount_nusd=nusd_of_cents(paid.amount_cents),
        category="purchase",
        source=paid.source,
        ext_ref=paid.reference,
        by=BY,
        reason="credit bought",
    )


def _take_back(taken: TakenBack) -> ReverseCredit | AdjustBalance:
    """A chargeback reverses its payment; a refund may be one of several, so it is an adjustment under its own name."""
    amount_nusd = nusd_of_cents(taken.amount_cents)
    if taken.kind == "chargeback":
        return ReverseCredit(taken.account_id, taken.source, taken.reference, amount_nusd, taken.kind, BY)
    return AdjustBalance(
        account_id=taken.account_id,
        amount_nusd=-amount_nusd,
        reason=f"refund of {taken.reference}",
        ticket=taken.event,
        by=BY,
        idem=f"{taken.source}:{taken.event}",
    )
