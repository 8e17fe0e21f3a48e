"""What one bad message, one bad journal or one bug cannot do: stop the ledger for everybody else."""

import asyncio
from typing import Any

import msgspec
import pytest

from tests.ledger.house import House, accounts, fact, open_hold
from tests.ledger.story import T0, Story, attempt, grant
from tollway.ledger.desk import REFUSED_MAX, Desk
from tollway.ledger.journal.block import Head
from tollway.ledger.state import State
from tollway.wire import subjects
from tollway.wire.credit import HoldOpened
from tollway.wire.plan import Price
from tollway.wire.queries import Balance, GetRequest, ListUsage, RequestUsage, UsageList
from tollway.wire.refusals import Refusal, refuse
from tollway.wire.usage import Usage, UsageFacts

ACCOUNT = "acc_house"


# -- refusals


def desk_of_journal(journal: int = 11) -> Desk:
    return Desk(journal, State(journal), Head(), epoch=1)


def test_a_flood_of_refusals_is_remembered_newest_first() -> None:
    desk = desk_of_journal()
    refusal = refuse("insufficient_credits")
    for n in range(REFUSED_MAX + 100):
        desk.remember_refusal(f"rq_{n}", refusal, until_ms=T0 + 600_000)
    assert len(desk.refused) == REFUSED_MAX
    assert desk.refused_before(f"rq_{REFUSED_MAX + 99}", T0) is refusal
    assert desk.refused_before("rq_0", T0) is None


# -- a clock that was wrong


def test_a_journal_written_with_a_clock_far_ahead_still_opens_holds() -> None:
    ahead_us = (T0 + 400 * 86_400_000) * 1000
    desk = Desk(11, State(11), Head(seq=1, ts=ahead_us), epoch=1)
    assert isinstance(desk.take(grant(10**9), T0 * 1000), list)
    story = Story()
    opened = desk.take(story.open(), T0 * 1000)
    assert isinstance(opened, list), opened
    assert desk.pending[-1].ts > ahead_us, "and its blocks follow those that are there"


def test_a_journal_written_with_a_clock_far_ahead_expires_nothing_early() -> None:
    from tollway.ledger.deciding.unheard import ExpireHold

    ahead_us = (T0 + 400 * 86_400_000) * 1000
    desk = Desk(11, State(11), Head(seq=1, ts=ahead_us), epoch=1)
    desk.take(grant(10**9), T0 * 1000)
    desk.take(Story().open(), T0 * 1000)
    assert desk.take(ExpireHold("rq_1"), T0 * 1000 + 1_000_000) == []


async def test_nothing_expires_while_the_databases_clock_disagrees(small_house: House) -> None:
    house = small_house
    ledger = await house.ledger()
    await house.grant(ACCOUNT, 10**9)
    await house.opened(ACCOUNT, 10**6)
    now_us = ledger.guard.now_us
    ledger.now_us = lambda: now_us() + 121_000_000  # type: ignore[method-assign]
    ledger.guard.is_agreed = False
    ledger.deadlines.tick()
    assert (await house.balance(ACCOUNT)).held_nusd == 10**6
    ledger.guard.is_agreed = True
    ledger.deadlines.tick()
    assert (await house.balance(ACCOUNT)).held_nusd == 0


# -- one journal's trouble


async def test_a_journal_that_cannot_be_ticked_does_not_stop_the_clock_of_others(small_house: House) -> None:
    house = small_house
    ledger = await house.ledger()
    broken, sound = accounts(2)
    held = {}
    for name in (broken, sound):
        await house.grant(name, 10**9)
        held[name] = await house.opened(name, 10**6)
    desk = ledger.desk_of(broken)
    assert desk is not None
    desk.state.accounts[broken].lots.clear()
    now_us = ledger.guard.now_us
    ledger.now_us = lambda: now_us() + 121_000_000  # type: ignore[method-assign]
    ledger.deadlines.tick()
    assert await house.balance(sound) == Balance(10**9, 0, 0)
    assert list(ledger.halted) == [subjects.journal_of(broken)]


async def test_a_writer_that_meets_a_bug_ends_its_process_instead_of_hanging(
    small_house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    house = small_house
    ledger = await house.ledger()
    await house.grant(ACCOUNT, 10**9)

    def broken(*_: Any, **__: Any) -> Any:
        raise OverflowError("a block that cannot be built")

    monkeypatch.setattr("tollway.ledger.writer.build", broken)
    asking = asyncio.create_task(
        house.client.ask(
            subjects.hold(subjects.journal_of(ACCOUNT)), open_hold(ACCOUNT, 10**6), HoldOpened, timeout_s=1.0
        )
    )
    await house.until(lambda: ledger in house.fenced)
    assert isinstance(await asking, Refusal), "nobody was told that it holds"


# -- facts that no adapter should write

ODD: dict[str, dict[str, Any]] = {
    "tokens beyond 64 bits": {"usage": Usage(2**64 - 1, 1)},
    "negative tokens": {"usage": Usage(-(2**63), -1)},
    "a price beyond 64 bits": {"price": Price(input=2**64 - 1, output=2**64 - 1)},
    "an attempt before 1970": {"attempts": [attempt(started_at_ms=-1)]},
    "an attempt beyond 64 bits": {
        "attempts": [attempt(started_at_ms=2**64 - 1, duration_ms=2**64 - 1, ttft_ms=2**64 - 1)]
    },
    "an operator's cost beyond 64 bits": {"attempts": [attempt(operator_cost_nusd=2**64 - 1)]},
    "a provider with a long name": {"attempts": [attempt(provider="p" * 500, model="m" * 500)]},
    "a provider with a zero byte": {"attempts": [attempt(provider="p\0q")]},
    "no attempts": {"attempts": []},
    "an end beyond 64 bits": {"ended_at_ms": 2**64 - 1},
    "another key": {"access_key_id": "k" * 500},
}


async def test_odd_facts_end_their_holds_and_stop_neither_books_nor_read_models(house: House) -> None:
    ledger = await house.ledger()
    await house.grant(ACCOUNT, 10**12)
    holds = {name: (await house.opened(ACCOUNT, 10**6)).hold_id for name in ODD}
    for name, fields in ODD.items():
        await house.put(fact(ACCOUNT, holds[name], **fields))
    await house.until_settled(*holds.values())
    assert (await house.balance(ACCOUNT)).held_nusd == 0
    for hold in holds.values():
        said = await house.ask(subjects.LEDGER_QUERY, GetRequest(ACCOUNT, hold), RequestUsage)
        assert isinstance(said, RequestUsage), said
    after = await house.opened(ACCOUNT, 10**6)
    await house.put(fact(ACCOUNT, after.hold_id, tokens=1))
    await house.until_settled(after.hold_id)
    listed = await house.ask(subjects.LEDGER_QUERY, ListUsage(ACCOUNT, 0), UsageList)
    assert after.hold_id in {row.request_id for row in listed.rows}
    await asyncio.to_thread(ledger.auditor.round)
    assert ledger.halted == {}
    await house.close(ledger)
    await house.ledger()
    assert (await house.balance(ACCOUNT)).held_nusd == 0


async def test_a_message_that_is_no_fact_is_passed_over(small_house: House) -> None:
    house = small_house
    await house.ledger()
    await house.grant(ACCOUNT, 10**9)
    held = await house.opened(ACCOUNT, 10**6)
    subject = subjects.usage(subjects.journal_of(ACCOUNT))
    stream = house.client.client.jetstream()
    for payload in (b"", b"{", b'{"id":1}', b"\xff" * 100, msgspec.json.encode({"type": "UsageFacts", "body": {}})):
        await stream.publish(subject, payload)
    await house.put(fact(ACCOUNT, held.hold_id, tokens=100))
    await house.until_settled(held.hold_id)
    assert await house.balance(ACCOUNT) == Balance(10**9 - 105_000, 0, 0)


async def test_facts_of_several_journals_in_one_message_are_told_after_every_commit(small_house: House) -> None:
    house = small_house
    await house.ledger()
    names = accounts(3)
    holds = {}
    for name in names:
        await house.grant(name, 10**9)
        holds[name] = (await house.opened(name, 10**6)).hold_id
    mixed = UsageFacts([fact(name, hold, tokens=100) for name, hold in holds.items()])
    await house.client.put(subjects.usage(subjects.journal_of(names[0])), mixed, message_id="mixed")
    await house.until_settled(*holds.values())
    for name in names:
        assert await house.balance(name) == Balance(10**9 - 105_000, 0, 0)


async def test_a_fact_that_was_looked_up_while_its_journal_was_given_up_is_left_to_the_next_owner(
    small_house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    house = small_house
    ledger = await house.ledger()
    await house.grant(ACCOUNT, 10**9)
    journal = subjects.journal_of(ACCOUNT)
    desk = ledger.desks[journal]

    def gone(*_: Any) -> None:
        ledger.desks.pop(journal, None)

    monkeypatch.setattr("tollway.ledger.settle.find_ending", gone)
    old = "rq_01JD0000000000000000000000"
    await house.put(fact(ACCOUNT, old))
    await house.until(lambda: journal not in ledger.desks)
    await asyncio.sleep(0)
    assert desk.pending == []
    assert house.settled == []
