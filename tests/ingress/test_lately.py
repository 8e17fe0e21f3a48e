"""Who reads right after an answer: the question waits for the settlement, and not for ever."""

from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import pytest

from tollway import clock
from tollway.bus import Handles
from tollway.bus.memory import Broker, MemoryBus
from tollway.ingress.lately import HOLDS_MAX, LATELY_S, Lately
from tollway.wire import subjects
from tollway.wire.credit import AwaitHolds, HoldsAwaited
from tollway.wire.envelope import Context


@dataclass
class Ledger:
    """Remembers what it was asked to wait for."""

    asked: list[AwaitHolds] = field(default_factory=lambda: list[AwaitHolds]())


async def await_holds(room: Ledger, command: AwaitHolds, _context: Context) -> HoldsAwaited:
    room.asked.append(command)
    return HoldsAwaited(0)


@pytest.fixture
def ledger() -> Ledger:
    return Ledger()


@pytest.fixture
async def lately(ledger: Ledger) -> AsyncIterator[Lately]:
    broker = Broker()
    bus = MemoryBus("ledger-1", broker)
    subject = subjects.hold(subjects.journal_of("ac_1"))
    await bus.serve([Handles(subject, AwaitHolds, await_holds)], ledger, queue="ledger")
    yield Lately(MemoryBus("ingress-1", broker))
    await bus.drain()


async def test_a_question_waits_for_the_requests_of_its_account_that_ended_lately(
    lately: Lately, ledger: Ledger
) -> None:
    now_s = clock.monotonic_s()
    for account, hold, at_s in (
        ("ac_1", "rq_old", now_s - LATELY_S),
        ("ac_1", "rq_1", now_s),
        ("ac_2", "rq_2", now_s),
        ("ac_1", "rq_3", now_s),
    ):
        lately.note(account, hold, at_s)
    await lately.settled("ac_1")
    assert ledger.asked == [AwaitHolds("ac_1", ("rq_1", "rq_3"))]


async def test_without_a_request_nothing_is_asked(lately: Lately, ledger: Ledger) -> None:
    await lately.settled("ac_1")
    assert ledger.asked == []


async def test_only_the_last_of_many_are_waited_for(lately: Lately) -> None:
    for number in range(HOLDS_MAX + 5):
        lately.note("ac_1", f"rq_{number}", 1.0)
    assert lately.of("ac_1", 1.0) == tuple(f"rq_{number}" for number in range(5, HOLDS_MAX + 5))


async def test_what_is_longer_ago_is_forgotten(lately: Lately) -> None:
    lately.note("ac_1", "rq_1", 1.0)
    lately.note("ac_2", "rq_2", 2.0)
    lately.sweep(2.0 + LATELY_S / 2)
    assert (lately.of("ac_1", 1.0), lately.of("ac_2", 2.0)) == ((), ("rq_2",))
