"""Read models: what the management plane asks, what it hears, and that nothing is ever counted twice."""

import asyncio
from itertools import product
from typing import Any

import pytest
from sqlalchemy import select

from tests.ledger.story import ACCOUNT, DAY_MS, KEY, T0, TOKEN, Story, adjust, attempt, grant, reverse, void
from tests.ledger.test_journal import write_story
from tollway.ledger.deciding.credit import ExpireLot
from tollway.ledger.deciding.unheard import ExpireHold
from tollway.ledger.journal.block import head_of
from tollway.ledger.journal.store import JournalStore
from tollway.ledger.views.projector import Projector
from tollway.ledger.views.queries import ask
from tollway.ledger.views.rows import HOUR_MS, Rows, add_block
from tollway.ledger.views.store import StaleError, ViewStore
from tollway.ledger.views.tables import HOUR
from tollway.ledger.writer import Committed
from tollway.wire.queries import (
    Balance,
    GetBalance,
    GetOverview,
    GetRequest,
    ListTransactions,
    ListUsage,
)
from tollway.wire.refusals import Refusal
from tollway.wire.usage import Usage

DAY0 = T0 // DAY_MS * DAY_MS


def project(views: ViewStore, story: Story) -> None:
    """Everything that happened, in one batch."""
    rows = Rows()
    parts = [(ts * 1000 + n, events) for n, (ts, events) in enumerate(story.log)]
    for ts_us, events in parts:
        add_block(rows, journal=11, ts_us=ts_us, events=events)
    from tollway.ledger.journal.block import Head

    views.write(rows, {11: (0, Head(seq=len(parts)))})


@pytest.fixture
def served(views: ViewStore) -> ViewStore:
    """Six requests of two keys over three days: served, failed over, failed, late, in conflict, expired."""
    story = Story(now=DAY0 + 30 * 60_000).with_credit(10**9)
    for n in range(3):
        story.with_hold(f"rq_{n}", 10**6, access_key_id=f"aigk_{n % 2}")
        first = attempt(id="a" * 16, completion="failed", is_served=False, retry_action="next_backend", provider="groq")
        second = attempt(number=2, started_at_ms=story.now + 5)
        first = type(first)(**{**_fields(first), "started_at_ms": story.now})
        story.must(story.fact(f"rq_{n}", tokens=10 * (n + 1), attempts=[first, second]))
        story.later(DAY_MS)
    story.with_hold("rq_failed", 10**6)
    failed = attempt(completion="failed", is_served=False, started_at_ms=story.now, operator_cost_nusd=3)
    story.must(story.fact("rq_failed", outcome="failed_midstream", attempts=[failed]))
    story.with_hold("rq_late", 10**6)
    story.later(121_000).must(ExpireHold("rq_late"))
    story.must(story.fact("rq_late", tokens=1, attempts=[attempt(started_at_ms=story.now)]))
    story.with_hold("rq_gone", 10**6)
    story.must(story.witness("rq_gone", "gateway_failed"))
    story.must(story.fact("rq_gone", tokens=7, attempts=[attempt(started_at_ms=story.now)]))
    project(views, story)
    return views


def _fields(struct: Any) -> dict[str, Any]:
    import msgspec

    return msgspec.structs.asdict(struct)


def test_balances_follow_every_kind_of_event(views: ViewStore) -> None:
    story = Story().with_credit(10**9, ext_ref="p1").with_credit(10**6, ext_ref="p2", expires_at_ms=T0 + DAY_MS)
    story.with_hold("rq_1", 10**6).with_hold("rq_2", 10**6).with_hold("rq_3", 50 * TOKEN)
    story.must(story.fact("rq_1", tokens=10))
    story.must(story.fact("rq_3", tokens=60))
    story.must(adjust(77, "i1"))
    story.must(adjust(-5, "i2"))
    story.later(DAY_MS + 1).must(ExpireLot(ACCOUNT, "lot_2"))
    story.must(ExpireHold("rq_2"))
    story.must(story.fact("rq_2", tokens=1))
    story.with_hold("rq_4", 900_000_000)
    story.must(reverse("p1", 10**9))
    story.must(void("rq_4"))
    story.must(grant(10**9, ext_ref="p3"))
    project(views, story)
    assert ask(views, GetBalance(ACCOUNT)) == Balance(*story.balances())
    assert ask(views, GetBalance("acc_none")) == Balance(0, 0, 0)


def test_usage_is_one_row_per_attempt_newest_first(served: ViewStore) -> None:
    rows = ask(served, ListUsage(ACCOUNT, 0, is_with_retries=True)).rows
    assert [(row.request_id, row.attempt_number) for row in rows] == [
        ("rq_late", 1),
        ("rq_gone", 1),
        ("rq_failed", 1),
        ("rq_2", 2),
        ("rq_2", 1),
        ("rq_1", 2),
        ("rq_1", 1),
        ("rq_0", 2),
        ("rq_0", 1),
    ]
    served_row, failed_row = rows[3], rows[4]
    assert (served_row.cost_nusd, served_row.is_served, served_row.is_final_attempt) == (30 * TOKEN, True, True)
    assert (failed_row.cost_nusd, failed_row.retry_action, failed_row.provider) == (0, "next_backend", "groq")
    assert (served_row.tokens_output, failed_row.tokens_output) == (30, None)
    assert {row.request_id: row.operator_cost_nusd for row in rows}["rq_failed"] == 3


def test_without_retries_only_final_attempts_are_listed(served: ViewStore) -> None:
    rows = ask(served, ListUsage(ACCOUNT, 0)).rows
    assert all(row.is_final_attempt for row in rows)
    assert len(rows) == 6


def test_usage_is_chosen_by_time_and_key(served: ViewStore) -> None:
    day1 = ask(served, ListUsage(ACCOUNT, DAY0 + DAY_MS, DAY0 + 2 * DAY_MS)).rows
    assert [row.request_id for row in day1] == ["rq_1"]
    of_key = ask(served, ListUsage(ACCOUNT, 0, access_key_id="aigk_0")).rows
    assert [row.request_id for row in of_key] == ["rq_2", "rq_0"]
    assert ask(served, ListUsage("acc_other", 0)).rows == []


def test_pages_neither_skip_nor_repeat(served: ViewStore) -> None:
    whole = ask(served, ListUsage(ACCOUNT, 0, is_with_retries=True)).rows
    for limit in (1, 2, 4, 100):
        assert paged(served, limit) == whole


def paged(served: ViewStore, limit: int) -> list[Any]:
    found: list[Any] = []
    cursor = ""
    while True:
        page = ask(served, ListUsage(ACCOUNT, 0, is_with_retries=True, limit=limit, cursor=cursor))
        found += page.rows
        cursor = page.next_cursor
        if not cursor:
            return found


def test_a_cursor_that_is_not_ours_is_refused(served: ViewStore) -> None:
    for cursor in ("x", "1", "~", "a~b", "1~"):
        said = ask(served, ListUsage(ACCOUNT, 0, cursor=cursor))
        assert isinstance(said, Refusal)
        assert (said.code, said.param) == ("validation", "cursor")


ENDINGS = {
    "rq_0": ("settled", 10 * TOKEN, 2),
    "rq_failed": ("voided", 0, 1),
    "rq_late": ("settled_late", TOKEN, 1),
    "rq_gone": ("conflict", 0, 1),
}


def test_a_request_tells_how_it_ended(served: ViewStore) -> None:
    for request_id, expected in ENDINGS.items():
        said = ask(served, GetRequest(ACCOUNT, request_id))
        assert (said.ending, said.charged_nusd, len(said.rows)) == expected
        assert [row.attempt_number for row in said.rows] == sorted(row.attempt_number for row in said.rows)


def test_the_overview_adds_up_per_day_and_group(served: ViewStore) -> None:
    said = ask(served, GetOverview(ACCOUNT, DAY0))
    assert [(b.start_ms, b.cost_nusd, b.requests, b.errors) for b in said.buckets] == [
        (DAY0, 10 * TOKEN, 1, 0),
        (DAY0 + DAY_MS, 20 * TOKEN, 1, 0),
        (DAY0 + 2 * DAY_MS, 30 * TOKEN, 1, 0),
        (DAY0 + 3 * DAY_MS, TOKEN, 2, 1),
    ]
    by_key = ask(served, GetOverview(ACCOUNT, DAY0, group_by="accessKey"))
    assert {(b.group_key, b.cost_nusd) for b in by_key.buckets} == {
        ("aigk_0", 10 * TOKEN),
        ("aigk_1", 20 * TOKEN),
        ("aigk_0", 30 * TOKEN),
        (KEY, TOKEN),
    }
    assert (by_key.cost_nusd, by_key.requests, by_key.errors) == (61 * TOKEN, 5, 1)


STARTS = (0, 1, 29 * 60_000, 31 * 60_000, HOUR_MS - 1, HOUR_MS, 25 * HOUR_MS)
LENGTHS = (1, 60_000, HOUR_MS, 23 * HOUR_MS, DAY_MS, 5 * DAY_MS)


def test_any_span_counts_what_the_rows_of_that_span_say(served: ViewStore) -> None:
    for start, length in product(STARTS, LENGTHS):
        check_span(served, DAY0 + start, DAY0 + start + length)


def check_span(served: ViewStore, start_ms: int, end_ms: int) -> None:
    said = ask(served, GetOverview(ACCOUNT, start_ms, end_ms, group_by="provider"))
    rows = ask(served, ListUsage(ACCOUNT, start_ms, end_ms, is_with_retries=True)).rows
    rows = [row for row in rows if row.request_id != "rq_gone"]
    counted = [row for row in rows if row.is_final_attempt]
    assert said.cost_nusd == sum(row.cost_nusd for row in rows)
    if start_ms % HOUR_MS == 0 and end_ms % HOUR_MS == 0:
        assert said.requests == len(counted)


def test_money_in_and_out_is_listed_newest_first_with_usage_by_day(views: ViewStore) -> None:
    story = Story(now=DAY0 + 1000).with_credit(10**9, ext_ref="p1", category="purchase")
    story.with_hold("rq_1").must(story.fact("rq_1", tokens=10, attempts=[attempt(started_at_ms=story.now)]))
    story.later(DAY_MS).must(adjust(5, "i1"))
    story.with_hold("rq_2").must(story.fact("rq_2", tokens=20, attempts=[attempt(started_at_ms=story.now)]))
    story.later(DAY_MS).must(reverse("p1", 10**9))
    project(views, story)
    items = ask(views, ListTransactions(ACCOUNT)).items
    assert [(item.type, item.amount_nusd) for item in items] == [
        ("reversal", -(10**9)),
        ("adjustment", 5),
        ("usage", -20 * TOKEN),
        ("credits", 10**9),
        ("usage", -10 * TOKEN),
    ]
    assert [item.id for item in items] == sorted((item.id for item in items), reverse=True)
    assert items[3].category == "purchase"
    assert items[3].expires_at_ms is not None
    found: list[Any] = []
    before = ""
    while True:
        page = ask(views, ListTransactions(ACCOUNT, limit=2, before_id=before))
        found += page.items
        before = page.next_before_id
        if not before:
            break
    assert found == items


def test_unknown_counts_are_unknown_in_rows(views: ViewStore) -> None:
    story = Story().with_credit(10**9).with_hold("rq_1")
    story.must(story.fact("rq_1", usage=Usage(tokens_output=5)))
    project(views, story)
    (row,) = ask(views, ListUsage(ACCOUNT, 0)).rows
    assert (row.tokens_input, row.tokens_output, row.tokens_cache_read) == (None, 5, None)


# -- once


def blocks_and_events(store: JournalStore, story: Story) -> list[Committed]:
    return [Committed(block, events) for block, (_, events) in zip(write_story(store, story), story.log, strict=True)]


def sums(views: ViewStore) -> list[tuple[Any, ...]]:
    with views.engine.connect() as connection:
        return [tuple(row) for row in connection.execute(select(HOUR))]


async def test_two_projectors_count_everything_once(store: JournalStore, views: ViewStore) -> None:
    story = Story().with_credit(10**9)
    for n in range(20):
        story.with_hold(f"rq_{n}").must(story.fact(f"rq_{n}", tokens=1))
    committed = blocks_and_events(store, story)
    other = ViewStore(views.engine)  # closed by its projector's thread
    projectors = [Projector(store, each, on_trouble=lambda _: None) for each in (views, other)]
    for one in committed:
        for projector in projectors:
            projector.feed([one])
            projector.flush()
    for projector in projectors:
        await projector.reach({11: committed[-1].block.seq})
        await asyncio.to_thread(projector.stop)
    assert ask(views, GetBalance(ACCOUNT)) == Balance(*story.balances())
    assert [row[4:] for row in sums(views)] == [(20 * TOKEN, 20, 0)]


@pytest.mark.parametrize("look", [1, 2])
async def test_another_projector_between_two_looks_at_the_watermark_counts_nothing_twice(
    store: JournalStore, views: ViewStore, look: int
) -> None:
    story = Story().with_credit(10**9).with_hold("rq_1", amount=5)
    committed = blocks_and_events(store, story)
    looks = 0

    class Overtaken(ViewStore):
        def watermarks(self) -> dict[int, tuple[int, bytes]]:
            nonlocal looks
            found = super().watermarks()
            looks += 1
            if looks == look:
                project(ViewStore(views.engine), story)
            return found

    projector = Projector(store, Overtaken(views.engine), on_trouble=lambda _: None)
    projector.feed(committed)
    await projector.reach({})
    await asyncio.to_thread(projector.stop)
    assert looks >= 1
    assert ask(views, GetBalance(ACCOUNT)) == Balance(*story.balances())


async def test_read_models_dropped_while_we_run_are_rebuilt(store: JournalStore, views: ViewStore) -> None:
    story = Story().with_credit(10**9).with_hold("rq_1")
    committed = blocks_and_events(store, story)
    projector = Projector(store, views, on_trouble=lambda _: None)
    projector.feed(committed[:-1])
    await projector.reach({})
    ViewStore(views.engine).drop()
    projector.feed(committed[-1:])
    await projector.reach({})
    await projector.reach({11: committed[-1].block.seq})
    await asyncio.to_thread(projector.stop)
    assert ask(views, GetBalance(ACCOUNT)) == Balance(*story.balances())


async def test_a_gap_is_filled_from_the_journal(store: JournalStore, views: ViewStore) -> None:
    story = Story().with_credit(10**9).with_hold("rq_1").with_hold("rq_2")
    committed = blocks_and_events(store, story)
    projector = Projector(store, views, on_trouble=lambda _: None)
    projector.feed(committed[-1:])
    await projector.reach({})
    await asyncio.to_thread(projector.stop)
    assert ask(views, GetBalance(ACCOUNT)) == Balance(*story.balances())


def test_a_watermark_that_moved_refuses_the_batch_whole(views: ViewStore, store: JournalStore) -> None:
    story = Story().with_credit(10**9)
    (block,) = write_story(store, story)
    for attempt_number in range(2):
        rows = Rows()
        add_block(rows, journal=11, ts_us=block.ts, events=story.log[0][1])
        if attempt_number:
            with pytest.raises(StaleError):
                views.write(rows, {11: (0, head_of(block))})
        else:
            views.write(rows, {11: (0, head_of(block))})
    assert ask(views, GetBalance(ACCOUNT)) == Balance(10**9, 0, 0)
