"""Answers to the management plane's questions, from the read models. Every query is bounded by its account and page."""

from collections.abc import Callable
from typing import Any, Final

import msgspec
from sqlalchemy import ColumnElement, Connection, and_, func, or_, select

from tollway.ledger.views import tables as t
from tollway.ledger.views.rows import HOUR_MS
from tollway.ledger.views.store import ViewStore
from tollway.wire.queries import (
    PAGE_MAX,
    Balance,
    Bucket,
    GetBalance,
    GetOverview,
    GetRequest,
    ListTransactions,
    ListUsage,
    Overview,
    RequestUsage,
    Transaction,
    TransactionList,
    UsageList,
    UsageRow,
)
from tollway.wire.refusals import Refusal, refuse

DAY_MS: Final = 86_400_000
NEVER_MS: Final = 2**62
_read_usage: Final = msgspec.json.Decoder(UsageRow).decode
_read_movement: Final = msgspec.json.Decoder(Transaction).decode


def ask(store: ViewStore, question: Any) -> Any:
    """The answer, or a refusal. Raises SQLAlchemyError. Blocks: not for the event loop."""
    with store.engine.connect() as connection:
        return _ASK[type(question)](connection, question)


def _balance(connection: Connection, question: GetBalance) -> Balance:
    row = connection.execute(select(t.BALANCE).where(t.BALANCE.c.account == question.account_id)).one_or_none()
    return Balance(row.available, row.held, row.debt) if row else Balance(0, 0, 0)


# -- usage rows


def _usage(connection: Connection, question: ListUsage) -> UsageList | Refusal:
    limit = min(max(question.limit, 1), PAGE_MAX)
    after = _after(question.cursor)
    if isinstance(after, Refusal):
        return after
    query = _matching(question) if after is None else _matching(question).where(after)
    query = query.order_by(t.USAGE.c.at_ms.desc(), t.USAGE.c.id.desc()).limit(limit + 1)
    found = connection.execute(query).all()
    last = found[limit - 1] if len(found) > limit else None
    rows = [_read_usage(row.doc) for row in found[:limit]]
    return UsageList(rows, f"{last.at_ms}~{last.id}" if last else "")


def _matching(question: ListUsage) -> Any:
    query = _in_time(select(t.USAGE.c.at_ms, t.USAGE.c.id, t.USAGE.c.doc), question.start_ms, question.end_ms)
    query = query.where(t.USAGE.c.account == question.account_id)
    if question.access_key_id is not None:
        query = query.where(t.USAGE.c.access_key == question.access_key_id)
    return query if question.is_with_retries else query.where(t.USAGE.c.is_final.is_(True))


def _after(cursor: str) -> ColumnElement[bool] | Refusal | None:
    """Rows older than the cursor's."""
    if not cursor:
        return None
    at_ms, _, identifier = cursor.partition("~")
    if not at_ms.isdecimal() or not identifier:
        return refuse("validation", "The cursor is not one of ours.", param="cursor")
    older = and_(t.USAGE.c.at_ms == int(at_ms), t.USAGE.c.id < identifier)
    return or_(t.USAGE.c.at_ms < int(at_ms), older)


def _in_time(query: Any, start_ms: int, end_ms: int | None) -> Any:
    return query.where(t.USAGE.c.at_ms >= start_ms, t.USAGE.c.at_ms < (NEVER_MS if end_ms is None else end_ms))


def _request(connection: Connection, question: GetRequest) -> RequestUsage | Refusal:
    mine = (t.USAGE.c.account == question.account_id) & (t.USAGE.c.request == question.request_id)
    rows = [_read_usage(row.doc) for row in connection.execute(select(t.USAGE.c.doc).where(mine))]
    ended = (t.ENDING.c.account == question.account_id) & (t.ENDING.c.request == question.request_id)
    ending = connection.execute(select(t.ENDING).where(ended)).one_or_none()
    if not rows and ending is None:
        return refuse("resource_missing", "No request of this id has ended.")
    rows.sort(key=lambda row: row.attempt_number)
    charged = sum(row.cost_nusd for row in rows)
    decided = (rows[0].strategy, rows[0].skipped) if rows else ("", ())
    return RequestUsage(question.request_id, rows, charged, ending.ending if ending else "settled", *decided)


# -- sums


def _overview(connection: Connection, question: GetOverview) -> Overview:
    """Whole hours come from the sums, the broken hours at both ends from the rows."""
    end_ms = NEVER_MS if question.end_ms is None else question.end_ms
    first = -(-question.start_ms // HOUR_MS)
    last = max(first, end_ms // HOUR_MS)
    sums: dict[tuple[int, str], list[int]] = {}
    _add_hours(connection, question, sums, first, last)
    if last == first and question.start_ms // HOUR_MS == end_ms // HOUR_MS:
        _add_rows(connection, question, sums, question.start_ms, end_ms)
    else:
        _add_rows(connection, question, sums, question.start_ms, first * HOUR_MS)
        _add_rows(connection, question, sums, last * HOUR_MS, end_ms)
    buckets = [Bucket(day * DAY_MS, group, *totals) for (day, group), totals in sorted(sums.items())]
    totals = (sum(b.cost_nusd for b in buckets), sum(b.requests for b in buckets), sum(b.errors for b in buckets))
    return Overview(buckets, *totals)


def _add_hours(connection: Connection, question: GetOverview, sums: Any, first: int, last: int) -> None:
    h = t.HOUR.c
    group = {"provider": h.provider, "accessKey": h.access_key, None: None}[question.group_by]
    columns: list[Any] = [h.hour] if group is None else [h.hour, group]
    query = select(*columns, func.sum(h.cost), func.sum(h.requests), func.sum(h.errors))
    query = query.where(h.account == question.account_id, h.hour >= first, h.hour < last).group_by(*columns)
    for row in connection.execute(query).all():
        values = tuple(row)
        key = "" if group is None else values[1]
        _sum(sums, values[0] // 24, key, int(values[-3]), int(values[-2]), int(values[-1]))


def _add_rows(connection: Connection, question: GetOverview, sums: Any, start_ms: int, end_ms: int) -> None:
    if start_ms >= end_ms:
        return
    query = _in_time(select(t.USAGE.c.doc), start_ms, end_ms).where(t.USAGE.c.account == question.account_id)
    for (doc,) in connection.execute(query):
        row = _read_usage(doc)
        group = {"provider": row.provider, "accessKey": row.access_key_id, None: ""}[question.group_by]
        is_error = row.is_final_attempt and row.is_error
        _sum(sums, row.event_ms // DAY_MS, group, row.cost_nusd, int(row.is_final_attempt), int(is_error))


def _sum(sums: Any, day: int, group: str, cost: int, requests: int, errors: int) -> None:
    totals = sums.setdefault((day, group), [0, 0, 0])
    totals[0] += cost
    totals[1] += requests
    totals[2] += errors


# -- money in and out


def _transactions(connection: Connection, question: ListTransactions) -> TransactionList:
    limit = min(max(question.limit, 1), PAGE_MAX)
    before = question.before_id or "tx_~"
    m = t.MOVEMENT.c
    query = select(m.doc).where(m.account == question.account_id, m.id < before).order_by(m.id.desc()).limit(limit + 1)
    items = [_read_movement(doc) for (doc,) in connection.execute(query)]
    items += _daily_usage(connection, question.account_id, before, limit + 1)
    items.sort(key=lambda item: item.id, reverse=True)
    page = items[:limit]
    return TransactionList(page, page[-1].id if len(items) > limit else "")


def _daily_usage(connection: Connection, account: str, before: str, limit: int) -> list[Transaction]:
    """One row per UTC day with usage, newest first."""
    h = t.HOUR.c
    hours_max = limit * 24
    query = select(h.hour, func.sum(h.cost)).where(h.account == account).group_by(h.hour).order_by(h.hour.desc())
    head = before.partition("_")[2][:16]
    if head.isdecimal():
        query = query.where(h.hour <= int(head) // (HOUR_MS * 1000) + 24)
    days: dict[int, int] = {}
    for hour, cost in connection.execute(query.limit(hours_max)):
        days[hour // 24] = days.get(hour // 24, 0) + int(cost)
    rows = [
        Transaction(f"tx_{day * DAY_MS * 1000:016d}999999", "usage", -cost, day * DAY_MS)
        for day, cost in sorted(days.items(), reverse=True)
        if cost
    ]
    return [row for row in rows if row.id < before][:limit]


_ASK: Final[dict[type, Callable[[Connection, Any], Any]]] = {
    GetBalance: _balance,
    ListUsage: _usage,
    GetRequest: _request,
    GetOverview: _overview,
    ListTransactions: _transactions,
}
QUESTIONS: Final = tuple(_ASK)
