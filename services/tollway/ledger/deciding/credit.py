"""Money in and out: grants, chargebacks, adjustments, what an account may do, lots past their expiry."""

from typing import Final

import msgspec

from tollway.ledger import events as ev
from tollway.ledger.charges import AMOUNT_NUSD_MAX
from tollway.ledger.lots import pick
from tollway.ledger.spend import DAY_MS
from tollway.ledger.state import Account, State, payment_key
from tollway.wire.credit import AdjustBalance, GrantCredit, ReverseCredit, UpdateAccount
from tollway.wire.money import NUSD_MAX
from tollway.wire.refusals import Refusal, refuse

LOT_LIFE_DAYS: Final = 365
BALANCE_NUSD_MAX: Final = NUSD_MAX
"""What an account may have or owe: databases keep 64 bits."""


class ExpireLot(msgspec.Struct, frozen=True):
    """The tick found a lot past its expiry."""

    account_id: str
    lot_id: str


def lot_expiry_ms(purchased_ms: int) -> int:
    """Bought credit lives to the last millisecond (23:59:59.999 UTC) of the 365th day after the purchase's."""
    return (purchased_ms // DAY_MS + LOT_LIFE_DAYS + 1) * DAY_MS - 1


def is_amount(amount: int) -> bool:
    return 0 < amount <= AMOUNT_NUSD_MAX


def _has_room(account: Account, amount: int) -> bool:
    """Whether the account may have, or owe, so much more."""
    if amount > 0:
        return account.available + account.held + amount <= BALANCE_NUSD_MAX
    return account.debt - amount <= BALANCE_NUSD_MAX


def grant(state: State, command: GrantCredit, now_ms: int) -> ev.Events | Refusal:
    if not is_amount(command.amount_nusd):
        return refuse("invalid_amount", "A grant must be more than zero and within range.")
    booked = state.payments.get(payment_key(command.account_id, command.source, command.ext_ref))
    if booked is not None:
        return [] if booked.amount == command.amount_nusd else refuse("duplicate_payment")
    account = state.accounts.get(command.account_id)
    if account is not None and not _has_room(account, command.amount_nusd):
        return refuse("invalid_amount", "The account would have more than can be kept.")
    opened: ev.Events = [] if account else [ev.AccountOpened(account=command.account_id, by=command.by)]
    return [*opened, _lot_of(command, (account.lots_made if account else 0) + 1, now_ms)]


def _lot_of(command: GrantCredit, nth: int, now_ms: int) -> ev.CreditPurchased | ev.CreditGranted:
    is_purchase = command.category == "purchase"
    kind = ev.CreditPurchased if is_purchase else ev.CreditGranted
    expires_at = command.expires_at_ms
    if expires_at is None and is_purchase:
        expires_at = lot_expiry_ms(now_ms)
    return kind(
        account=command.account_id,
        lot=f"lot_{nth}",
        amount=command.amount_nusd,
        source=command.source,
        ext_ref=command.ext_ref,
        by=command.by,
        expires_at=expires_at,
        priority=command.priority,
        reason=command.reason,
    )


def reverse(state: State, command: ReverseCredit, _now_ms: int) -> ev.Events | Refusal:
    key = payment_key(command.account_id, command.source, command.ext_ref)
    payment = state.payments.get(key)
    if payment is None:
        return refuse("resource_missing", "No such payment was booked to this account.")
    if payment.reversed == command.amount_nusd:
        return []
    if payment.reversed:
        return refuse("duplicate_payment", "That payment was reversed before with another amount.")
    if not 0 < command.amount_nusd <= payment.amount:
        return refuse("invalid_amount", "A reversal is more than zero and at most the payment.")
    return [_reversal(state.accounts[command.account_id], payment.lot, command)]


def _reversal(account: Account, own: str, command: ReverseCredit) -> ev.CreditReversed:
    """From the payment's own lot first, then in burn order; what is spent or held becomes debt."""
    ordered = sorted(account.lots, key=lambda lot: lot.id != own)
    slices, shortage = pick(ordered, command.amount_nusd)
    return ev.CreditReversed(
        account=command.account_id,
        source=command.source,
        ext_ref=command.ext_ref,
        amount=command.amount_nusd,
        lots=slices,
        debt=shortage,
        reason=command.reason,
        by=command.by,
    )


def adjust(state: State, command: AdjustBalance, _now_ms: int) -> ev.Events | Refusal:
    if not is_amount(abs(command.amount_nusd)):
        return refuse("invalid_amount", "An adjustment is not zero and within range.")
    booked = state.idem.get(f"{command.account_id}/{command.idem}")
    if booked is not None:
        return [] if booked == command.amount_nusd else refuse("idempotency_conflict")
    account = state.accounts.get(command.account_id)
    if account is None:
        return refuse("resource_missing", "No such account.")
    if not _has_room(account, command.amount_nusd):
        return refuse("invalid_amount", "The account would have, or owe, more than can be kept.")
    return [_adjustment(account, command)]


def _adjustment(account: Account, command: AdjustBalance) -> ev.AdjustmentPosted:
    is_gift = command.amount_nusd > 0
    slices, shortage = ([], 0) if is_gift else pick(account.lots, -command.amount_nusd)
    return ev.AdjustmentPosted(
        account=command.account_id,
        amount=command.amount_nusd,
        reason=command.reason,
        ticket=command.ticket,
        by=command.by,
        idem=f"{command.account_id}/{command.idem}",
        lot=f"lot_{account.lots_made + 1}" if is_gift else "",
        lots=slices,
        debt=shortage,
    )


def update_account(state: State, command: UpdateAccount, _now_ms: int) -> ev.Events | Refusal:
    idem = f"{command.account_id}/status/{command.idem}"
    if idem in state.idem:
        return []
    return [
        ev.AccountUpdated(
            account=command.account_id,
            status=command.status,
            by=command.by,
            idem=idem,
            reason=command.reason,
            is_delivery_charged=command.is_delivery_charged,
        )
    ]


def expire_lot(state: State, command: ExpireLot, now_ms: int) -> ev.Events | Refusal:
    account = state.accounts.get(command.account_id)
    lots = account.lots if account else []
    lot = next((lot for lot in lots if lot.id == command.lot_id), None)
    if lot is None or lot.is_expired or lot.expires_at is None or now_ms <= lot.expires_at:
        return []
    return [ev.LotExpired(account=command.account_id, lot=lot.id, amount=lot.free)]
