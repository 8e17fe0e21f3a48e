"""Who writes which journals: claimed once, taken over from the dead, shared on PostgreSQL, stood by for on SQLite."""

import os
import subprocess
from collections.abc import Callable, Iterator

import pytest

from tollway.ledger.journal.store import JournalStore
from tollway.ledger.members import LEASE_S, SILENCE_S, Members, OtherHostError
from tollway.wire.subjects import JOURNAL_GROUPS, group_of, journals_of

ALL = frozenset(range(JOURNAL_GROUPS))


class Town:
    """Members with clocks of their own, on one database."""

    def __init__(self, open_store: Callable[[], JournalStore]) -> None:
        self.open_store = open_store
        self.now_s = 0.0
        self.is_sqlite = False
        self.members: list[Members] = []

    def member(self, node: str, *, host: str = "here", pid: int | None = None) -> Members:
        store = self.open_store()
        self.is_sqlite = store.engine.dialect.name == "sqlite"
        member = Members(store, node=node, monotonic_s=lambda: self.now_s, host=host, pid=pid or os.getpid())
        member.join()
        self.members.append(member)
        return member


@pytest.fixture
def town(open_store: Callable[[], JournalStore]) -> Iterator[Town]:
    town = Town(open_store)
    yield town
    for member in town.members:
        member.close()


@pytest.fixture
def alive() -> int:
    """The number of a process that runs and is not ours."""
    return os.getppid()


def dead_pid() -> int:
    process = subprocess.Popen(["true"])
    process.wait()
    return process.pid


def test_the_first_member_takes_everything(town: Town) -> None:
    found = town.member("a").round()
    assert (found.mine, found.gained, found.is_all_owned) == (ALL, tuple(range(JOURNAL_GROUPS)), True)


def test_the_second_stands_by_on_sqlite_and_shares_on_postgresql(town: Town, alive: int) -> None:
    first, second = town.member("a", pid=alive), town.member("b")
    assert first.round().mine == ALL or not town.is_sqlite
    first.round()
    assert second.round().mine <= ALL
    if town.is_sqlite:
        assert second.round().mine == frozenset()
        assert first.round().surplus == ()
        return
    surplus = first.round().surplus
    if surplus:
        first.release(surplus)
    assert len(second.round().mine) == JOURNAL_GROUPS // 2
    assert len(first.round().mine) == JOURNAL_GROUPS // 2
    assert first.round().mine | second.round().mine == ALL


def test_a_member_whose_process_is_gone_is_replaced_at_once(town: Town) -> None:
    town.member("a", pid=dead_pid()).round()
    assert town.member("b").round().mine == ALL


def test_a_predecessor_with_our_own_number_is_gone(town: Town) -> None:
    town.member("a", pid=7).round()
    assert town.member("b", pid=7).round().mine == ALL


def test_a_silent_member_is_replaced_after_its_lease_and_not_before(town: Town, alive: int) -> None:
    silent = town.member("a", pid=alive)
    silent.round()
    watcher = town.member("b")
    assert watcher.round().mine == frozenset() or not town.is_sqlite
    mine = watcher.round().mine
    town.now_s = LEASE_S - 0.01
    assert watcher.round().mine == mine
    town.now_s = LEASE_S
    assert watcher.round().mine == ALL
    assert silent.round().lost != (), "it learns that it was replaced"


def test_a_member_that_beats_keeps_its_groups_however_long(town: Town, alive: int) -> None:
    busy, watcher = town.member("a", pid=alive), town.member("b")
    busy.round()
    watcher.round()
    for _ in range(5):
        town.now_s += LEASE_S - 0.5
        assert busy.round().lost == ()
        watcher.round()
    assert busy.round().mine != frozenset()


def test_leaving_frees_everything_at_once(town: Town, alive: int) -> None:
    first, second = town.member("a", pid=alive), town.member("b")
    first.round()
    second.round()
    first.leave()
    assert second.round().mine == ALL


def test_two_live_hosts_on_sqlite_are_refused_and_a_dead_one_is_not(town: Town) -> None:
    other = town.member("a", host="there")
    other.round()
    here = town.member("b")
    if not town.is_sqlite:
        pytest.skip("PostgreSQL serves many hosts")
    assert here.round().mine == frozenset()
    other.round()
    with pytest.raises(OtherHostError, match="SQLite serves one host"):
        here.round()
    town.now_s = LEASE_S + 0.1
    assert here.round().mine == ALL


def test_every_journal_has_one_group_and_silence_comes_before_the_lease_ends() -> None:
    assert sorted(journal for group in range(JOURNAL_GROUPS) for journal in journals_of(group)) == list(range(64))
    assert all(journal in journals_of(group_of(journal)) for journal in range(64))
    assert SILENCE_S < LEASE_S
