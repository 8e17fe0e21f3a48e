"""What the ledger decides: `decide(state, command, now_ms)` gives events or a refusal, and changes nothing.

`happen` lets the events happen and adds what must follow in the same block (credit released into an expired lot
expires; credit that comes in repays debt). `answer` is the reply to a command that was accepted, now or before.
Pure: time comes in, ids come in, nothing else does. The decisions themselves are in `deciding`.
"""

from collections.abc import Callable
from typing import Any, Final

from tollway.ledger import events as ev
from tollway.ledger.applying import apply
from tollway.ledger.deciding.credit import ExpireLot, adjust, expire_lot, grant, reverse, update_account
from tollway.ledger.deciding.facts import settle
from tollway.ledger.deciding.holds import extend, open_hold, void
from tollway.ledger.deciding.unheard import ExpireHold, expire_hold, witness_said
from tollway.ledger.lots import pick
from tollway.ledger.state import Account, State, payment_key
from tollway.wire.credit import (
    AdjustBalance,
    Booked,
    CreditGranted,
    ExtendHold,
    GrantCredit,
    HoldEnded,
    HoldExtended,
    HoldOpened,
    OpenHold,
    ReverseCredit,
    UpdateAccount,
    VoidHold,
)
from tollway.wire.refusals import Refusal
from tollway.wire.usage import UsageFact, Witness


def decide(state: State, command: Any, now_ms: int) -> ev.Events | Refusal:
    """ev.Events that the command makes happen; none when it has happened before; or why it may not."""
    return _DECIDE[type(command)](state, command, now_ms)


def happen(state: State, command: Any, events: ev.Events) -> None:
    """Let decided events happen, and append what must follow in the same block."""
    for event in events:
        apply(state, event)
    if type(command) is not OpenHold:
        _follow(state, events[-1].account, events)


def perform(state: State, command: Any, now_ms: int) -> ev.Events | Refusal:
    """Decide and let it happen."""
    events = decide(state, command, now_ms)
    if not isinstance(events, Refusal) and events:
        happen(state, command, events)
    return events


def _follow(state: State, identifier: str, events: ev.Events) -> None:
    account = state.accounts.get(identifier)
    if account is None:
        return
    for event in _consequences(identifier, account):
        apply(state, event)
        events.append(event)


def _consequences(identifier: str, account: Account) -> ev.Events:
    """Credit in an expired lot expires; free credit repays debt."""
    gone: ev.Events = [
        ev.LotExpired(account=identifier, lot=lot.id, amount=lot.free)
        for lot in account.lots
        if lot.is_expired and lot.free
    ]
    if not account.debt:
        return gone
    slices, shortage = pick(account.lots, account.debt)
    repaid = account.debt - shortage
    return [*gone, ev.DebtRepaid(account=identifier, amount=repaid, lots=slices)] if repaid else gone


_DECIDE: Final[dict[type, Callable[[State, Any, int], ev.Events | Refusal]]] = {
    GrantCredit: grant,
    ReverseCredit: reverse,
    AdjustBalance: adjust,
    UpdateAccount: update_account,
    OpenHold: open_hold,
    ExtendHold: extend,
    VoidHold: void,
    UsageFact: settle,
    Witness: witness_said,
    ExpireHold: expire_hold,
    ExpireLot: expire_lot,
}
COMMANDS: Final = tuple(_DECIDE)


def answer(state: State, command: Any) -> Any:
    """The reply to a command that was accepted: the same for its first time and for a repeat."""
    return _ANSWER[type(command)](state, command)


def _opened(state: State, command: OpenHold) -> HoldOpened:
    return HoldOpened(command.hold_id, command.amount_nusd, state.accounts[command.account_id].available)


def _extended(state: State, command: ExtendHold) -> HoldExtended:
    return HoldExtended(command.hold_id, command.nth, state.holds[command.hold_id].amount)


def _ended(state: State, command: VoidHold) -> HoldEnded:
    closed = state.ended(command.hold_id)
    return HoldEnded(command.hold_id, closed.charged if closed else 0)


def _credited(state: State, command: GrantCredit) -> CreditGranted:
    payment = state.payments[payment_key(command.account_id, command.source, command.ext_ref)]
    return CreditGranted(payment.lot, payment.amount, state.accounts[command.account_id].available)


def _booked(state: State, command: ReverseCredit | AdjustBalance | UpdateAccount) -> Booked:
    account = state.accounts[command.account_id]
    return Booked(account.available, account.debt)


_ANSWER: Final[dict[type, Callable[[State, Any], Any]]] = {
    OpenHold: _opened,
    ExtendHold: _extended,
    VoidHold: _ended,
    GrantCredit: _credited,
    ReverseCredit: _booked,
    AdjustBalance: _booked,
    UpdateAccount: _booked,
}
