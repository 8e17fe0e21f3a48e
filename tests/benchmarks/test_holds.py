"""What the ledger's benchmark counts is in the journal, and a past reads back as it was written."""

import sys
from pathlib import Path

import pytest
from benchmarks.holds import Report, measured, table
from benchmarks.ledger_history import accounts_of, read_back, write_history
from benchmarks.ledger_room import (
    KEY,
    NotEmpty,
    accounts_of_journals,
    close_journal,
    measure,
    new_desks,
    open_journal,
    sqlite_url,
)

from tollway import clock, ids
from tollway.ledger.audit.invariants import breaches
from tollway.ledger.desk import Desk
from tollway.ledger.journal.block import build
from tollway.ledger.journal.reading import load
from tollway.ledger.state import canonical
from tollway.wire.credit import OpenHold
from tollway.wire.subjects import journal_of


def test_every_hold_that_is_counted_is_in_the_journal(tmp_path: Path) -> None:
    store, desks, accounts = open_journal(sqlite_url(tmp_path)), new_desks(), accounts_of_journals(4)
    run = measure(store, desks, accounts, concurrency=8, seconds=0.2)
    states = {journal: load(store, journal)[0] for journal in map(journal_of, accounts)}
    close_journal(store)
    held = sum(len(state.holds) for state in states.values())
    assert (run.concurrency, run.accounts) == (8, 4)
    assert 0 < run.holds <= held, "those of the warm-up are in it and not counted"
    assert {journal: canonical(state) for journal, state in states.items()} == {
        journal: canonical(desks[journal].state) for journal in states
    }


def test_every_hold_that_is_settled_is_charged_in_the_journal(tmp_path: Path) -> None:
    store, desks, accounts = open_journal(sqlite_url(tmp_path)), new_desks(), accounts_of_journals(4)
    run = measure(store, desks, accounts, concurrency=8, seconds=0.2, is_settling=True)
    states = {journal: load(store, journal)[0] for journal in map(journal_of, accounts)}
    close_journal(store)
    assert run.holds > 0
    assert not any(state.holds for state in states.values())
    assert all(account.charged for state in states.values() for account in state.accounts.values())
    assert [list(breaches(state)) for state in states.values()] == [[]] * 4


def test_a_past_is_as_long_as_it_should_be_and_its_books_balance(tmp_path: Path) -> None:
    store = open_journal(sqlite_url(tmp_path))
    write_history(store, 40, 1000)
    desk, replay = read_back(store, 40)
    close_journal(store)
    assert 1000 <= replay.events < 1100
    assert (replay.events, replay.blocks) == (desk.head.events, desk.head.seq)
    assert list(breaches(desk.state)) == []
    assert all(desk.state.accounts[account].charged for account in accounts_of(40))


def test_a_database_in_use_is_left_alone(tmp_path: Path) -> None:
    store = open_journal(sqlite_url(tmp_path))
    write_history(store, 40, 10)
    close_journal(store)
    with pytest.raises(NotEmpty, match="empty database"):
        open_journal(sqlite_url(tmp_path))


def test_the_table_has_a_line_for_every_load(tmp_path: Path) -> None:
    one = measured("sqlite", sqlite_url(tmp_path), tmp_path, 0.09, 1500)
    shown = table(Report({"load before": "0.1"}, [one]))
    assert shown.count("| sqlite") == len(one.loads) + sum(len(past.loads) for past in one.pasts) + 1 == 13


def test_a_hold_does_the_same_work_whatever_the_past(tmp_path: Path) -> None:
    store = open_journal(sqlite_url(tmp_path))
    work: list[int] = []
    for journal, events in ((40, 1_000), (41, 20_000)):
        write_history(store, journal, events)
        desk, _ = read_back(store, journal)
        work.append(calls_of_a_hold(desk, accounts_of(journal)[0]))
    close_journal(store)
    assert work[0] == work[1] > 0


def calls_of_a_hold(desk: Desk, account: str) -> int:
    """How many functions are called, C's included, to decide a hold and to build its block."""
    command = OpenHold(ids.new_id("rq"), account, KEY, 1_000, clock.now_ms() + 60_000, "v1", ("gpt-4o",))
    now_us, calls = clock.now_ns() // 1000, list[str]()
    sys.setprofile(lambda _frame, event, _arg: calls.append(event))
    try:
        desk.take(command, now_us)
        (part,) = desk.hand_over()
        build(desk.journal, desk.head, epoch=1, ts=part.ts, events=part.events)
    finally:
        sys.setprofile(None)
    assert command.hold_id in desk.state.holds
    return sum(event in ("call", "c_call") for event in calls)
