"""The ledger on a real bus, on SQLite and on PostgreSQL: what it answers, and only when it is durable."""

import asyncio
import os
import random

from tests.ledger.house import House, accounts, fact, open_hold
from tests.ledger.story import KEY
from tollway import clock, ids
from tollway.ledger.journal.reading import load
from tollway.ledger.state import canonical
from tollway.ledger.views.store import ViewStore
from tollway.wire import subjects
from tollway.wire.credit import AwaitHolds, HoldEnded, HoldOpened, HoldsAwaited, HoldsOpened, OpenHolds, VoidHold
from tollway.wire.queries import (
    Balance,
    GetOverview,
    GetRequest,
    ListTransactions,
    ListUsage,
    Overview,
    RequestUsage,
    TransactionList,
    UsageList,
)
from tollway.wire.refusals import Refusal
from tollway.wire.usage import Witness

ACCOUNT = "acc_house"


async def test_a_request_is_held_settled_told_and_shown(house: House) -> None:
    ledger = await house.ledger()
    assert (await house.grant(ACCOUNT, 10**9)).available_nusd == 10**9
    held = await house.opened(ACCOUNT, 10**6)
    assert await house.balance(ACCOUNT) == Balance(10**9 - 10**6, 10**6, 0)
    await house.put(fact(ACCOUNT, held.hold_id, tokens=100))
    await house.until_settled(held.hold_id)
    assert await house.balance(ACCOUNT) == Balance(10**9 - 105_000, 0, 0)
    request = await house.ask(subjects.LEDGER_QUERY, GetRequest(ACCOUNT, held.hold_id), RequestUsage)
    assert (request.charged_nusd, request.ending, len(request.rows)) == (105_000, "settled", 1)
    await house.until(lambda: not ledger.not_ready())


async def test_what_was_committed_survives_a_restart_and_a_repeat_hears_the_same(house: House) -> None:
    first = await house.ledger()
    await house.grant(ACCOUNT, 10**9)
    command = open_hold(ACCOUNT, 10**6)
    subject = subjects.hold(subjects.journal_of(ACCOUNT))
    said = await house.ask(subject, command, HoldOpened)
    await house.close(first)
    await house.ledger()
    assert (await house.ask(subject, command, HoldOpened)).hold_id == said.hold_id
    assert await house.balance(ACCOUNT) == Balance(10**9 - 10**6, 10**6, 0)


async def test_two_hundred_at_once_on_credit_for_thirty_seven_get_thirty_seven(house: House) -> None:
    await house.ledger()
    await house.grant(ACCOUNT, 37 * 10**6)
    said = await asyncio.gather(*(house.open(ACCOUNT, 10**6) for _ in range(200)))
    opened = [one.hold_id for one in said if isinstance(one, HoldOpened)]
    assert len(opened) == 37
    assert {one.code for one in said if isinstance(one, Refusal)} == {"insufficient_credits"}
    await house.put(*(fact(ACCOUNT, hold, tokens=10) for hold in opened))
    await house.until_settled(*opened)
    assert await house.balance(ACCOUNT) == Balance(37 * (10**6 - 10_500), 0, 0)


async def test_facts_delivered_many_times_and_shuffled_charge_once(house: House) -> None:
    await house.ledger()
    await house.grant(ACCOUNT, 10**9)
    held = [(await house.opened(ACCOUNT, 10**6)).hold_id for _ in range(10)]
    facts = [fact(ACCOUNT, hold, tokens=10) for hold in held] * 3
    random.Random(7).shuffle(facts)
    for one in facts:
        await house.put(one)
    await house.until(lambda: len(house.settled) >= 30)
    assert sorted(house.settled) == sorted(held * 3), "an outbox that asks again hears again"
    assert await house.balance(ACCOUNT) == Balance(10**9 - 10 * 10_500, 0, 0)
    listed = await house.ask(subjects.LEDGER_QUERY, ListUsage(ACCOUNT, 0), UsageList)
    assert sum(row.cost_nusd for row in listed.rows) == 10 * 10_500


async def test_every_journal_is_served(house: House) -> None:
    await house.ledger()
    names = accounts(100)
    assert len({subjects.journal_of(name) for name in names}) > 50
    await asyncio.gather(*(house.grant(name, 10**9) for name in names))
    said = await asyncio.gather(*(house.open(name, 5) for name in names))
    assert all(isinstance(one, HoldOpened) for one in said)


async def test_a_refused_hold_stays_refused_when_credit_comes(small_house: House) -> None:
    house = small_house
    await house.ledger()
    await house.grant(ACCOUNT, 5)
    command = open_hold(ACCOUNT, 10)
    subject = subjects.hold(subjects.journal_of(ACCOUNT))
    assert (await house.ask(subject, command, HoldOpened)).code == "insufficient_credits"
    await house.grant(ACCOUNT, 100, "r2")
    assert (await house.ask(subject, command, HoldOpened)).code == "insufficient_credits"
    assert isinstance(await house.open(ACCOUNT, 10), HoldOpened)


async def test_refusals_write_nothing(small_house: House) -> None:
    house = small_house
    ledger = await house.ledger()
    journal = subjects.journal_of(ACCOUNT)
    before = ledger.journal.head(journal)
    for _ in range(20):
        assert isinstance(await house.open(ACCOUNT, 10), Refusal)
    assert isinstance(await house.open(ACCOUNT, 10, "rq_malformed"), Refusal)
    assert ledger.journal.head(journal) == before


async def test_a_gateway_failure_gives_the_credit_back_by_the_witness_alone(small_house: House) -> None:
    house = small_house
    await house.ledger()
    await house.grant(ACCOUNT, 10**9)
    held = await house.opened(ACCOUNT, 10**6)
    await house.witness(Witness(held.hold_id, ACCOUNT, KEY, "gateway_failed", 0, 0, 1))
    for _ in range(200):
        if (await house.balance(ACCOUNT)).held_nusd == 0:
            break
        await asyncio.sleep(0.02)
    assert await house.balance(ACCOUNT) == Balance(10**9, 0, 0)
    request = await house.ask(subjects.LEDGER_QUERY, GetRequest(ACCOUNT, held.hold_id), RequestUsage)
    assert (request.ending, request.rows) == ("voided", [])


async def test_a_fact_older_than_memory_is_looked_up_in_the_journal(small_house: House) -> None:
    house = small_house
    ledger = await house.ledger()
    await house.grant(ACCOUNT, 10**9)
    held = await house.opened(ACCOUNT, 10**6)
    first = fact(ACCOUNT, held.hold_id, tokens=100)
    await house.put(first)
    await house.until_settled(held.hold_id)
    house.settled.clear()
    ledger.now_us = lambda: (ids.ulid_ms(held.hold_id) + 3_600_000) * 1000  # type: ignore[method-assign]
    await house.grant(ACCOUNT, 1, "later")
    desk = ledger.desk_of(ACCOUNT)
    assert desk is not None
    assert desk.state.ended(held.hold_id) is None, "memory has forgotten"
    await house.put(first)
    await house.until_settled(held.hold_id)
    house.settled.clear()
    await house.put(fact(ACCOUNT, held.hold_id, tokens=101))
    await house.until_settled(held.hold_id)
    assert desk.state.accounts[ACCOUNT].charged == 105_000


async def test_queries_show_what_has_just_been_settled(house: House) -> None:
    await house.ledger()
    await house.grant(ACCOUNT, 10**9)
    holds = [(await house.opened(ACCOUNT, 10**6)).hold_id for _ in range(5)]
    await house.put(*(fact(ACCOUNT, hold, tokens=n + 1) for n, hold in enumerate(holds)))
    await house.until_settled(*holds)
    first = await house.ask(subjects.LEDGER_QUERY, ListUsage(ACCOUNT, 0, limit=3), UsageList)
    rest = await house.ask(subjects.LEDGER_QUERY, ListUsage(ACCOUNT, 0, limit=3, cursor=first.next_cursor), UsageList)
    assert (len(first.rows), len(rest.rows), rest.next_cursor) == (3, 2, "")
    assert {row.request_id for row in first.rows + rest.rows} == set(holds)
    overview = await house.ask(subjects.LEDGER_QUERY, GetOverview(ACCOUNT, 0, group_by="provider"), Overview)
    assert (overview.requests, overview.cost_nusd, overview.errors) == (5, 15 * 1050, 0)
    money = await house.ask(subjects.LEDGER_QUERY, ListTransactions(ACCOUNT), TransactionList)
    assert {(item.type, item.amount_nusd) for item in money.items} == {("credits", 10**9), ("usage", -15 * 1050)}


async def test_another_accounts_request_is_missing(small_house: House) -> None:
    house = small_house
    await house.ledger()
    await house.grant(ACCOUNT, 10**9)
    held = await house.opened(ACCOUNT, 10**6)
    await house.put(fact(ACCOUNT, held.hold_id))
    await house.until_settled(held.hold_id)
    said = await house.ask(subjects.LEDGER_QUERY, GetRequest("acc_other", held.hold_id), RequestUsage)
    assert said.code == "resource_missing"


async def test_replay_of_the_journal_is_the_live_state(house: House) -> None:
    ledger = await house.ledger()
    names = accounts(5)
    for name in names:
        await house.grant(name, 10**9)
        holds = [(await house.opened(name, 10**6)).hold_id for _ in range(4)]
        await house.put(*(fact(name, hold) for hold in holds[:2]))
    await house.until(lambda: len(house.settled) >= 10)
    await ledger.writer.settle_down()
    for journal, desk in ledger.desks.items():
        assert canonical(load(ledger.journal, journal)[0]) == canonical(desk.state)


async def test_read_models_that_were_dropped_are_rebuilt_to_the_same_rows(house: House) -> None:
    from sqlalchemy import select

    from tollway.ledger.views.tables import PROJECTED

    def dump(views: ViewStore) -> dict[str, list[tuple[object, ...]]]:
        with views.engine.connect() as connection:
            return {t.name: sorted(tuple(row) for row in connection.execute(select(t))) for t in PROJECTED}

    ledger = await house.ledger()
    await house.grant(ACCOUNT, 10**9)
    holds = [(await house.opened(ACCOUNT, 10**6)).hold_id for _ in range(5)]
    await house.put(*(fact(ACCOUNT, hold) for hold in holds[:3]))
    await house.put(fact(ACCOUNT, holds[3], outcome="failed_midstream"))
    await house.until_settled(*holds[:4])
    await ledger.projector.reach({})
    assert ledger.views is not None
    views = ledger.views
    before = dump(views)
    await house.close(ledger)
    views.drop()
    assert not any(dump(views).values())
    views.engine.dispose()
    again = await house.ledger()
    assert again.views is not None
    assert dump(again.views) == before


async def test_two_ledgers_share_the_journals_on_postgresql_and_answer_for_all(house: House) -> None:
    first = await house.ledger(pid=os.getppid())
    second = await house.ledger()
    is_sqlite = "TOLLWAY_DATABASE_URL" not in house.environ
    if is_sqlite:
        assert (len(first.desks), len(second.desks)) == (64, 0), "on SQLite the second stands by"
    else:
        await house.until(lambda: len(first.desks) == len(second.desks) == 32)
        assert set(first.desks) | set(second.desks) == set(range(64))
    names = accounts(24)
    for name in names:
        await house.grant(name, 10**9)
        held = await house.opened(name, 10**6)
        await house.put(fact(name, held.hold_id))
        await house.until_settled(held.hold_id)
        for _ in range(2):
            assert await house.balance(name) == Balance(10**9 - 105_000, 0, 0)
            listed = await house.ask(subjects.LEDGER_QUERY, ListUsage(name, 0), UsageList)
            assert [row.request_id for row in listed.rows] == [held.hold_id]
    assert house.fenced == []
    await house.close(first)
    await house.until(lambda: len(second.desks) == 64)
    for name in names:
        assert await house.balance(name) == Balance(10**9 - 105_000, 0, 0)
        await house.opened(name, 5)


def open_holds(account: str, amount: int, *hold_ids: str) -> OpenHolds:
    return OpenHolds(hold_ids, account, KEY, amount, clock.now_ms() + 60_000, "v1", ("gpt-4o",))


async def test_holds_are_opened_ahead_as_far_as_credit_goes_and_each_is_a_hold_like_any_other(house: House) -> None:
    await house.ledger()
    await house.grant(ACCOUNT, 2_500)
    subject = subjects.hold(subjects.journal_of(ACCOUNT))
    names = [ids.new_id("rq") for _ in range(4)]
    command = open_holds(ACCOUNT, 1_000, *names)
    assert await house.ask(subject, command, HoldsOpened) == HoldsOpened(2, 500)
    assert await house.balance(ACCOUNT) == Balance(500, 2_000, 0)
    assert await house.ask(subject, command, HoldsOpened) == HoldsOpened(2, 500)
    assert await house.ask(subject, VoidHold(names[0], ACCOUNT, "not used"), HoldEnded) == HoldEnded(names[0], 0)
    await house.put(fact(ACCOUNT, names[1], tokens=0))
    await house.until_settled(names[1])
    assert await house.balance(ACCOUNT) == Balance(2_500, 0, 0)


async def test_holds_that_cannot_be_opened_ahead_are_refused_as_one(house: House) -> None:
    await house.ledger()
    await house.grant(ACCOUNT, 999)
    subject = subjects.hold(subjects.journal_of(ACCOUNT))
    refused = await house.ask(subject, open_holds(ACCOUNT, 1_000, ids.new_id("rq")), HoldsOpened)
    assert (refused.code, refused.details["availableNusd"]) == ("insufficient_credits", "999")
    many = [ids.new_id("rq") for _ in range(65)]
    assert (await house.ask(subject, open_holds(ACCOUNT, 1, *many), HoldsOpened)).code == "validation"
    assert await house.balance(ACCOUNT) == Balance(999, 0, 0)


async def test_who_waits_for_a_hold_hears_of_its_end_and_does_not_wait_for_ever(house: House) -> None:
    await house.ledger()
    await house.grant(ACCOUNT, 10**9)
    held, other = await house.opened(ACCOUNT, 10**6), await house.opened(ACCOUNT, 10**6)
    subject = subjects.hold(subjects.journal_of(ACCOUNT))
    await house.put(fact(ACCOUNT, held.hold_id, tokens=100))
    assert await house.ask(subject, AwaitHolds(ACCOUNT, (held.hold_id,)), HoldsAwaited) == HoldsAwaited(0)
    assert await house.balance(ACCOUNT) == Balance(10**9 - 105_000 - 10**6, 10**6, 0)
    assert await house.ask(subject, AwaitHolds(ACCOUNT, (other.hold_id,)), HoldsAwaited) == HoldsAwaited(1)
