"""From events to the rows of the read models. Pure: the same journal gives the same rows, whoever replays it."""

from collections import defaultdict
from collections.abc import Callable
from typing import Any, Final

import msgspec

from tollway.ledger import events as ev
from tollway.wire.queries import Transaction, TransactionType, UsageRow
from tollway.wire.usage import Attempt

HOUR_MS: Final = 3_600_000
AT_MS_MAX: Final = 2**53
_encode: Final = msgspec.json.Encoder().encode
_read_report: Final = msgspec.json.Decoder(ev.Report).decode

UsageTuple = tuple[str, str, str, int, str, bool, bytes]
"""A row of views_usage, column by column."""


class Rows:
    """What one batch of blocks adds to the read models."""

    def __init__(self) -> None:
        self.usage: list[UsageTuple] = []
        self.replaced: list[tuple[str, str]] = []
        self.movements: list[tuple[str, str, bytes]] = []
        self.hours: dict[tuple[str, int, str, str], list[int]] = defaultdict(lambda: [0, 0, 0])
        self.endings: dict[tuple[str, str], tuple[str, int]] = {}
        self.balances: dict[str, list[int]] = defaultdict(lambda: [0, 0, 0])


def add_block(rows: Rows, *, journal: int, ts_us: int, events: list[Any]) -> None:
    """Add what the events of one block mean."""
    for index, event in enumerate(events):
        add = _ADD.get(event.__class__)
        if add is not None:
            add(rows, event, f"tx_{ts_us:016d}{journal:02d}{index:04d}", ts_us // 1000)


def _move(rows: Rows, account: str, *, available: int = 0, held: int = 0, debt: int = 0) -> None:
    balance = rows.balances[account]
    balance[0] += available
    balance[1] += held
    balance[2] += debt


def _sum(slices: ev.Slices) -> int:
    return sum(amount for _, amount in slices)


# -- money in and out


def _movement(rows: Rows, event: Any, identifier: str, at_ms: int, kind: TransactionType, amount: int) -> None:
    row = Transaction(
        identifier,
        kind,
        amount,
        at_ms,
        _CATEGORY.get(event.__class__),
        getattr(event, "expires_at", None),
        getattr(event, "source", ""),
        getattr(event, "reason", ""),
        getattr(event, "by", ""),
    )
    rows.movements.append((event.account, identifier, _encode(row)))


_CATEGORY: Final[dict[type, Any]] = {ev.CreditPurchased: "purchase", ev.CreditGranted: "promotional"}


def _granted(rows: Rows, event: ev.Granted, identifier: str, at_ms: int) -> None:
    _move(rows, event.account, available=event.amount)
    _movement(rows, event, identifier, at_ms, "credits", event.amount)


def _reversed(rows: Rows, event: ev.CreditReversed, identifier: str, at_ms: int) -> None:
    _move(rows, event.account, available=-_sum(event.lots), debt=event.debt)
    _movement(rows, event, identifier, at_ms, "reversal", -event.amount)


def _adjusted(rows: Rows, event: ev.AdjustmentPosted, identifier: str, at_ms: int) -> None:
    available = event.amount if event.amount > 0 else -_sum(event.lots)
    _move(rows, event.account, available=available, debt=event.debt)
    _movement(rows, event, identifier, at_ms, "adjustment", event.amount)


def _lot_expired(rows: Rows, event: ev.LotExpired, identifier: str, at_ms: int) -> None:
    if event.amount:
        _move(rows, event.account, available=-event.amount)
        _movement(rows, event, identifier, at_ms, "expiry", -event.amount)


def _repaid(rows: Rows, event: ev.DebtRepaid, identifier: str, at_ms: int) -> None:
    _move(rows, event.account, available=-event.amount, debt=-event.amount)
    _movement(rows, event, identifier, at_ms, "debt_repaid", -event.amount)


# -- holds and usage


def _opened(rows: Rows, event: ev.HoldOpened, _identifier: str, _at_ms: int) -> None:
    _move(rows, event.account, available=-event.amount, held=event.amount)


def _extended(rows: Rows, event: ev.HoldExtended, _identifier: str, _at_ms: int) -> None:
    _move(rows, event.account, available=-event.delta, held=event.delta)


def _settled(rows: Rows, event: ev.HoldSettled, _identifier: str, _at_ms: int) -> None:
    from_hold = event.charged - event.overrun
    available = event.released - _sum(event.lots)
    _move(rows, event.account, available=available, held=-(event.released + from_hold), debt=event.debt)
    _usage(rows, event, event.charged)


def _settled_late(rows: Rows, event: ev.HoldSettledLate, _identifier: str, _at_ms: int) -> None:
    _move(rows, event.account, available=-_sum(event.lots), debt=event.debt)
    _usage(rows, event, event.charged)
    rows.endings[event.account, event.hold] = ("settled_late", event.charged)


def _voided(rows: Rows, event: ev.HoldVoided, _identifier: str, _at_ms: int) -> None:
    _move(rows, event.account, available=event.released, held=-event.released)
    rows.endings[event.account, event.hold] = ("voided", 0)
    if _has_report(event):
        _usage(rows, event, 0)


def _expired(rows: Rows, event: ev.HoldExpired, _identifier: str, _at_ms: int) -> None:
    _move(rows, event.account, available=event.released, held=-event.released)
    rows.endings[event.account, event.hold] = ("expired", 0)


def _conflicted(rows: Rows, event: ev.UsageConflicted, _identifier: str, _at_ms: int) -> None:
    """Attempts of a request that was voided before its fact came are shown, without a charge."""
    if event.reason == "voided" and _has_report(event):
        rows.replaced.append((event.account, event.hold))
        _usage(rows, event, 0, is_counted=False)
        rows.endings[event.account, event.hold] = ("conflict", 0)


def _has_report(event: ev.HoldVoided | ev.UsageConflicted) -> bool:
    return bytes(event.report) != bytes(ev.NO_REPORT)


def _usage(rows: Rows, event: Any, charged: int, *, is_counted: bool = True) -> None:
    """One row per attempt. The served one carries the charge, or the last where none was served."""
    report = _read_report(event.report)
    final = report.attempts[-1] if report.attempts else None
    if final is None:
        rows.endings.setdefault((event.account, event.hold), ("settled", charged))  # no row can show it
    bearer = next((attempt for attempt in report.attempts if attempt.is_served), final)
    for place, attempt in enumerate(report.attempts, 1):
        identifier = f"us_{event.hold.removeprefix('rq_')}_{place:02d}"
        cost = charged if attempt is bearer else 0
        rows.usage.append(_usage_row(event, report, attempt, identifier, is_final=attempt is final, cost=cost))
    if is_counted and final is not None and bearer is not None:
        _sums(rows, event, bearer)[0] += charged
        sums = _sums(rows, event, final)
        sums[1] += 1
        sums[2] += final.completion != "succeeded"


def _sums(rows: Rows, event: Any, attempt: Attempt) -> list[int]:
    return rows.hours[event.account, _at_ms(attempt) // HOUR_MS, _column(event.key, 64), _column(attempt.provider, 80)]


def _at_ms(attempt: Attempt) -> int:
    """A time that a column can hold, whatever an adapter wrote."""
    return min(max(attempt.started_at_ms, 0), AT_MS_MAX)


def _column(text: str, size: int) -> str:
    """A word that a column can hold: PostgreSQL takes neither more letters nor zero bytes."""
    return text.replace("\0", "")[:size]


def _usage_row(
    event: Any, report: ev.Report, attempt: Attempt, identifier: str, *, is_final: bool, cost: int
) -> UsageTuple:
    usage = report.usage if attempt.is_served else attempt.usage
    is_first = attempt is report.attempts[0]
    row = UsageRow(
        id=identifier,
        event_ms=attempt.started_at_ms,
        request_id=event.hold,
        access_key_id=event.key,
        attempt_id=attempt.id,
        attempt_number=attempt.number,
        is_final_attempt=is_final,
        provider=attempt.provider,
        provider_name=attempt.provider_name,
        model=attempt.model,
        model_name=attempt.model_name,
        retry_action=attempt.retry_action,
        completion=attempt.completion,
        outcome=report.outcome,
        certainty=report.certainty,
        key_source=attempt.key_source,
        is_error=attempt.completion != "succeeded",
        is_timed_out=attempt.is_timed_out,
        is_streaming=attempt.is_streaming,
        is_served=attempt.is_served,
        status=attempt.status,
        stop_reason=attempt.stop_reason,
        error_class=attempt.error_class,
        tokens_input=usage.tokens_input,
        tokens_output=usage.tokens_output,
        tokens_cache_read=usage.tokens_cache_read,
        tokens_cache_write=usage.tokens_cache_write,
        tokens_reasoning=usage.tokens_reasoning,
        cost_nusd=cost,
        operator_cost_nusd=attempt.operator_cost_nusd,
        duration_ms=attempt.duration_ms,
        ttft_ms=attempt.ttft_ms,
        provider_key_id=attempt.provider_key_id,
        provider_key_name=attempt.provider_key_name,
        price_version=report.price_version,
        reason=attempt.reason,
        service=usage.service,
        strategy=report.strategy if is_first else "",
        skipped=report.skipped if is_first else (),
        searches=usage.searches,
    )
    key = _column(event.key, 64)
    return (event.account, identifier, event.hold, _at_ms(attempt), key, is_final, _encode(row))


_ADD: Final[dict[type, Callable[[Rows, Any, str, int], None]]] = {
    ev.CreditPurchased: _granted,
    ev.CreditGranted: _granted,
    ev.CreditReversed: _reversed,
    ev.AdjustmentPosted: _adjusted,
    ev.LotExpired: _lot_expired,
    ev.DebtRepaid: _repaid,
    ev.HoldOpened: _opened,
    ev.HoldExtended: _extended,
    ev.HoldSettled: _settled,
    ev.HoldSettledLate: _settled_late,
    ev.HoldVoided: _voided,
    ev.HoldExpired: _expired,
    ev.UsageConflicted: _conflicted,
}
