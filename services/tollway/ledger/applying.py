"""`apply(state, event)`: the only way in which a state changes.

It uses nothing but the event, the state and the block's time given to `begin_block`: replay from the first event gives
the same state, byte for byte. Assertions here say what only a bug, or a log that somebody wrote, could break.
"""

from bisect import insort
from collections.abc import Callable
from typing import Any, Final

from tollway.ledger import events as ev
from tollway.ledger.lots import Lot, burn_key, merge
from tollway.ledger.spend import KeySpend
from tollway.ledger.state import (
    CLOSED_WINDOW_MS,
    EXPIRED_KEPT_MS,
    Account,
    Closed,
    Expired,
    Hold,
    Payment,
    State,
    payment_key,
)


def begin_block(state: State, ts_ms: int) -> None:
    """Time moves only here: between blocks. Old endings are forgotten."""
    state.ts_ms = ts_ms
    window = ts_ms // CLOSED_WINDOW_MS
    if window == state.window:
        return
    is_next = window == state.window + 1
    state.closed_before = state.closed if is_next else {}
    state.closed = {}
    state.window = window
    _forget_expired(state)


def _forget_expired(state: State) -> None:
    for hold in [h for h, expired in state.expired.items() if expired.at < state.ts_ms - EXPIRED_KEPT_MS]:
        del state.expired[hold]


def apply(state: State, event: Any) -> None:
    """Let one event happen."""
    state.events += 1
    _APPLY[type(event)](state, event)


# -- accounts and money in


def _account(state: State, identifier: str) -> Account:
    account = state.accounts.get(identifier)
    if account is None:
        account = state.accounts[identifier] = Account()
    return account


def _account_opened(state: State, event: ev.AccountOpened) -> None:
    _account(state, event.account)


def _account_updated(state: State, event: ev.AccountUpdated) -> None:
    account = _account(state, event.account)
    account.status = event.status
    if event.is_delivery_charged is not None:
        account.is_delivery_charged = event.is_delivery_charged
    state.idem[event.idem] = 0


def _lot_in(account: Account, lot: Lot) -> None:
    account.lots_made += 1
    insort(account.lots, lot, key=burn_key)
    account.available += lot.amount


def _granted(state: State, event: ev.CreditPurchased | ev.CreditGranted) -> None:
    account = _account(state, event.account)
    created = account.lots_made + 1
    lot = Lot(event.lot, event.source, event.ext_ref, event.amount, event.amount, created)
    lot.priority, lot.expires_at = event.priority, event.expires_at
    _lot_in(account, lot)
    key = payment_key(event.account, event.source, event.ext_ref)
    state.payments[key] = Payment(event.account, event.lot, event.amount)
    if isinstance(event, ev.CreditPurchased):
        account.purchased += event.amount
        state.system.cash_in -= event.amount
    else:
        account.granted += event.amount
        state.system.promo -= event.amount


def _reversed(state: State, event: ev.CreditReversed) -> None:
    account = state.accounts[event.account]
    _take(account, event.lots)
    account.debt += event.debt
    account.reversed += event.amount
    state.payments[payment_key(event.account, event.source, event.ext_ref)].reversed += event.amount
    state.system.refund += event.amount


def _adjusted(state: State, event: ev.AdjustmentPosted) -> None:
    account = _account(state, event.account)
    if event.amount > 0:
        _lot_in(account, Lot(event.lot, "adjustment", event.idem, event.amount, event.amount, account.lots_made + 1))
    else:
        _take(account, event.lots)
        account.debt += event.debt
    account.adjusted += event.amount
    state.system.writeoff -= event.amount
    state.idem[event.idem] = event.amount


def _take(account: Account, slices: ev.Slices) -> int:
    """Take unreserved credit out of lots for good; returns how much."""
    taken = 0
    for identifier, amount in slices:
        lot = account.lot(identifier)
        assert 0 < amount <= lot.remaining - lot.reserved, "more taken than a lot has free"
        lot.remaining -= amount
        taken += amount
        _drop_if_empty(account, lot)
    account.available -= taken
    return taken


def _drop_if_empty(account: Account, lot: Lot) -> None:
    if lot.remaining == 0:
        account.lots.remove(lot)


def _lot_expired(state: State, event: ev.LotExpired) -> None:
    account = state.accounts[event.account]
    lot = account.lot(event.lot)
    lot.is_expired = True
    if event.amount:
        _take(account, [(event.lot, event.amount)])
    account.expired += event.amount
    state.system.breakage += event.amount


def _repaid(state: State, event: ev.DebtRepaid) -> None:
    account = state.accounts[event.account]
    taken = _take(account, event.lots)
    assert taken == event.amount <= account.debt, "repaid more than owed"
    account.debt -= event.amount


# -- holds


def _hold_opened(state: State, event: ev.HoldOpened) -> None:
    account = _account(state, event.account)
    assert event.hold not in state.holds, "a hold is opened once"
    _reserve(account, event.lots, event.amount)
    spend = account.keys.get(event.key)
    if spend is None:
        spend = account.keys[event.key] = KeySpend()
    spend.held += event.amount
    state.holds[event.hold] = Hold(
        event.account,
        event.key,
        event.amount,
        event.lots,
        event.deadline,
        event.price_version,
        0,
        event.day_max,
        event.month_max,
    )


def _reserve(account: Account, slices: ev.Slices, amount: int) -> None:
    for identifier, part in slices:
        lot = account.lot(identifier)
        lot.reserved += part
        assert lot.reserved <= lot.remaining, "more reserved than a lot has"
    account.available -= amount
    account.held += amount
    assert account.available >= 0, "available credit below zero"


def _hold_extended(state: State, event: ev.HoldExtended) -> None:
    hold = state.holds[event.hold]
    account = state.accounts[event.account]
    assert event.nth == hold.extensions + 1, "extensions are counted"
    _reserve(account, event.lots, event.delta)
    account.keys[hold.key].held += event.delta
    hold.amount += event.delta
    hold.lots = merge(hold.lots, event.lots)
    hold.extensions = event.nth
    if event.deadline is not None:
        hold.deadline = event.deadline


def _hold_witnessed(state: State, event: ev.HoldWitnessed) -> None:
    state.holds[event.hold].witness = event


def _hold_settled(state: State, event: ev.HoldSettled) -> None:
    hold = state.holds.pop(event.hold)
    account = state.accounts[hold.account]
    from_hold = event.charged - event.overrun
    assert event.released == hold.amount - from_hold >= 0, "a hold is consumed or released, nothing else"
    _release(account, hold, from_hold)
    _charge(state, account, event)
    spend = account.keys[hold.key]
    spend.held -= hold.amount
    spend.add(event.charged, state.ts_ms)
    state.closed[event.hold] = Closed("settled", hold.account, event.charged, event.digest)


def _release(account: Account, hold: Hold, consumed: int) -> None:
    """Consume the hold's slices in order, give the rest back to their lots."""
    left = consumed
    for identifier, amount in hold.lots:
        lot = account.lot(identifier)
        used = amount if amount < left else left
        left -= used
        lot.reserved -= amount
        lot.remaining -= used
        _drop_if_empty(account, lot)
    assert left == 0, "more consumed than held"
    account.held -= hold.amount
    account.available += hold.amount - consumed


def _charge(state: State, account: Account, event: ev.HoldSettled | ev.HoldSettledLate) -> None:
    """What a settlement takes besides its hold, and its revenue."""
    if event.lots:
        _take(account, event.lots)
    account.debt += event.debt
    account.charged += event.charged
    account.unrecovered += event.operator_cost
    state.system.revenue += event.charged + event.written_off
    state.system.writeoff -= event.written_off


def _hold_settled_late(state: State, event: ev.HoldSettledLate) -> None:
    expired = state.expired.pop(event.hold)
    account = state.accounts[expired.account]
    _charge(state, account, event)
    account.keys[expired.key].add(event.charged, state.ts_ms)
    state.closed[event.hold] = Closed("settled_late", expired.account, event.charged, event.digest)


def _hold_voided(state: State, event: ev.HoldVoided) -> None:
    hold = state.holds.pop(event.hold)
    _unhold(state, hold)
    state.accounts[hold.account].unrecovered += event.operator_cost
    state.closed[event.hold] = Closed("voided", hold.account, 0, event.digest)


def _hold_expired(state: State, event: ev.HoldExpired) -> None:
    hold = state.holds.pop(event.hold)
    _unhold(state, hold)
    state.expired[event.hold] = Expired(hold.account, hold.key, hold.amount, state.ts_ms)


def _unhold(state: State, hold: Hold) -> None:
    account = state.accounts[hold.account]
    _release(account, hold, 0)
    account.keys[hold.key].held -= hold.amount


def _conflicted(state: State, event: ev.UsageConflicted) -> None:
    closed = state.ended(event.hold)
    if closed is not None:
        closed.conflict = event.seen
    elif event.reason == "unknown":
        state.closed[event.hold] = Closed("voided", event.account, 0, "", event.seen)


# -- the journal itself


def _epoch_started(state: State, event: ev.EpochStarted) -> None:
    assert event.epoch > state.epoch, "epochs rise"
    state.epoch = event.epoch


def _nothing(state: State, event: object) -> None:
    """Recorded, without an effect on the money."""


_APPLY: Final[dict[type, Callable[[State, Any], None]]] = {
    ev.JournalOpened: _nothing,
    ev.EpochStarted: _epoch_started,
    ev.AccountOpened: _account_opened,
    ev.AccountUpdated: _account_updated,
    ev.CreditPurchased: _granted,
    ev.CreditGranted: _granted,
    ev.CreditReversed: _reversed,
    ev.HoldOpened: _hold_opened,
    ev.HoldExtended: _hold_extended,
    ev.HoldWitnessed: _hold_witnessed,
    ev.HoldSettled: _hold_settled,
    ev.HoldSettledLate: _hold_settled_late,
    ev.HoldVoided: _hold_voided,
    ev.HoldExpired: _hold_expired,
    ev.UsageConflicted: _conflicted,
    ev.LotExpired: _lot_expired,
    ev.DebtRepaid: _repaid,
    ev.AdjustmentPosted: _adjusted,
    ev.StateRooted: _nothing,
    ev.LogRepaired: _nothing,
}
