"""Holds opened ahead of need, with a ledger that is a few lines on the memory bus."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import pytest

from tests.ingress.conftest import Street
from tests.ingress.test_life import BODY, CHAT, answer, until
from tollway import clock
from tollway.bus import Handles
from tollway.bus.memory import Broker, MemoryBus
from tollway.ingress.ahead import HoldsAhead
from tollway.ingress.stock import CREDIT_SHARE, Kind
from tollway.wire import subjects
from tollway.wire.access import KeyLimits, Principal
from tollway.wire.credit import HoldEnded, HoldsOpened, OpenHolds, VoidHold
from tollway.wire.envelope import Context
from tollway.wire.refusals import Refusal, refuse

KIND = Kind("ac_1", "aigk_1", 1_000, 60_000, "prices-1", ("simulator:echo",))
PLENTY = 10**12


@dataclass
class Ledger:
    """Opens what it is asked for, up to `opens` at once, or refuses."""

    opens: int = 64
    refusal: Refusal | None = None
    is_away: bool = False
    asked: list[OpenHolds] = field(default_factory=lambda: list[OpenHolds]())
    voided: list[str] = field(default_factory=lambda: list[str]())

    @property
    def opened(self) -> list[str]:
        return [hold for command in self.asked for hold in command.hold_ids[: self.opens]]


async def open_holds(room: Ledger, command: OpenHolds, _context: Context) -> HoldsOpened | Refusal:
    room.asked.append(command)
    return room.refusal or HoldsOpened(min(room.opens, len(command.hold_ids)), PLENTY)


async def void_hold(room: Ledger, command: VoidHold, _context: Context) -> HoldEnded | Refusal:
    if room.is_away:
        return refuse("ledger_unavailable")
    room.voided.append(command.hold_id)
    return HoldEnded(command.hold_id, 0)


async def serve(bus: MemoryBus, ledger: Ledger) -> None:
    subject = subjects.hold(subjects.journal_of("ac_1"))
    await bus.serve(
        [Handles(subject, OpenHolds, open_holds), Handles(subject, VoidHold, void_hold)], ledger, queue="ledger"
    )


@pytest.fixture
def ledger() -> Ledger:
    return Ledger()


@pytest.fixture
async def ahead(ledger: Ledger) -> AsyncIterator[HoldsAhead]:
    broker = Broker()
    bus = MemoryBus("ledger-1", broker)
    await serve(bus, ledger)
    yield HoldsAhead(MemoryBus("ingress-1", broker))
    await bus.drain()


def hurry(ahead: HoldsAhead, *kinds: Kind, available_nusd: int = PLENTY) -> list[str | None]:
    """Requests that follow each other quickly, a hundred a second of each kind, until now."""
    start_s = clock.monotonic_s() - 0.4
    for kind in kinds or (KIND,):
        ahead.take(kind, 0, start_s)
        ahead.learn(kind, available_nusd)
    return [ahead.take(kind, 0, start_s + n / 100) for n in range(1, 40) for kind in kinds or (KIND,)]


async def test_who_asks_often_finds_holds_that_are_open_already(ahead: HoldsAhead, ledger: Ledger) -> None:
    assert set(hurry(ahead)) == {None}
    await until(lambda: ahead.count > 0)
    assert ahead.take(KIND, 0, clock.monotonic_s()) == ledger.opened[0]
    (command,) = ledger.asked
    assert (command.account_id, command.access_key_id, command.amount_nusd) == ("ac_1", "aigk_1", 1_000)
    assert command.hold_deadline_ms >= clock.now_ms() + 60_000


async def test_a_hold_is_handed_out_once(ahead: HoldsAhead, ledger: Ledger) -> None:
    hurry(ahead)
    await until(lambda: ahead.count > 0)
    taken = [ahead.take(KIND, 0, clock.monotonic_s()) for _ in range(ahead.count)]
    assert sorted(filter(None, taken)) == sorted(ledger.opened)


async def test_another_amount_key_or_price_list_has_holds_of_its_own(ahead: HoldsAhead) -> None:
    hurry(ahead)
    await until(lambda: ahead.count > 0)
    for other in (
        Kind("ac_1", "aigk_1", 2_000, 60_000, "prices-1", KIND.models),
        Kind("ac_1", "aigk_2", 1_000, 60_000, "prices-1", KIND.models),
        Kind("ac_1", "aigk_1", 1_000, 60_000, "prices-2", KIND.models),
    ):
        assert ahead.take(other, 0, clock.monotonic_s()) is None


async def test_only_those_that_were_opened_are_used(ahead: HoldsAhead, ledger: Ledger) -> None:
    ledger.opens = 3
    hurry(ahead)
    await until(lambda: ahead.count > 0)
    assert ahead.count == 3
    assert ledger.voided == []


async def test_after_a_refusal_holds_are_asked_for_one_by_one_again(ahead: HoldsAhead, ledger: Ledger) -> None:
    ledger.refusal = refuse("insufficient_credits")
    hurry(ahead)
    await until(lambda: len(ledger.asked) == 1)
    hurry_again = [ahead.take(KIND, 0, clock.monotonic_s()) for _ in range(20)]
    assert set(hurry_again) == {None}
    assert len(ledger.asked) == 1


@pytest.mark.parametrize(("share_nusd", "amounts"), [(40_000, []), (50_000, [5_000]), (60_000, [5_000, 1_000])])
async def test_all_that_waits_of_an_account_is_at_most_a_hundredth_of_its_credit(
    ahead: HoldsAhead, ledger: Ledger, share_nusd: int, amounts: list[int]
) -> None:
    dear = Kind("ac_1", "aigk_1", 5_000, 60_000, "prices-1", ("simulator:echo",))
    hurry(ahead, dear, KIND, available_nusd=share_nusd * CREDIT_SHARE)
    await asyncio.sleep(0.05)
    assert [command.amount_nusd for command in ledger.asked] == amounts


async def test_what_may_have_been_opened_without_a_word_is_given_back(ahead: HoldsAhead, ledger: Ledger) -> None:
    ledger.refusal = refuse("ledger_unavailable")
    hurry(ahead)
    await until(lambda: len(ledger.voided) > 0)
    await until(lambda: sorted(ledger.voided) == sorted(ledger.asked[0].hold_ids))


async def test_what_nobody_comes_for_is_given_back(ahead: HoldsAhead, ledger: Ledger) -> None:
    hurry(ahead)
    await until(lambda: ahead.count > 0)
    ahead.sweep(clock.monotonic_s() + 1)
    await until(lambda: sorted(ledger.voided) == sorted(ledger.opened))
    assert ahead.count == 0


async def test_a_change_of_the_account_gives_its_holds_back_and_no_others(ahead: HoldsAhead, ledger: Ledger) -> None:
    hurry(ahead)
    await until(lambda: ahead.count > 0)
    ahead.forget("ac_2")
    assert ahead.count == len(ledger.opened)
    ahead.forget("ac_1")
    await until(lambda: sorted(ledger.voided) == sorted(ledger.opened))


async def test_holds_that_come_after_a_change_are_given_back_too(ahead: HoldsAhead, ledger: Ledger) -> None:
    hurry(ahead)
    ahead.forget("*")
    await until(lambda: len(ledger.asked) == 1)
    await until(lambda: sorted(ledger.voided) == sorted(ledger.opened))
    assert ahead.count == 0


async def test_at_the_end_everything_is_given_back(ahead: HoldsAhead, ledger: Ledger) -> None:
    hurry(ahead)
    await until(lambda: ahead.count > 0)
    await ahead.close()
    assert sorted(ledger.voided) == sorted(ledger.opened)


async def test_an_end_does_not_wait_for_a_ledger_that_is_away(
    ahead: HoldsAhead, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tollway.ingress.ahead.CLOSE_WITHIN_S", 0.1)
    hurry(ahead)
    await until(lambda: ahead.count > 0)
    ledger.is_away = True
    async with asyncio.timeout(5):
        await ahead.close()
    assert ledger.voided == []


async def test_it_can_be_turned_off(ledger: Ledger) -> None:
    broker = Broker()
    bus = MemoryBus("ledger-1", broker)
    await serve(bus, ledger)
    hurry(HoldsAhead(MemoryBus("ingress-1", broker), 0))
    await asyncio.sleep(0.05)
    assert ledger.asked == []
    await bus.drain()


async def test_requests_that_follow_closely_travel_under_holds_opened_ahead(street: Street) -> None:
    street.neighbours.script = answer
    for _ in range(30):
        await asyncio.gather(*(street.client.post(CHAT, json=BODY) for _ in range(4)))
    ids = [work.request_id for work in street.neighbours.works]
    assert len(set(ids)) == len(ids) == 120
    ready = {hold_id for command in street.neighbours.ahead for hold_id in command.hold_ids}
    used = set(ids) & ready
    assert used
    assert {hold.hold_id for hold in street.neighbours.holds} | used == set(ids)
    amounts = {command.amount_nusd for command in street.neighbours.ahead}
    assert {work.hold_amount_nusd for work in street.neighbours.works if work.request_id in used} == amounts


async def test_a_key_with_a_money_limit_asks_for_every_hold_by_itself(street: Street) -> None:
    street.neighbours.principal = Principal("ac_1", "aigk_1", 1, limits=KeyLimits(spend_day_nusd=10**12))
    street.neighbours.script = answer
    for _ in range(20):
        await asyncio.gather(*(street.client.post(CHAT, json=BODY) for _ in range(4)))
    assert (len(street.neighbours.holds), street.neighbours.ahead) == (80, [])
