"""The auditor replays by itself: it agrees with an honest log, names a dishonest one, and its word starts a ledger."""

import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from sqlalchemy import delete, insert, select, text, update

from tests.ledger.house import House
from tests.ledger.story import Story, ev
from tests.ledger.test_journal import write_story
from tollway.ledger import state as st
from tollway.ledger.audit import checkpoints, snapshots
from tollway.ledger.audit.auditor import Auditor
from tollway.ledger.audit.invariants import breaches
from tollway.ledger.audit.keys import BadKeyError, fingerprint, is_signed, read_public, read_signer, signer_of
from tollway.ledger.audit.replaying import Replay
from tollway.ledger.journal.block import DamagedError, Head, build, head_of
from tollway.ledger.journal.reading import load
from tollway.ledger.journal.store import JournalStore
from tollway.ledger.journal.tables import SNAPSHOT

JOURNAL = 11


@pytest.fixture
def story() -> Story:
    story = Story().with_credit(10**9).with_hold("rq_1").with_hold("rq_2")
    story.must(story.fact("rq_1"))
    return story


class Bench:
    """An auditor over a store, and what it said."""

    def __init__(self, store: JournalStore, directory: Path) -> None:
        self.found: list[tuple[int, str]] = []
        self.trouble: list[str] = []
        self.signer = signer_of(directory / "audit.key")
        self.auditor = Auditor(
            store,
            self.signer,
            heads=lambda: {JOURNAL: store.head(JOURNAL).seq},
            on_finding=lambda journal, what: self.found.append((journal, what)),
            on_trouble=self.trouble.append,
            directory=directory,
        )


@pytest.fixture
def bench(store: JournalStore, tmp_path: Path) -> Bench:
    return Bench(store, tmp_path)


def append(store: JournalStore, events: list[Any], *, journal: int = JOURNAL) -> None:
    """A block of these events after what is there."""
    head = store.head(journal)
    store.append([build(journal, head, epoch=max(1, head.epoch), ts=head.ts + 1, events=events)])


def test_an_honest_log_gives_no_finding(store: JournalStore, story: Story, bench: Bench) -> None:
    write_story(store, story)
    append(store, [ev.StateRooted(accounts=1, digest=st.root(story.state), version=st.STATE_VERSION)])
    bench.auditor.round()
    assert (bench.found, bench.trouble) == ([], [])


def test_a_writer_whose_state_is_not_what_its_log_says_is_found(
    store: JournalStore, story: Story, bench: Bench
) -> None:
    written = write_story(store, story)
    story.account.available += 1
    append(store, [ev.StateRooted(accounts=1, digest=st.root(story.state), version=st.STATE_VERSION)])
    bench.auditor.round()
    assert bench.found == [
        (JOURNAL, f"journal 11 block {len(written) + 1}: the writer's state was not what its log says")
    ]
    bench.auditor.round()
    assert len(bench.found) == 1, "it is told once"


def test_digests_of_another_version_are_not_compared(store: JournalStore, story: Story, bench: Bench) -> None:
    write_story(store, story)
    append(store, [ev.StateRooted(accounts=1, digest="of other words", version=st.STATE_VERSION - 1)])
    bench.auditor.round()
    assert bench.found == []


IMPOSSIBLE: dict[str, Any] = {
    "a hold of credit that is not there": ev.HoldOpened(
        account="acc_a", hold="rq_9", key="k", amount=10**12, lots=[("lot_1", 10**12)], deadline=1
    ),
    "a hold opened twice": ev.HoldOpened(
        account="acc_a", hold="rq_2", key="aigk_1", amount=1, lots=[("lot_1", 1)], deadline=1
    ),
    "a settlement without a hold": ev.HoldVoided(account="acc_a", hold="rq_9", key="k", reason="", released=1),
    "credit taken that a lot has not": ev.LotExpired(account="acc_a", lot="lot_1", amount=10**12),
    "a debt repaid that nobody owed": ev.DebtRepaid(account="acc_a", amount=1, lots=[("lot_1", 1)]),
    "a lot that never was": ev.LotExpired(account="acc_a", lot="lot_7", amount=1),
}


@pytest.mark.parametrize("event", IMPOSSIBLE.values(), ids=IMPOSSIBLE)
def test_events_that_cannot_have_happened_are_found(story: Story, event: Any) -> None:
    replay = Replay(story.state, Head())
    with pytest.raises(DamagedError, match="cannot have happened"):
        replay.take(build(JOURNAL, Head(), epoch=1, ts=2 * 10**18, events=[event]))


def test_an_epoch_in_anothers_block_is_found() -> None:
    replay = Replay(st.State(JOURNAL), Head())
    block = build(JOURNAL, Head(), epoch=1, ts=1, events=[ev.EpochStarted(epoch=2, writer="w", head="")])
    with pytest.raises(DamagedError, match="another epoch"):
        replay.take(block)


def test_a_state_that_does_not_add_up_breaks_invariants(story: Story) -> None:
    assert list(breaches(story.state)) == []
    for harm in (
        lambda account: setattr(account, "available", account.available + 1),
        lambda account: setattr(account, "debt", 5),
        lambda account: setattr(account.lots[0], "reserved", 10**12),
        lambda account: account.lots.insert(0, type(account.lots[0])("lot_9", "s", "r", 1, 0, 9, priority=5)),
    ):
        state = story.replayed()
        harm(state.accounts["acc_a"])
        assert list(breaches(state)) != []


def test_rot_in_an_old_block_is_found_though_nobody_reads_it(
    store: JournalStore, story: Story, bench: Bench, tmp_path: Path
) -> None:
    write_story(store, story)
    bench.auditor.round()
    bench.auditor.snapshot(JOURNAL)
    damage(store, 1)
    fresh = Bench(store, tmp_path)
    fresh.auditor.round()
    fresh.auditor.scrub()
    assert [what for _, what in fresh.found] == [
        f"journal {JOURNAL} block 1: its content was changed: the hash differs"
    ]


def damage(store: JournalStore, seq: int) -> None:
    """Change a stored body behind the triggers."""
    from tollway.ledger.journal.tables import BLOCK

    with store.engine.begin() as connection:
        if connection.dialect.name == "sqlite":
            connection.execute(text("DROP TRIGGER ledger_block_no_update"))
        else:
            connection.execute(text("SET LOCAL session_replication_role = replica"))
        connection.execute(update(BLOCK).where(BLOCK.c.seq == seq).values(body=b"[]"))


# -- snapshots


def trusted(store: JournalStore, bench: Bench) -> Head:
    """Where a start from snapshots would begin."""
    return snapshots.newest(store, JOURNAL, [bench.signer.public])[1]


def test_a_ledger_starts_from_the_newest_snapshot_with_the_same_state(
    store: JournalStore, story: Story, bench: Bench
) -> None:
    written = write_story(store, story)
    bench.auditor.round()
    bench.auditor.snapshot(JOURNAL)
    append(store, [ev.AccountOpened(account="acc_z")])
    state, head = snapshots.newest(store, JOURNAL, [bench.signer.public])
    assert head == head_of(written[-1])
    assert st.canonical(state) == st.canonical(story.state)
    from_snapshot, from_genesis = load(store, JOURNAL, state, head), load(store, JOURNAL)
    assert st.canonical(from_snapshot[0]) == st.canonical(from_genesis[0])
    assert from_snapshot[1] == from_genesis[1]


def forged(row: Any, **values: Any) -> dict[str, Any]:
    return {**row._mapping, **values}


def reseal(row: Any, change: Callable[[snapshots.Sealed], snapshots.Sealed]) -> bytes:
    return msgspec.msgpack.encode(change(msgspec.msgpack.decode(bytes(row.body), type=snapshots.Sealed)))


def richer(sealed: snapshots.Sealed) -> snapshots.Sealed:
    plain = zlib.decompress(sealed.payload).replace(b'"available":', b'"available":9')
    return msgspec.structs.replace(sealed, payload=zlib.compress(plain))


FORGERIES: dict[str, Callable[[Any], dict[str, Any]]] = {
    "an account made richer": lambda row: forged(row, body=reseal(row, richer)),
    "of another journal": lambda row: forged(row, journal=12),
    "from the future": lambda row: forged(row, seq=row.seq + 50),
    "of another block": lambda row: forged(row, seq=row.seq - 1),
    "with another hash": lambda row: forged(row, block_hash=b"\x00" * 32),
    "cut short": lambda row: forged(row, body=bytes(row.body)[:-20]),
    "of noise": lambda row: forged(row, body=b"\x93noise"),
}


@pytest.mark.parametrize("forge", FORGERIES.values(), ids=FORGERIES)
def test_a_snapshot_that_is_not_what_we_sealed_is_ignored(
    store: JournalStore, story: Story, bench: Bench, forge: Callable[[Any], dict[str, Any]]
) -> None:
    write_story(store, story)
    bench.auditor.round()
    bench.auditor.snapshot(JOURNAL)
    with store.engine.begin() as connection:
        row = connection.execute(select(SNAPSHOT)).one()
        connection.execute(delete(SNAPSHOT))
        connection.execute(insert(SNAPSHOT).values(forge(row)))
    for journal in (JOURNAL, 12):
        assert snapshots.newest(store, journal, [bench.signer.public]) == (st.State(journal), Head())


def test_a_snapshot_sealed_with_another_key_is_ignored_and_an_older_one_used(
    store: JournalStore, story: Story, bench: Bench, tmp_path: Path
) -> None:
    written = write_story(store, story)
    bench.auditor.round()
    bench.auditor.snapshot(JOURNAL)
    append(store, [ev.AccountOpened(account="acc_z")])
    state, head = load(store, JOURNAL)
    snapshots.save(store.engine, signer_of(tmp_path / "other.key"), state, head)
    assert trusted(store, bench) == head_of(written[-1])


def test_only_the_newest_snapshots_are_kept(store: JournalStore, story: Story, bench: Bench) -> None:
    write_story(store, story)
    for n in range(4):
        append(store, [ev.AccountOpened(account=f"acc_{n}")])
        bench.auditor.round()
        bench.auditor.snapshot(JOURNAL)
    with store.engine.connect() as connection:
        assert len(connection.execute(select(SNAPSHOT)).all()) == snapshots.KEPT
    assert trusted(store, bench) == store.head(JOURNAL)


async def test_a_ledger_that_starts_from_a_snapshot_goes_on_as_if_from_the_first_block(house: House) -> None:
    first = await house.ledger()
    await house.grant("acc_house", 10**9)
    await house.opened("acc_house", 10**6)
    await first.writer.settle_down()
    first.auditor.round()
    for journal in first.desks:
        first.auditor.snapshot(journal)
    await house.opened("acc_house", 10**6)
    await house.close(first)
    second = await house.ledger()
    assert (await house.balance("acc_house")).held_nusd == 2 * 10**6
    await second.writer.settle_down()
    for journal, desk in second.desks.items():
        assert st.canonical(load(second.journal, journal)[0]) == st.canonical(desk.state)


# -- checkpoints and keys


def test_checkpoints_follow_each_other_and_stand_when_the_log_grows(
    store: JournalStore, story: Story, bench: Bench
) -> None:
    write_story(store, story)
    for n in range(3):
        append(store, [ev.AccountOpened(account=f"acc_{n}")])
        bench.auditor.round()
        bench.auditor.checkpoint()
    bench.auditor.checkpoint()
    written = checkpoints.read(store.engine)
    assert [one.id for one in written] == [1, 2, 3], "an unchanged log is not signed again"
    keys = {bench.signer.key_id: bench.signer.public}
    assert checkpoints.faults(store, written, keys) == []
    assert checkpoints.faults(store, written, {}) != []
    swapped = [written[0], msgspec.structs.replace(written[2], id=2)]
    assert any("does not follow" in fault for fault in checkpoints.faults(store, swapped, keys))
    wrong_root = written[0].told
    assert wrong_root.root == checkpoints.root_of(wrong_root.heads)


def test_merkle_roots_depend_on_every_leaf_and_its_place() -> None:
    leaves = [bytes([n]) for n in range(5)]
    roots = {checkpoints.merkle_root(leaves[:n]) for n in range(6)}
    roots |= {checkpoints.merkle_root([*leaves[:n], b"x", *leaves[n + 1 :]]) for n in range(5)}
    roots.add(checkpoints.merkle_root(leaves[::-1]))
    assert len(roots) == 12


def test_a_key_is_made_once_and_private(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "audit.key"
    first = signer_of(path)
    assert signer_of(path).key_id == first.key_id == fingerprint(read_public(path.with_suffix(".pub")))
    assert path.stat().st_mode & 0o777 == 0o600
    assert is_signed(first.public, first.sign(b"x"), b"x")
    assert not is_signed(first.public, first.sign(b"x"), b"y")


def test_a_file_that_is_no_key_is_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "bad.key").write_text("nothing")
    for read in (read_signer, read_public):
        with pytest.raises(BadKeyError, match=r"bad\.key"):
            read(tmp_path / "bad.key")
