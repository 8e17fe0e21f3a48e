"""Credit set aside: opened and extended within what is available and what the key may spend, given back whole."""

from tollway.ledger import events as ev
from tollway.ledger import spend
from tollway.ledger.charges import AMOUNT_NUSD_MAX
from tollway.ledger.deciding.credit import is_amount
from tollway.ledger.lots import pick
from tollway.ledger.state import Account, Hold, State
from tollway.wire.credit import ExtendHold, OpenHold, VoidHold
from tollway.wire.money import dollars
from tollway.wire.refusals import Refusal, refuse


def open_hold(state: State, command: OpenHold, now_ms: int) -> ev.Events | Refusal:
    if (known := state.holds.get(command.hold_id)) is not None:
        return [] if _is_same_hold(known, command) else refuse("hold_conflict")
    if state.ended(command.hold_id) is not None or command.hold_id in state.expired:
        return refuse("hold_conflict", "The hold has ended.")
    if command.hold_deadline_ms <= now_ms:
        return refuse("hold_expired")
    if not 0 <= command.amount_nusd <= AMOUNT_NUSD_MAX:
        return refuse("invalid_amount")
    account = state.accounts.get(command.account_id)
    if account is None:
        return _too_little(0, command.amount_nusd)
    return _limited(account, command, now_ms) or _open_on(account, command)


def _open_on(account: Account, command: OpenHold) -> ev.Events | Refusal:
    amount = command.amount_nusd
    if account.debt or account.available < amount:
        return _too_little(0 if account.debt else account.available, amount)
    slices, shortage = pick(account.lots, amount)
    if shortage:
        return _too_little(amount - shortage, amount)
    return [
        ev.HoldOpened(
            account=command.account_id,
            hold=command.hold_id,
            key=command.access_key_id,
            amount=amount,
            lots=slices,
            deadline=command.hold_deadline_ms,
            price_version=command.price_version,
            models=command.models,
            day_max=command.spend_day_max_nusd,
            month_max=command.spend_month_max_nusd,
        )
    ]


def _is_same_hold(hold: Hold, command: OpenHold) -> bool:
    return (
        hold.account == command.account_id
        and hold.key == command.access_key_id
        and (hold.extensions > 0 or hold.amount == command.amount_nusd)
    )


def _too_little(available: int, amount: int) -> Refusal:
    return refuse(
        "insufficient_credits",
        f"The request needs up to ${dollars(amount)} of credit and ${dollars(available)} is available; "
        "add credit or ask for less output.",
        details={"availableNusd": str(available), "requiredNusd": str(amount)},
    )


def _limited(account: Account, command: OpenHold, now_ms: int) -> Refusal | None:
    """Whether the account or the key may not spend this now."""
    if account.status != "active":
        return refuse("forbidden", f"The account is {account.status}.")
    day_max, month_max = command.spend_day_max_nusd, command.spend_month_max_nusd
    if day_max is None and month_max is None:
        return None
    key = account.keys.get(command.access_key_id) or spend.KeySpend()
    return _over_limit(key, command.amount_nusd, day_max, month_max, now_ms)


def _over_limit(
    key: spend.KeySpend, amount: int, day_max: int | None, month_max: int | None, now_ms: int
) -> Refusal | None:
    if day_max is not None and key.today(now_ms) + amount > day_max:
        return _spent("day", day_max, spend.day_ends_in_s(now_ms))
    if month_max is not None and key.this_month(now_ms) + amount > month_max:
        return _spent("month", month_max, spend.month_ends_in_s(now_ms))
    return None


def _spent(period: str, limit: int, retry_after_s: int) -> Refusal:
    return refuse(
        "rate_limited",
        f"The access key's limit of ${dollars(limit)} per {period} does not cover this request.",
        retry_after_s=retry_after_s,
        details={"limit": f"spend_{period}"},
    )


def extend(state: State, command: ExtendHold, now_ms: int) -> ev.Events | Refusal:
    hold = state.holds.get(command.hold_id)
    if hold is None or hold.account != command.account_id:
        return refuse("hold_unknown")
    if command.nth <= hold.extensions:
        return []
    if command.nth != hold.extensions + 1 or not is_amount(command.delta_nusd):
        return refuse("hold_conflict", "Extensions are counted from 1, and each adds more than zero.")
    return _extend_on(state.accounts[hold.account], hold, command, now_ms)


def _extend_on(account: Account, hold: Hold, command: ExtendHold, now_ms: int) -> ev.Events | Refusal:
    amount = command.delta_nusd
    if account.debt or account.available < amount:
        return _too_little(0 if account.debt else account.available, amount)
    if refusal := _over_limit(account.keys[hold.key], amount, hold.day_max, hold.month_max, now_ms):
        return refusal
    slices, shortage = pick(account.lots, amount)
    if shortage:
        return _too_little(amount - shortage, amount)
    return [
        ev.HoldExtended(
            account=hold.account,
            hold=command.hold_id,
            nth=command.nth,
            delta=amount,
            lots=slices,
            deadline=command.hold_deadline_ms,
        )
    ]


def void(state: State, command: VoidHold, _now_ms: int) -> ev.Events | Refusal:
    hold = state.holds.get(command.hold_id)
    if hold is not None and hold.account == command.account_id:
        return [voided(command.hold_id, hold, command.reason)]
    over = state.expired.get(command.hold_id) or state.ended(command.hold_id)
    return [] if over is not None and over.account == command.account_id else refuse("hold_unknown")


def voided(hold_id: str, hold: Hold, reason: str) -> ev.HoldVoided:
    return ev.HoldVoided(account=hold.account, hold=hold_id, key=hold.key, reason=reason, released=hold.amount)
