"""The journal's promises, the same on SQLite and PostgreSQL: append, conflict, ambiguity, damage, read only, replay."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args

import msgspec
import pytest
from sqlalchemy import MetaData, delete, text, update
from sqlalchemy.exc import DBAPIError

from tests.ledger.story import Story, ev
from tollway.ledger import state as st
from tollway.ledger.journal import block as bl
from tollway.ledger.journal import tables as t
from tollway.ledger.journal.finding import events_with, find_ending, seq_before
from tollway.ledger.journal.reading import load, walk
from tollway.ledger.journal.store import ConflictError, JournalStore, UnknownError
from tollway.ledger.journal.walkeeper import WalKeeper
from tollway.ledger.views import tables as views_tables
from tollway.ledger.writer import FencedError, commit
from tollway.store.engine import open_engine

OPENED = ev.AccountOpened(account="acc_a")


def blocks(count: int, *, journal: int = 3, head: bl.Head | None = None, epoch: int = 1) -> list[bl.Block]:
    """A chain of small blocks."""
    head = head or bl.Head()
    parts = [(head.ts + 1000 * n, [ev.AccountOpened(account=f"acc_{n}")]) for n in range(1, count + 1)]
    return list(bl.chain(journal, head, epoch, parts))


def quiet(_: str) -> None:
    """Trouble is expected."""


def test_what_is_appended_is_read_back_as_it_was(store: JournalStore) -> None:
    written = blocks(3)
    store.append(written[:1])
    store.append(written[1:])
    assert store.read(3, after=0) == written
    assert store.read(3, after=1, limit=1) == written[1:2]
    assert store.head(3) == bl.head_of(written[-1])
    assert store.head(4) == bl.Head()
    assert store.block(3, 2) == written[1]


def test_blocks_of_several_journals_land_together_or_not_at_all(store: JournalStore) -> None:
    store.append(blocks(1, journal=5))
    with pytest.raises(ConflictError):
        store.append([*blocks(2, journal=4), *blocks(1, journal=5)])
    assert store.read(4, after=0) == []


def test_a_key_is_taken_once(open_store: Callable[[], JournalStore]) -> None:
    mine, other = open_store(), open_store()
    mine.append(blocks(1))
    with pytest.raises(ConflictError):
        other.append(blocks(1, epoch=2))
    assert [block.epoch for block in mine.read(3, after=0)] == [1]


def test_standing_tells_mine_from_others_and_from_nothing(store: JournalStore) -> None:
    assert store.standing(blocks(2)) == "absent"
    store.append(blocks(2))
    assert store.standing(blocks(2)) == "mine"
    assert store.standing(blocks(2, epoch=2)) == "other"


@pytest.mark.parametrize("statement", [update(t.BLOCK).values(n=9), delete(t.BLOCK)], ids=["update", "delete"])
def test_blocks_are_never_changed_or_deleted(store: JournalStore, statement: Any) -> None:
    store.append(blocks(1))
    with pytest.raises(DBAPIError, match="append only"), store.engine.begin() as connection:
        connection.execute(statement)
    assert store.read(3, after=0) == blocks(1)


def test_blocks_are_never_truncated(store: JournalStore) -> None:
    if store.engine.dialect.name == "sqlite":
        pytest.skip("SQLite has no TRUNCATE")
    with pytest.raises(DBAPIError, match="append only"), store.engine.begin() as connection:
        connection.execute(text("TRUNCATE ledger_block"))


def test_the_migrations_make_the_tables_that_the_code_reads(database: Callable[[str], str]) -> None:

    for part, wanted in (("journal", t.METADATA), ("views", views_tables.METADATA)):
        engine = open_engine(database(part))
        found = MetaData()
        found.reflect(engine)
        engine.dispose()
        for name, table in wanted.tables.items():
            columns = [(column.name, column.nullable) for column in found.tables[name].columns]
            assert columns == [(column.name, column.nullable) for column in table.columns], name
            keys = [column.name for column in found.tables[name].primary_key]
            assert keys == [column.name for column in table.primary_key], name
            assert {i.name for i in found.tables[name].indexes} == {i.name for i in table.indexes}


# -- the ambiguous commit


class Flaky(JournalStore):
    """A store whose connection is lost at a moment of COMMIT, as often as told."""

    def __init__(self, inner: JournalStore, *, before: int = 0, after: int = 0, deaf: int = 0) -> None:
        super().__init__(inner.engine)
        self.before, self.after, self.deaf = before, after, deaf
        self.appends = 0

    def append(self, blocks: Any) -> None:
        self.appends += 1
        if self.before:
            self.before -= 1
            raise UnknownError("lost before")
        super().append(blocks)
        if self.after:
            self.after -= 1
            raise UnknownError("lost after")

    def standing(self, blocks: Any) -> Any:
        if self.deaf:
            self.deaf -= 1
            raise UnknownError("no answer")
        return super().standing(blocks)


def test_a_commit_lost_on_the_way_is_sent_again_with_the_same_bytes(store: JournalStore) -> None:
    flaky = Flaky(store, before=2)
    commit(flaky, blocks(2), on_trouble=quiet)
    assert flaky.appends == 3
    assert store.read(3, after=0) == blocks(2)


def test_a_commit_whose_answer_was_lost_is_recognised_by_its_hash(store: JournalStore) -> None:
    flaky = Flaky(store, after=1, deaf=2)
    commit(flaky, blocks(1), on_trouble=quiet)
    assert store.read(3, after=0) == blocks(1)


def test_another_writers_block_fences(open_store: Callable[[], JournalStore]) -> None:
    mine, other = open_store(), open_store()
    other.append(blocks(1, epoch=2))
    with pytest.raises(FencedError):
        commit(mine, blocks(1), on_trouble=quiet)
    with pytest.raises(FencedError):
        commit(Flaky(mine, before=1), blocks(1), on_trouble=quiet)
    assert [block.epoch for block in mine.read(3, after=0)] == [2]


def test_a_block_of_a_longer_chain_by_another_writer_fences_too(open_store: Callable[[], JournalStore]) -> None:
    mine, other = open_store(), open_store()
    head = blocks(1)
    mine.append(head)
    other.append(blocks(1, head=bl.head_of(head[0]), epoch=2))
    with pytest.raises(FencedError):
        commit(mine, blocks(2, head=bl.head_of(head[0])), on_trouble=quiet)


# -- the chain


def test_a_walk_verifies_every_link(store: JournalStore) -> None:
    store.append(blocks(5))
    assert list(walk(store, 3, bl.Head())) == blocks(5)


CHANGES: dict[str, Any] = {
    "seq": 7,
    "epoch": 9,
    "ts": 2001,
    "prev_hash": b"\x01" * 32,
    "hash": b"\x01" * 32,
    "n": 2,
    "first_eid": 5,
    "codec": 1,
    "body": b"[]",
}


@pytest.mark.parametrize("field", CHANGES)
def test_any_changed_column_is_found_and_named(field: str) -> None:
    first, second, _ = blocks(3)
    changed = msgspec.structs.replace(second, **{field: CHANGES[field]})
    with pytest.raises(bl.DamagedError) as found:
        bl.check(changed, bl.head_of(first))
    assert (found.value.journal, found.value.what != "") == (3, True)


def test_any_flipped_bit_of_a_body_is_found() -> None:
    (block,) = blocks(1)
    for position in range(len(block.body) * 8):
        body = bytearray(block.body)
        body[position // 8] ^= 1 << position % 8
        with pytest.raises(bl.DamagedError, match="hash differs"):
            bl.check(msgspec.structs.replace(block, body=bytes(body)), bl.Head())


def test_a_block_of_an_older_epoch_is_refused_after_a_takeover() -> None:
    first, second = blocks(1, epoch=2)[0], None
    second = blocks(1, head=bl.head_of(first), epoch=1)[0]
    with pytest.raises(bl.DamagedError, match="epoch 1 after epoch 2"):
        bl.check(second, bl.head_of(first))


def test_a_missing_block_is_named() -> None:
    first, _, third = blocks(3)
    with pytest.raises(bl.DamagedError, match="follows block 1: one is missing"):
        bl.check(third, bl.head_of(first))


def test_time_never_stands_still_between_blocks() -> None:
    with pytest.raises(AssertionError, match="time rises"):
        bl.build(3, bl.Head(ts=5), epoch=1, ts=5, events=[OPENED])


def test_large_bodies_are_compressed_and_read_back() -> None:
    events = [ev.AccountOpened(account=f"acc_{n:030d}") for n in range(500)]
    block = bl.build(3, bl.Head(), epoch=1, ts=1, events=events)
    assert block.codec == bl.CODEC_ZLIB
    assert len(block.body) < len(bl.plain_body(block)) // 3
    assert bl.events_of(block) == events


def test_a_body_that_is_cut_or_of_another_codec_or_count_is_damaged() -> None:
    events = [ev.AccountOpened(account=f"acc_{n:030d}") for n in range(500)]
    block = bl.build(3, bl.Head(), epoch=1, ts=1, events=events)
    for changed in (
        msgspec.structs.replace(block, body=block.body[:-9]),
        msgspec.structs.replace(block, body=b"no zlib"),
        msgspec.structs.replace(block, codec=7),
        msgspec.structs.replace(block, n=499),
        msgspec.structs.replace(block, codec=0),
    ):
        with pytest.raises(bl.DamagedError):
            bl.events_of(changed)


RAW = msgspec.Raw(b'{"some":"report"}')
VALUES: dict[Any, Any] = {int: 7, str: "x", ev.Slices: [("lot_1", 7)], msgspec.Raw: RAW, ev.Status: "closed"}


def value_of(kind: Any) -> Any:
    """Some value of a field's type."""
    for known, value in VALUES.items():
        if kind == known:
            return value
    choices = [value for value in ("complete", "differs") if f"'{value}'" in str(kind)]
    return choices[0]


@pytest.mark.parametrize("kind", get_args(ev.AnyEvent))
def test_every_event_type_survives_storage(kind: Any) -> None:
    fields = {f.name: value_of(f.type) for f in msgspec.structs.fields(kind) if f.required}
    if "report" in kind.__struct_fields__:
        fields["report"] = RAW
    block = bl.build(3, bl.Head(), epoch=1, ts=1, events=[kind(account="acc_a", **fields), kind(**fields)])
    (with_account, without) = bl.events_of(block)
    assert with_account == kind(account="acc_a", **fields)
    assert without.account == ""
    if "report" in fields:
        assert bytes(with_account.report) == bytes(RAW)


def test_an_event_without_a_report_reads_as_having_none() -> None:
    voided = ev.HoldVoided(account="a", hold="rq_1", key="k", reason="why", released=5)
    block = bl.build(3, bl.Head(), epoch=1, ts=1, events=[voided])
    assert b"report" not in block.body
    assert bytes(bl.events_of(block)[0].report) == bytes(ev.NO_REPORT)


def test_the_words_of_the_log_never_change() -> None:
    """Stored events are read for ever: this list may grow and nothing else."""
    assert sorted(kind.__struct_config__.tag for kind in get_args(ev.AnyEvent)) == [
        "account.opened",
        "account.updated",
        "adjustment.posted",
        "credit.granted",
        "credit.purchased",
        "credit.reversed",
        "debt.repaid",
        "epoch.started",
        "hold.expired",
        "hold.extended",
        "hold.opened",
        "hold.settled",
        "hold.settled_late",
        "hold.voided",
        "journal.opened",
        "log.repaired",
        "lot.expired",
        "state.root",
        "usage.conflict",
        "usage.witnessed",
    ]


# -- replay and finding


def write_story(store: JournalStore, story: Story) -> list[bl.Block]:
    """A story's events as blocks of journal 11."""
    parts: list[tuple[int, list[Any]]] = []
    for ts, events in story.log:
        parts.append((max(ts * 1000, parts[-1][0] + 1 if parts else 0), events))
    written = list(bl.chain(11, bl.Head(), 1, parts))
    store.append(written)
    return written


def test_replay_gives_the_live_state_byte_for_byte(store: JournalStore) -> None:
    story = Story().with_credit(10**9).with_hold("rq_1").with_hold("rq_2")
    story.must(story.fact("rq_1"))
    written = write_story(store, story)
    state, head = load(store, 11)
    assert st.canonical(state) == st.canonical(story.state)
    assert st.root(state) == st.root(story.state)
    assert head == bl.head_of(written[-1])


def test_a_hold_is_found_again_by_its_id(store: JournalStore) -> None:
    hold = "rq_01KBMGFR000000000000000000"
    from tollway.ids import ulid_ms

    story = Story(now=ulid_ms(hold) - 3_600_000).with_credit(10**9)
    for n in range(3):
        story.later(1_000_000).with_hold(f"rq_before{n}", amount=1)
    story.now = ulid_ms(hold)
    story.with_hold(hold)
    story.must(story.fact(hold, tokens=3))
    story.must(story.fact(hold, tokens=4))
    story.later(5_000_000).with_hold("rq_after", amount=1)
    write_story(store, story)
    assert [type(event).__name__ for event in events_with(store, 11, hold)] == [
        "HoldOpened",
        "HoldSettled",
        "UsageConflicted",
    ]
    found = find_ending(store, 11, hold)
    assert found is not None
    assert (found.ending, found.charged) == ("settled", 3 * 1050)
    assert find_ending(store, 11, "rq_01KBMGFR000000000000000001") is None


def test_a_time_is_found_by_halving(store: JournalStore) -> None:
    store.append(blocks(20))
    assert [seq_before(store, 3, ts) for ts in (0, 1000, 1001, 20_000, 10**9)] == [0, 0, 1, 19, 20]


def test_a_block_of_another_chain_does_not_fit_even_if_it_is_intact() -> None:
    opened = [ev.EpochStarted(epoch=1, writer="w", head="")]
    ours, theirs = (bl.build(7, bl.Head(), epoch=1, ts=ts, events=opened) for ts in (10, 11))
    grafted = bl.build(7, bl.head_of(theirs), epoch=1, ts=20, events=[])
    bl.check(grafted, bl.head_of(theirs))
    with pytest.raises(bl.DamagedError, match="does not link"):
        bl.check(grafted, bl.head_of(ours))


BEGUN_ANEW_WITHIN_S = 60.0
"""A log of 256 pages is full in a moment; the machine may be busy."""


def times_begun_anew(directory: Path) -> int:
    """The checkpoint sequence number in the header of SQLite's log: it rises whenever the log is begun anew."""
    return int.from_bytes((directory / "journal.db-wal").read_bytes()[12:16], "big")


def test_sqlites_log_is_begun_anew_under_a_writer_that_never_pauses(
    sqlite_database: Callable[[str], str], tmp_path: Path
) -> None:
    engine = open_engine(sqlite_database("journal"), is_writer=True)
    store, keeper = JournalStore(engine), WalKeeper(engine, every_s=0.01, pages_max=256)
    store.append(blocks(1, journal=1))
    before = times_begun_anew(tmp_path)
    keeper.start()
    head, give_up = bl.Head(), time.monotonic() + BEGUN_ANEW_WITHIN_S
    while times_begun_anew(tmp_path) == before and time.monotonic() < give_up:
        events = [ev.AccountOpened(account=f"acc_{n:026d}") for n in range(60)]
        block = bl.build(3, head, epoch=1, ts=head.ts + 1, events=events)
        store.append([block])
        head = bl.head_of(block)
    assert times_begun_anew(tmp_path) > before
    keeper.stop()
    store.let_go()
    engine.dispose()
