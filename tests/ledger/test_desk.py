"""Nobody hears of anything before it is durable: replies, balances, `settled` and acknowledgements wait for the commit.

The journal is real; its append waits at a gate, so that "before the commit" lasts as long as a test wants to look.
"""

import asyncio
import threading
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Any

import pytest

from tests.ledger.house import fact, open_hold
from tests.ledger.story import grant
from tollway import clock, ids
from tollway.bus import Bus
from tollway.bus.memory import Broker, MemoryBus
from tollway.ledger.desk import Desk, OpenBlock
from tollway.ledger.handlers import balance_here
from tollway.ledger.journal.block import Head, build
from tollway.ledger.journal.store import JournalStore
from tollway.ledger.settle import Settling
from tollway.ledger.state import State
from tollway.ledger.writer import Writer
from tollway.store.engine import open_engine
from tollway.wire import subjects
from tollway.wire.credit import HoldOpened
from tollway.wire.envelope import Context
from tollway.wire.queries import Balance, GetBalance
from tollway.wire.usage import Settled, UsageFact, UsageFacts, Witness

ACCOUNT = "acc_a"
JOURNAL = subjects.journal_of(ACCOUNT)
TURNS = 50
"""Turns of the loop in which whatever does not wait for the commit has long happened."""


class GatedStore(JournalStore):
    """The real journal behind a gate: `is_asked` once a commit has come to it, `gate` to let it through."""

    is_asked: threading.Event
    gate: threading.Event

    def append(self, blocks: Any) -> None:
        """Wait, then store."""
        self.is_asked.set()
        assert self.gate.wait(20), "nobody opened the gate"
        super().append(blocks)


@dataclass
class Room:
    """What a service is to its handlers and to its reader of USAGE."""

    bus: Bus
    writer: Writer
    journal: JournalStore
    desk: Desk
    broker: Broker
    at: GatedStore
    is_silent: bool = False

    def desk_of(self, account_id: str) -> Desk | None:
        """One journal is ours."""
        return self.desk if subjects.journal_of(account_id) == JOURNAL else None

    def now_us(self) -> int:
        """The clock's."""
        return clock.now_ns() // 1000

    def settled(self, desk: Desk, fact: UsageFact, events: list[Any]) -> None:
        """Nobody watches."""

    # -- what a test does with it

    def asks(self, command: Any, answers: list[Any]) -> None:
        """Take a command as the handlers do; its answer is appended when it comes."""
        assert isinstance(self.desk.take(command, self.now_us()), list)
        self.desk.reply(command, answers.append)
        self.writer.wake(self.desk)

    async def at_the_gate(self) -> None:
        """Until a commit is under way, and everything that did not wait for it has happened."""
        await asyncio.to_thread(self.at.is_asked.wait, 20)
        for _ in range(TURNS):
            await asyncio.sleep(0)

    async def through(self) -> None:
        """Let commits pass until nothing is pending."""
        self.at.gate.set()
        await self.writer.settle_down()

    def shut(self) -> None:
        """From now on commits wait again."""
        self.at.is_asked.clear()
        self.at.gate.clear()

    def acked(self) -> set[int]:
        """Sequences of USAGE that were acknowledged."""
        return self.broker.streams["USAGE"].acked[f"ledger-g{subjects.group_of(JOURNAL)}"]

    def take_over(self) -> None:
        """Another process writes the block that this one is about to write."""
        events = self.desk.in_flight[0].events
        other = JournalStore(self.journal.engine)
        other.append([build(JOURNAL, self.desk.head, epoch=2, ts=self.now_us() + 10**6, events=events)])
        other.let_go()


@pytest.fixture
async def room(sqlite_database: Callable[[str], str]) -> AsyncIterator[Room]:
    """A desk with a dollar of credit, its writer and a bus; the gate is shut."""
    store = GatedStore(open_engine(sqlite_database("journal"), is_writer=True))
    store.is_asked, store.gate = threading.Event(), threading.Event()
    writer = Writer(
        store,
        on_committed=lambda _: None,
        on_fenced=lambda: None,
        on_trouble=lambda _: None,
        on_timing=lambda _took, _blocks: None,
    )
    broker = Broker()
    bus = MemoryBus("ledger-1", broker)
    room = Room(bus, writer, store, Desk(JOURNAL, State(JOURNAL), Head(), epoch=1), broker, store)
    room.asks(grant(account_id=ACCOUNT), [])
    await room.through()
    room.shut()
    yield room
    store.gate.set()
    await bus.drain()
    await asyncio.to_thread(writer.stop)
    store.engine.dispose()


async def test_a_reply_waits_for_the_commit(room: Room) -> None:
    answers: list[Any] = []
    room.asks(open_hold(ACCOUNT, 5), answers)
    assert answers == []
    await room.at_the_gate()
    assert answers == [], "the commit is under way and not done"
    await room.through()
    assert [type(answer) for answer in answers] == [HoldOpened]


async def test_a_repeat_waits_for_the_commit_of_what_it_repeats(room: Room) -> None:
    answers: list[Any] = []
    command = open_hold(ACCOUNT, 5)
    room.asks(command, answers)
    room.asks(command, answers)
    await room.at_the_gate()
    room.asks(command, answers)
    assert answers == [], "a repeat decides nothing, and says nothing that is not durable"
    await room.through()
    assert [answer.hold_id for answer in answers] == [command.hold_id] * 3
    room.asks(command, answers)
    assert len(answers) == 4, "what is durable is told at once"


async def test_what_is_decided_during_a_commit_waits_for_the_next_one(room: Room) -> None:
    first, second = list[Any](), list[Any]()
    room.asks(open_hold(ACCOUNT, 5), first)
    await room.at_the_gate()
    room.asks(open_hold(ACCOUNT, 7), second)
    under_way = room.desk.in_flight
    assert [len(block.replies) for block in under_way] == [1], "not on board of the block that is being written"
    await room.through()
    assert (len(first), len(second)) == (1, 1)
    assert room.journal.head(JOURNAL).seq == 3


def test_a_desk_answers_nobody_by_itself() -> None:
    answers: list[Any] = []
    desk = Desk(JOURNAL, State(JOURNAL), Head(), epoch=1)
    desk.take(grant(account_id=ACCOUNT), 1_800_000_000_000_000)
    desk.reply(grant(account_id=ACCOUNT), answers.append)
    handed = desk.hand_over()
    done = desk.committed()
    assert (answers, done) == ([], handed), "the writer does, block by block"
    assert waiting(done) == 1


def waiting(blocks: list[OpenBlock]) -> int:
    """Who waits for these blocks."""
    return sum(len(block.replies) + len(block.releases) for block in blocks)


async def test_a_balance_that_counts_a_pending_hold_is_told_with_its_commit(room: Room) -> None:
    answers: list[Any] = []
    room.asks(open_hold(ACCOUNT, 5), [])
    balance_here(room, GetBalance(ACCOUNT), Context(), answers.append)  # type: ignore[arg-type]
    await room.at_the_gate()
    assert answers == []
    await room.through()
    assert answers == [Balance(10**9 - 5, 5, 0)]


async def test_a_writer_that_lost_its_journal_answers_nobody(room: Room) -> None:
    answers: list[Any] = []
    room.asks(open_hold(ACCOUNT, 5), answers)
    await room.at_the_gate()
    room.take_over()
    await room.through()
    room.asks(open_hold(ACCOUNT, 7), answers)
    for _ in range(TURNS):
        await asyncio.sleep(0)
    assert room.writer.is_fenced
    assert answers == []


# -- USAGE


async def following(room: Room) -> list[str]:
    """Read USAGE; what outboxes hear is in the list."""
    heard: list[str] = []
    await room.bus.listen(subjects.settled("ob"), [Settled], lambda body, _c, _s: heard.extend(body.hold_ids))
    await Settling(room).follow(subjects.group_of(JOURNAL))
    return heard


async def held(room: Room) -> str:
    """A durable hold, and the gate shut again."""
    command = open_hold(ACCOUNT, 10**6)
    room.asks(command, [])
    await room.through()
    room.shut()
    return command.hold_id


async def put(room: Room, body: UsageFacts | Witness) -> None:
    """Into USAGE."""
    name = subjects.usage if isinstance(body, UsageFacts) else subjects.witness
    await room.bus.put(name(JOURNAL), body, message_id=ids.new_id("m"))


async def until(condition: Callable[[], Any]) -> None:
    """Wait for something that must come."""
    give_up = clock.monotonic_s() + 15
    while not condition():
        assert clock.monotonic_s() < give_up, "it never came"
        await asyncio.sleep(0.005)


async def test_a_fact_is_acknowledged_and_told_after_its_commit(room: Room) -> None:
    heard, hold = await following(room), await held(room)
    await put(room, UsageFacts([fact(ACCOUNT, hold)]))
    await room.at_the_gate()
    assert (room.acked(), heard) == (set(), []), "the settlement is not durable"
    await room.through()
    await until(lambda: room.acked() and heard)
    assert (room.acked(), heard) == ({1}, [hold])


async def test_facts_of_a_journal_that_is_not_ours_come_again_and_hold_up_no_others(room: Room) -> None:
    heard, hold = await following(room), await held(room)
    elsewhere = next(name for name in (f"acc_{n}" for n in range(100)) if subjects.journal_of(name) != JOURNAL)
    await put(room, UsageFacts([fact(elsewhere, ids.new_id("rq")), fact(ACCOUNT, hold)]))
    await room.at_the_gate()
    await room.through()
    await until(lambda: heard)
    assert (room.acked(), heard) == (set(), [hold])


async def test_the_same_fact_again_waits_for_the_commit_of_the_first(room: Room) -> None:
    heard, hold = await following(room), await held(room)
    await put(room, UsageFacts([fact(ACCOUNT, hold)]))
    await put(room, UsageFacts([fact(ACCOUNT, hold)]))
    await room.at_the_gate()
    assert (room.acked(), heard) == (set(), [])
    await room.through()
    await until(lambda: len(room.acked()) == 2 and len(heard) == 2)
    assert heard == [hold, hold], "whoever asks again hears again"


async def test_a_witness_is_acknowledged_after_its_commit(room: Room) -> None:
    await following(room)
    hold = await held(room)
    await put(room, Witness(hold, ACCOUNT, "aigk_1", "gateway_failed", 0, 0, 1))
    await room.at_the_gate()
    assert room.acked() == set()
    await room.through()
    await until(room.acked)
    assert room.desk.state.accounts[ACCOUNT].held == 0


async def test_a_fenced_writer_acknowledges_nothing_and_tells_no_outbox(room: Room) -> None:
    heard, hold = await following(room), await held(room)
    await put(room, UsageFacts([fact(ACCOUNT, hold)]))
    await room.at_the_gate()
    room.take_over()
    await room.through()
    for _ in range(TURNS):
        await asyncio.sleep(0)
    assert room.writer.is_fenced
    assert (room.acked(), heard) == (set(), [])
