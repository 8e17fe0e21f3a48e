"""How a usage fact ends its hold: charged or given back, late or in conflict, and always once."""

import hashlib
from typing import Final, Literal, TypeAlias

import msgspec

from tollway.ledger import events as ev
from tollway.ledger.charges import bill, is_abused, is_charged, operator_cost
from tollway.ledger.lots import pick
from tollway.ledger.state import CLOSED_WINDOW_MS, Account, Closed, Hold, State
from tollway.wire.pricing import charge_nusd, charged_of
from tollway.wire.usage import UsageFact

Difference: TypeAlias = Literal["differs", "voided", "unknown", "account"]
"""Why a fact changes nothing: another one counts, the hold was given back, nobody knows it, it is another account's."""
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


def settle(state: State, fact: UsageFact, _now_ms: int) -> ev.Events:
    """What a fact does to its hold, the first time and whenever it comes again. Facts are never refused."""
    hold = state.holds.get(fact.hold_id)
    if hold is None:
        return _settle_ended(state, fact)
    if hold.account != fact.account_id:
        return [conflict(fact, "account", "")]
    account = state.accounts[hold.account]
    if is_charged(fact.outcome, is_delivery_charged=_is_delivery_charged(account)):
        return [settled(account, hold, fact)]
    return [_given_back(hold, fact)]


def _given_back(hold: Hold, fact: UsageFact) -> ev.HoldVoided:
    """The request is not charged; what the fact says of it is kept."""
    report, digest = encoded_report(fact)
    return ev.HoldVoided(
        account=hold.account,
        hold=fact.hold_id,
        key=hold.key,
        reason=fact.outcome,
        released=hold.amount,
        report=msgspec.Raw(report),
        digest=digest,
        operator_cost=operator_cost(fact),
    )


def _is_delivery_charged(account: Account) -> bool:
    return account.is_delivery_charged or is_abused(unrecovered=account.unrecovered, charged=account.charged)


def settled(account: Account, hold: Hold, fact: UsageFact) -> ev.HoldSettled:
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


def _settle_ended(state: State, fact: UsageFact) -> ev.Events:
    """A fact for a hold that is no longer open: late, known already, or in conflict with how it ended."""
    if fact.hold_id in state.expired:
        return _settle_expired(state, fact)
    closed = state.ended(fact.hold_id)
    if closed is None:
        return [conflict(fact, "unknown", "")]
    return compare(fact, closed)


def _settle_expired(state: State, fact: UsageFact) -> ev.Events:
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


def compare(fact: UsageFact, closed: Closed) -> ev.Events:
    """The first fact counts: the same again is nothing, another one is kept for audit, once."""
    digest = encoded_report(fact)[1]
    if digest in (closed.digest, closed.conflict):
        return []
    return [conflict(fact, "differs" if closed.digest else "voided", closed.digest)]


def conflict(fact: UsageFact, reason: Difference, kept: str) -> ev.UsageConflicted:
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


def is_too_old(hold_id_ms: int, now_ms: int) -> bool:
    """Whether the ending of a hold made then may have been forgotten."""
    return hold_id_ms < now_ms - CLOSED_WINDOW_MS
