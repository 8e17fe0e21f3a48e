"""When something outside fails: the database, the clock, the bus. Nothing is lost, nothing is invented."""

import asyncio
import sqlite3
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tests.ledger.house import House, fact
from tests.ledger.story import DAY_MS
from tollway import clock
from tollway.ledger.clockguard import GuardedClock
from tollway.ledger.durability import Varz, fault_of, sync_fault
from tollway.ledger.filesystem import kind_of, refuse_network
from tollway.settings import SettingsError
from tollway.wire import subjects
from tollway.wire.credit import HoldOpened
from tollway.wire.queries import Balance, GetRequest, RequestUsage
from tollway.wire.usage import Witness

ACCOUNT = "acc_house"


async def test_a_database_that_does_not_answer_makes_holds_fail_fast_and_resumes_by_itself(small_house: House) -> None:
    house = small_house
    ledger = await house.ledger()
    await house.grant(ACCOUNT, 10**9)
    lock = sqlite3.connect(house.directory / "journal.db", isolation_level=None, check_same_thread=False)
    lock.execute("BEGIN IMMEDIATE")
    waiting = asyncio.create_task(house.open(ACCOUNT, 5))
    await house.until(lambda: ledger.writer.is_stalled)
    said = await house.client.ask(subjects.hold(subjects.journal_of(ACCOUNT)), _hold(), HoldOpened, timeout_s=1.0)
    assert said.code == "ledger_unavailable"  # type: ignore[union-attr]
    assert any("trouble" in reason for reason in ledger.not_ready())
    lock.execute("ROLLBACK")
    lock.close()
    assert isinstance(await waiting, HoldOpened)
    await house.opened(ACCOUNT, 5)
    assert await house.balance(ACCOUNT) == Balance(10**9 - 10, 10, 0)


def _hold() -> Any:
    from tests.ledger.house import open_hold

    return open_hold(ACCOUNT, 5)


async def test_a_hold_past_deadline_and_grace_is_given_back_by_the_tick(house: House) -> None:
    ledger = await house.ledger()
    await house.grant(ACCOUNT, 10**9)
    held = await house.opened(ACCOUNT, 10**6)
    ledger.deadlines.tick()
    assert (await house.balance(ACCOUNT)).held_nusd == 10**6
    ahead(ledger, 121_000)
    ledger.deadlines.tick()
    assert await house.balance(ACCOUNT) == Balance(10**9, 0, 0)
    await house.put(fact(ACCOUNT, held.hold_id, tokens=100))
    await house.until_settled(held.hold_id)
    assert await house.balance(ACCOUNT) == Balance(10**9 - 105_000, 0, 0)
    request = await house.ask(subjects.LEDGER_QUERY, GetRequest(ACCOUNT, held.hold_id), RequestUsage)
    assert (request.ending, request.charged_nusd) == ("settled_late", 105_000)


async def test_a_witnessed_hold_is_charged_as_an_estimate_when_its_fact_never_comes(small_house: House) -> None:
    house = small_house
    ledger = await house.ledger()
    await house.grant(ACCOUNT, 10**9)
    held = await house.opened(ACCOUNT, 10**6)
    await house.witness(Witness(held.hold_id, ACCOUNT, "aigk_1", "client_aborted", 400, 2, 1, 10, "openai:gpt-4o"))
    desk = ledger.desk_of(ACCOUNT)
    assert desk is not None
    await house.until(lambda: desk.state.holds[held.hold_id].witness)
    await ledger.writer.settle_down()
    ahead(ledger, 121_000)
    ledger.deadlines.tick()
    await ledger.writer.settle_down()
    request = await house.ask(subjects.LEDGER_QUERY, GetRequest(ACCOUNT, held.hold_id), RequestUsage)
    assert [(row.certainty, row.cost_nusd, row.completion) for row in request.rows] == [
        ("estimated", 110 * 50, "unknown")
    ]


async def test_a_lot_expires_by_the_tick(small_house: House) -> None:
    house = small_house
    ledger = await house.ledger()
    from tollway import clock
    from tollway.wire.credit import CreditGranted, GrantCredit

    soon = clock.now_ms() + 1000
    command = GrantCredit(ACCOUNT, 10**9, "promotional", "cli", "r", "operator", expires_at_ms=soon)
    await house.ask(subjects.credit(subjects.journal_of(ACCOUNT)), command, CreditGranted)
    for _ in range(64):
        ledger.deadlines.tick()
    assert (await house.balance(ACCOUNT)).available_nusd == 10**9
    ahead(ledger, 2000)
    for _ in range(64):
        ledger.deadlines.tick()
    assert (await house.balance(ACCOUNT)).available_nusd == 0


async def test_memory_that_a_bug_has_spoilt_is_read_again_from_the_log(
    small_house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tollway.ledger.service.RETRY_HALTED_S", 0.2)
    monkeypatch.setattr("tollway.bus.following.PAUSE_S", 0.2)
    house = small_house
    ledger = await house.ledger()
    await house.grant(ACCOUNT, 10**9)
    held = await house.opened(ACCOUNT, 10**6)
    desk = ledger.desk_of(ACCOUNT)
    assert desk is not None
    desk.state.accounts[ACCOUNT].lots.clear()
    await house.put(fact(ACCOUNT, held.hold_id, tokens=100))
    await house.until_settled(held.hold_id)
    assert ledger.desk_of(ACCOUNT) is not desk, "another desk, from the log"
    assert await house.balance(ACCOUNT) == Balance(10**9 - 105_000, 0, 0)
    assert house.fenced == []


async def test_a_clock_that_jumps_expires_nothing_and_holds_go_on(small_house: House) -> None:
    house = small_house
    ledger = await house.ledger()
    await house.grant(ACCOUNT, 10**9)
    await house.opened(ACCOUNT, 10**6)
    wall = ledger.guard.wall_us
    ledger.guard.wall_us = lambda: wall() + 400 * DAY_MS * 1000
    for _ in range(64):
        ledger.deadlines.tick()
    assert (await house.balance(ACCOUNT)).held_nusd == 10**6
    assert any("clock" in reason for reason in ledger.not_ready())
    await house.opened(ACCOUNT, 5)
    ledger.guard.wall_us = wall
    await house.opened(ACCOUNT, 5)
    assert not any("clock" in reason for reason in ledger.not_ready())


@pytest.mark.parametrize("jump_ms", [400 * DAY_MS, DAY_MS // 24, -DAY_MS])
async def test_a_clock_that_jumps_for_the_whole_machine_stops_no_hold_and_moves_no_time(
    small_house: House, jump_ms: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    house = small_house
    ledger = await house.ledger()
    await house.grant(ACCOUNT, 10**9)
    now_ms, now_ns = clock.now_ms, clock.now_ns
    began_ms = now_ms()
    with monkeypatch.context() as jumped:
        jumped.setattr(clock, "now_ms", lambda: now_ms() + jump_ms)
        jumped.setattr(clock, "now_ns", lambda: now_ns() + jump_ms * 1_000_000)
        opened = await house.opened(ACCOUNT, 5)
    await house.opened(ACCOUNT, 5)
    [desk] = [desk for desk in ledger.desks.values() if opened.hold_id in desk.state.holds]
    assert abs(desk.state.holds[opened.hold_id].deadline - began_ms) < DAY_MS // 24 // 2


@pytest.mark.parametrize("jump_s", [400 * 86_400, 3600, -3600])
def test_a_stamp_is_read_by_the_clock_that_made_it(jump_s: int) -> None:
    clocks = Clocks()
    clocks.go(wall_s=jump_s, monotonic_s=0)
    believed_ms = clocks.guard.now_us() // 1000
    assert clocks.guard.jump_ms(believed_ms - 70) == 0
    assert clocks.guard.jump_ms(believed_ms + jump_s * 1000 - 70) == jump_s * 1000
    clocks.go(wall_s=-jump_s, monotonic_s=0)
    assert clocks.guard.jump_ms(believed_ms + jump_s * 1000) == 0


async def test_a_start_with_a_clock_far_ahead_is_over_when_the_clock_is_right_again(
    small_house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    house = small_house
    now_ns = clock.now_ns
    with monkeypatch.context() as wrong:
        wrong.setattr(clock, "now_ns", lambda: now_ns() + 400 * DAY_MS * 1_000_000)
        ledger = await house.ledger()
        await house.grant(ACCOUNT, 10**9)
        await house.close(ledger)
    await house.ledger()
    await house.opened(ACCOUNT, 5)


def test_at_the_start_the_earlier_of_two_clocks_is_believed() -> None:
    clocks, year_us = Clocks(), 365 * DAY_MS * 1000
    true_us = clocks.wall_us - year_us
    clocks.guard.compare(true_us)
    assert abs(clocks.guard.now_us() - true_us) < 1_000_000
    assert not clocks.guard.may_expire
    assert clocks.guard.jump_ms(true_us // 1000) == 0
    assert clocks.guard.jump_ms(clocks.wall_us // 1000) == year_us // 1000
    clocks.go(wall_s=-year_us / 1_000_000, monotonic_s=0)
    clocks.guard.compare(true_us)
    assert clocks.guard.may_expire


def test_a_clock_that_is_behind_at_the_start_is_believed_and_stamps_of_the_databases_time_are_read() -> None:
    clocks, day_us = Clocks(), DAY_MS * 1000
    clocks.guard.compare(clocks.wall_us + day_us)
    assert clocks.guard.now_us() == clocks.wall_us
    assert not clocks.guard.may_expire
    assert clocks.guard.jump_ms(clocks.wall_us // 1000 + DAY_MS) == DAY_MS
    assert clocks.guard.jump_ms(clocks.wall_us // 1000) == 0


def ahead(ledger: Any, ms: int) -> None:
    """The ledger's clock shows this much more."""
    now_us = ledger.guard.now_us
    ledger.now_us = lambda: now_us() + ms * 1000


# -- the guarded clock


class Clocks:
    """A wall clock and a monotonic one, set by hand."""

    def __init__(self) -> None:
        self.wall_us, self.monotonic_s = 10**15, 100.0
        self.guard = GuardedClock(lambda: self.wall_us, lambda: self.monotonic_s)

    def go(self, wall_s: float, monotonic_s: float) -> int:
        self.wall_us += int(wall_s * 1_000_000)
        self.monotonic_s += monotonic_s
        return self.guard.now_us()


@pytest.mark.parametrize("jump_s", [400 * 86_400, 3600, -3600, -86_400])
def test_a_jump_is_not_followed_and_its_end_is_noticed(jump_s: int) -> None:
    clocks = Clocks()
    assert clocks.go(jump_s + 10, 10) == 10**15 + 10_000_000
    assert not clocks.guard.may_expire
    assert clocks.go(5, 5) == 10**15 + 15_000_000
    assert clocks.go(-jump_s, 0) == 10**15 + 15_000_000
    assert clocks.guard.may_expire


def test_a_machine_that_slept_is_still_believed(monkeypatch: pytest.MonkeyPatch) -> None:
    guard = GuardedClock()
    now_ns, lived_s, slept_s = clock.now_ns, clock.lived_s, 3 * 3600
    assert abs(lived_s() - time.clock_gettime(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))) < 1, (
        "as the kernel counts sleep"
    )
    monkeypatch.setattr(clock, "now_ns", lambda: now_ns() + slept_s * 10**9)
    guard.monotonic_s = lambda: lived_s() + slept_s
    guard.now_us()
    assert guard.may_expire


def test_small_corrections_are_followed() -> None:
    clocks = Clocks()
    for _ in range(100):
        assert clocks.go(11, 10) == clocks.wall_us
    assert clocks.guard.may_expire


def test_a_flapping_clock_never_moves_time() -> None:
    clocks = Clocks()
    seen = [clocks.go(sign * 3600 + 1, 1) for sign in (1, -1) * 50]
    assert seen == sorted(seen)


def test_a_database_of_another_time_stops_expiry() -> None:
    clocks = Clocks()
    clocks.guard.compare(clocks.wall_us + 10**10)
    assert not clocks.guard.may_expire
    clocks.guard.compare(clocks.wall_us)
    assert clocks.guard.may_expire


async def test_the_databases_clock_is_asked(house: House) -> None:
    ledger = await house.ledger()
    assert ledger.guard.may_expire
    ledger.guard = GuardedClock(lambda: 10**15, lambda: 0.0)
    await ledger._compare_clocks()
    is_sqlite = "TOLLWAY_DATABASE_URL" not in house.environ
    assert ledger.guard.may_expire == is_sqlite, "SQLite has no clock of its own"


# -- where SQLite may lie


MOUNTED = [
    "/dev/vda / ext4 rw 0 0",
    "server:/x /mnt/share nfs4 rw 0 0",
    "tmpfs /mnt/share/fast tmpfs rw 0 0",
    "s:/y /mnt/my\\040share cifs rw 0 0",
]


@pytest.mark.parametrize(
    ("directory", "kind"),
    [("/var/x", "ext4"), ("/mnt/share/a", "nfs4"), ("/mnt/share/fast/a", "tmpfs"), ("/mnt/my share/a", "cifs")],
)
def test_a_network_filesystem_is_recognised(directory: str, kind: str) -> None:
    assert kind_of(Path(directory), MOUNTED) == kind


def test_sqlite_on_a_network_filesystem_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    mounts = tmp_path / "mounts"
    mounts.write_text(f"server:/x {tmp_path} nfs4 rw 0 0\n")
    monkeypatch.setattr("tollway.ledger.filesystem.MOUNTS", mounts)
    with pytest.raises(SettingsError, match="network filesystem"):
        refuse_network(tmp_path / "data")


# -- the bus's promise


def varz(text: bytes) -> Varz:
    return msgspec.json.decode(text, type=Varz)


def test_a_bus_that_does_not_sync_is_not_ready_for_money() -> None:
    assert fault_of(varz(b'{"jetstream": {"config": {"sync_always": true}}}')) == ""
    assert "does not sync" in fault_of(varz(b'{"jetstream": {"config": {"sync_interval": 120}}}'))
    assert "no JetStream" in fault_of(varz(b"{}"))


async def test_the_real_bus_is_asked(bus_server: Any) -> None:
    assert await sync_fault(bus_server.monitor_url) == ""
    assert "does not answer" in await sync_fault("http://127.0.0.1:1")
    assert await sync_fault("") == ""


async def test_tables_of_another_version_are_refused_with_what_to_do(
    bus_server: Any, tmp_path: Any, sqlite_database: Callable[[str], str]
) -> None:
    (tmp_path / "elsewhere").mkdir()
    async with House(bus_server, sqlite_database, tmp_path / "elsewhere") as house:
        with pytest.raises(SettingsError, match="run 'tollway migrate'"):
            await house.ledger()
