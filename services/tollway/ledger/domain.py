"""What the ledger decides: `decide(state, command, now_ms)` gives events or a refusal, and changes nothing.

`happen` lets the events happen and adds what must follow in the same block (credit released into an expired lot
expires; credit that comes in repays debt). `answer` is the reply to a command that was accepted, now or before.
Pure: time comes in, ids come in, nothing else does.
"""

import hashlib
from collections.abc import Callable
from typing import Any, Final

import msgspec

from tollway.ledger import events as ev
from tollway.ledger import spend
from tollway.ledger.charges import AMOUNT_NUSD_MAX, IS_CHARGED, bill, is_abused, is_charged, operator_cost
from tollway.ledger.lots import pick
from tollway.ledger.state import CLOSED_WINDOW_MS, Account, Closed, Hold, State, apply, payment_key
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
from tollway.wire.money import NUSD_MAX, dollars
from tollway.wire.pricing import charge_nusd, charged_of
from tollway.wire.refusals import Refusal, refuse
from tollway.wire.usage import Attempt, Usage, UsageFact, Witness

HOLD_GRACE_MS: Final = 60_000
"""How long after its deadline a hold waits for its fact."""
LOT_LIFE_DAYS: Final = 365
BALANCE_NUSD_MAX: Final = NUSD_MAX
"""What an account may have or owe: databases keep 64 bits."""
BYTES_PER_TOKEN: Final = 4
"""How a witness's bytes are turned into tokens where nothing better is known."""

Events = list[Any]


class ExpireHold(msgspec.Struct, frozen=True):
    """The tick found a hold past its deadline and grace."""

    hold_id: str


class ExpireLot(msgspec.Struct, frozen=True):
    """The tick found a lot past its expiry."""

    account_id: str
    lot_id: str


# -- accounts and money in


def lot_expiry_ms(purchased_ms: int) -> int:
    """Bought credit lives to the last millisecond (23:59:59.999 UTC) of the 365th day after the purchase's."""
    return (purchased_ms // spend.DAY_MS + LOT_LIFE_DAYS + 1) * spend.DAY_MS - 1


def _is_amount(amount: int) -> bool:
    return 0 < amount <= AMOUNT_NUSD_MAX


def _has_room(account: Account, amount: int) -> bool:
    """Whether the account may have, or owe, so much more."""
    if amount > 0:
        return account.available + account.held + amount <= BALANCE_NUSD_MAX
    return account.debt - amount <= BALANCE_NUSD_MAX


def _grant(state: State, command: GrantCredit, now_ms: int) -> Events | Refusal:
    if not _is_amount(command.amount_nusd):
        return refuse("invalid_amount", "A grant must be more than zero and within range.")
    booked = state.payments.get(payment_key(command.account_id, command.source, command.ext_ref))
    if booked is not None:
        return [] if booked.amount == command.amount_nusd else refuse("duplicate_payment")
    account = state.accounts.get(command.account_id)
    if account is not None and not _has_room(account, command.amount_nusd):
        return refuse("invalid_amount", "The account would have more than can be kept.")
    opened: Events = [] if account else [ev.AccountOpened(account=command.account_id, by=command.by)]
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


def _reverse(state: State, command: ReverseCredit, _now_ms: int) -> Events | Refusal:
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


def _adjust(state: State, command: AdjustBalance, _now_ms: int) -> Events | Refusal:
    if not _is_amount(abs(command.amount_nusd)):
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


def _update_account(state: State, command: UpdateAccount, _now_ms: int) -> Events | Refusal:
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


# -- holds


def _open(state: State, command: OpenHold, now_ms: int) -> Events | Refusal:
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


def _open_on(account: Account, command: OpenHold) -> Events | Refusal:
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


def _extend(state: State, command: ExtendHold, now_ms: int) -> Events | Refusal:
    hold = state.holds.get(command.hold_id)
    if hold is None or hold.account != command.account_id:
        return refuse("hold_unknown")
    if command.nth <= hold.extensions:
        return []
    if command.nth != hold.extensions + 1 or not _is_amount(command.delta_nusd):
        return refuse("hold_conflict", "Extensions are counted from 1, and each adds more than zero.")
    return _extend_on(state.accounts[hold.account], hold, command, now_ms)


def _extend_on(account: Account, hold: Hold, command: ExtendHold, now_ms: int) -> Events | Refusal:
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


def _void(state: State, command: VoidHold, _now_ms: int) -> Events | Refusal:
    hold = state.holds.get(command.hold_id)
    if hold is not None and hold.account == command.account_id:
        return [_voided(command.hold_id, hold, command.reason)]
    over = state.expired.get(command.hold_id) or state.ended(command.hold_id)
    return [] if over is not None and over.account == command.account_id else refuse("hold_unknown")


def _voided(hold_id: str, hold: Hold, reason: str) -> ev.HoldVoided:
    return ev.HoldVoided(account=hold.account, hold=hold_id, key=hold.key, reason=reason, released=hold.amount)


def _expire_hold(state: State, command: ExpireHold, now_ms: int) -> Events | Refusal:
    """Past deadline and grace: settle from the witness if it says that the client was served, else give it back."""
    hold = state.holds.get(command.hold_id)
    if hold is None or now_ms < hold.deadline + HOLD_GRACE_MS:
        return []
    if hold.witness is not None and IS_CHARGED[hold.witness.outcome]:
        return [_settled(state.accounts[hold.account], hold, fact_of_witness(command.hold_id, hold))]
    return [ev.HoldExpired(account=hold.account, hold=command.hold_id, key=hold.key, released=hold.amount)]


def _expire_lot(state: State, command: ExpireLot, now_ms: int) -> Events | Refusal:
    account = state.accounts.get(command.account_id)
    lots = account.lots if account else []
    lot = next((lot for lot in lots if lot.id == command.lot_id), None)
    if lot is None or lot.is_expired or lot.expires_at is None or now_ms <= lot.expires_at:
        return []
    return [ev.LotExpired(account=command.account_id, lot=lot.id, amount=lot.free)]


# -- facts and witnesses


_encode: Final = msgspec.json.Encoder().encode


def encoded_report(fact: UsageFact) -> tuple[bytes, str]:
    """The part of a fact that the log keeps, and its digest: equal facts have equal digests."""
    report = _encode(
        ev.Report(
            fact.outcome,
            fact.certainty,
            fact.usage,
            fact.attempts,
            fact.ended_at_ms,
            fact.is_managed,
            fact.price,
            fact.price_version,
            fact.strategy,
            fact.skipped,
        )
    )
    return report, hashlib.blake2b(report, digest_size=12).hexdigest()


def _settle(state: State, fact: UsageFact, _now_ms: int) -> Events | Refusal:
    hold = state.holds.get(fact.hold_id)
    if hold is None:
        return _settle_ended(state, fact)
    if hold.account != fact.account_id:
        return [conflict(fact, "account", "")]
    account = state.accounts[hold.account]
    if IS_CHARGED[fact.outcome] or is_charged(fact.outcome, is_delivery_charged=_is_delivery_charged(account)):
        return [_settled(account, hold, fact)]
    report, digest = encoded_report(fact)
    return [
        ev.HoldVoided(
            account=hold.account,
            hold=fact.hold_id,
            key=hold.key,
            reason=fact.outcome,
            released=hold.amount,
            report=msgspec.Raw(report),
            digest=digest,
            operator_cost=operator_cost(fact),
        )
    ]


def _is_delivery_charged(account: Account) -> bool:
    return account.is_delivery_charged or is_abused(unrecovered=account.unrecovered, charged=account.charged)


def _settled(account: Account, hold: Hold, fact: UsageFact) -> ev.HoldSettled:
    """What the hold covers is charged from it; beyond it, up to the cap, from free credit and then as debt."""
    priced = bill(fact, is_delivery_charged=True)
    report, digest = encoded_report(fact)
    charged = charged_of(priced.cost, hold.amount)
    overrun = max(0, charged - hold.amount)
    slices, shortage = pick(account.lots, overrun) if overrun else ([], 0)
    return ev.HoldSettled(
        account=hold.account,
        hold=fact.hold_id,
        key=hold.key,
        report=msgspec.Raw(report),
        digest=digest,
        cost=priced.cost,
        charged=charged,
        released=hold.amount - (charged - overrun),
        overrun=overrun,
        lots=slices,
        debt=shortage,
        written_off=priced.cost - charged,
        is_absurd=priced.is_absurd,
        operator_cost=operator_cost(fact, is_served_charged=True),
    )


def _settle_ended(state: State, fact: UsageFact) -> Events:
    """A fact for a hold that is no longer open: late, known already, or in conflict with how it ended."""
    if fact.hold_id in state.expired:
        return _settle_expired(state, fact)
    closed = state.ended(fact.hold_id)
    if closed is None:
        return [conflict(fact, "unknown", "")]
    return compare(fact, closed)


def compare(fact: UsageFact, closed: Closed) -> Events:
    """The first fact counts: the same again is nothing, another one is kept for audit, once."""
    digest = encoded_report(fact)[1]
    if digest in (closed.digest, closed.conflict):
        return []
    return [conflict(fact, "differs" if closed.digest else "voided", closed.digest)]


def conflict(fact: UsageFact, reason: Any, kept: str) -> ev.UsageConflicted:
    """A fact that changes nothing."""
    report, digest = encoded_report(fact)
    cost = charge_nusd(fact.usage, fact.price, is_managed=fact.is_managed) if bill(fact).cost else 0
    return ev.UsageConflicted(
        account=fact.account_id,
        hold=fact.hold_id,
        key=fact.access_key_id,
        reason=reason,
        seen=digest,
        kept=kept,
        report=msgspec.Raw(report),
        operator_cost=cost + operator_cost(fact),
    )


def _settle_expired(state: State, fact: UsageFact) -> Events:
    expired = state.expired[fact.hold_id]
    if expired.account != fact.account_id:
        return [conflict(fact, "account", "")]
    account = state.accounts[expired.account]
    priced = bill(fact, is_delivery_charged=_is_delivery_charged(account))
    report, digest = encoded_report(fact)
    charged = charged_of(priced.cost, expired.amount)
    slices, shortage = pick(account.lots, charged)
    return [
        ev.HoldSettledLate(
            account=expired.account,
            hold=fact.hold_id,
            key=expired.key,
            report=msgspec.Raw(report),
            digest=digest,
            cost=priced.cost,
            charged=charged,
            lots=slices,
            debt=shortage,
            written_off=priced.cost - charged,
            is_absurd=priced.is_absurd,
            operator_cost=operator_cost(fact, is_served_charged=charged > 0),
        )
    ]


def _witness(state: State, witness: Witness, _now_ms: int) -> Events:
    """The gateway failed the client and no fact came: give the credit back now. Anything else is remembered."""
    hold = state.holds.get(witness.hold_id)
    if hold is None or hold.account != witness.account_id or hold.witness is not None:
        return []
    if witness.outcome == "gateway_failed":
        return [_voided(witness.hold_id, hold, "witness")]
    return [
        ev.HoldWitnessed(
            account=hold.account,
            hold=witness.hold_id,
            outcome=witness.outcome,
            bytes_out=witness.bytes_out,
            tokens_input=witness.tokens_input_estimate,
            ended_at=witness.ended_at_ms,
            model=witness.model,
            is_streaming=witness.is_streaming,
            is_managed=witness.is_managed,
            price=witness.price,
        )
    ]


def fact_of_witness(hold_id: str, hold: Hold) -> UsageFact:
    """The estimate that a witness allows: input as ingress bounded it, output from the bytes it handed over."""
    seen = hold.witness
    assert seen is not None, "only a witnessed hold is settled from its witness"
    return UsageFact(
        hold_id=hold_id,
        account_id=hold.account,
        access_key_id=hold.key,
        outbox="",
        outcome=seen.outcome,
        certainty="estimated",
        usage=Usage(seen.tokens_input, -(-seen.bytes_out // BYTES_PER_TOKEN)),
        attempts=[_attempt_of_witness(hold_id, seen)],
        ended_at_ms=seen.ended_at,
        is_managed=seen.is_managed,
        price=seen.price,
        price_version=hold.price_version,
    )


def _attempt_of_witness(hold_id: str, seen: ev.HoldWitnessed) -> Attempt:
    """The row that shows the charge; nobody knows more of the attempt than that it served."""
    provider, _, model = seen.model.partition(":")
    return Attempt(
        id=hashlib.blake2b(hold_id.encode(), digest_size=8).hexdigest(),
        number=1,
        provider=provider,
        provider_name=provider,
        model=model,
        model_name=model,
        key_source="managed" if seen.is_managed else "user",
        started_at_ms=seen.ended_at,
        duration_ms=0,
        retry_action="succeeded",
        completion="unknown",
        is_streaming=seen.is_streaming,
        is_served=True,
        reason="witness",
    )


# -- the faces


def is_too_old(hold_id_ms: int, now_ms: int) -> bool:
    """Whether the ending of a hold made then may have been forgotten."""
    return hold_id_ms < now_ms - CLOSED_WINDOW_MS


def decide(state: State, command: Any, now_ms: int) -> Events | Refusal:
    """Events that the command makes happen; none when it has happened before; or why it may not."""
    return _DECIDE[type(command)](state, command, now_ms)


def happen(state: State, command: Any, events: Events) -> None:
    """Let decided events happen, and append what must follow in the same block."""
    for event in events:
        apply(state, event)
    if type(command) is not OpenHold:
        _follow(state, events[-1].account, events)


def perform(state: State, command: Any, now_ms: int) -> Events | Refusal:
    """Decide and let it happen."""
    events = decide(state, command, now_ms)
    if not isinstance(events, Refusal) and events:
        happen(state, command, events)
    return events


def _follow(state: State, identifier: str, events: Events) -> None:
    account = state.accounts.get(identifier)
    if account is None:
        return
    for event in _consequences(identifier, account):
        apply(state, event)
        events.append(event)


def _consequences(identifier: str, account: Account) -> Events:
    """Credit in an expired lot expires; free credit repays debt."""
    gone: Events = [
        ev.LotExpired(account=identifier, lot=lot.id, amount=lot.free)
        for lot in account.lots
        if lot.is_expired and lot.free
    ]
    if not account.debt:
        return gone
    slices, shortage = pick(account.lots, account.debt)
    repaid = account.debt - shortage
    return [*gone, ev.DebtRepaid(account=identifier, amount=repaid, lots=slices)] if repaid else gone


_DECIDE: Final[dict[type, Callable[[State, Any, int], Events | Refusal]]] = {
    GrantCredit: _grant,
    ReverseCredit: _reverse,
    AdjustBalance: _adjust,
    UpdateAccount: _update_account,
    OpenHold: _open,
    ExtendHold: _extend,
    VoidHold: _void,
    UsageFact: _settle,
    Witness: _witness,
    ExpireHold: _expire_hold,
    ExpireLot: _expire_lot,
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
