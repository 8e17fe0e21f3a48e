"""A byte changed anywhere in the journal is found, and its block is named: any column, and SQLite's own file."""

import json
import random
import sqlite3
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text, update
from typer.testing import CliRunner

from tests.ledger.story import Story
from tests.ledger.test_journal import write_story
from tollway.cli.errors import CommandError
from tollway.cli.ledger import app
from tollway.ledger.audit import verifying
from tollway.ledger.journal.block import Block, Head, build
from tollway.ledger.journal.store import COLUMNS, JournalStore
from tollway.ledger.journal.tables import BLOCK
from tollway.store.engine import open_engine
from tollway.wire.subjects import JOURNALS

JOURNAL = 11
ROUNDS = 6
"""Random places per column, besides both ends of the chain."""
FILE_ROUNDS = 40


def a_past() -> Story:
    story = Story().with_credit(10**9)
    for n in range(4):
        story.with_hold(f"rq_{n}").must(story.fact(f"rq_{n}"))
    return story


def findings(store: JournalStore, journals: Sequence[int] = range(JOURNALS)) -> list[str]:
    report = verifying.Report()
    verifying.verify(store, report, journals=journals)
    verifying.verify_table(store, report)
    return report.findings


def change(store: JournalStore, seq: int, column: str, value: Any) -> None:
    """As somebody with full power over the table would."""
    with store.engine.begin() as connection:
        if connection.dialect.name == "sqlite":
            connection.execute(text("DROP TRIGGER IF EXISTS ledger_block_no_update"))
        else:
            connection.execute(text("SET LOCAL session_replication_role = replica"))
        row = (BLOCK.c.journal == JOURNAL) & (BLOCK.c.seq == seq)
        connection.execute(update(BLOCK).where(row).values({column: value}))


def put_back(store: JournalStore, block: Block, column: str, changed: Any) -> None:
    key = {"journal": block.journal, "seq": block.seq} | ({column: changed} if column in ("journal", "seq") else {})
    with store.engine.begin() as connection:
        if connection.dialect.name != "sqlite":
            connection.execute(text("SET LOCAL session_replication_role = replica"))
        row = (BLOCK.c.journal == key["journal"]) & (BLOCK.c.seq == key["seq"])
        connection.execute(update(BLOCK).where(row).values({column: getattr(block, column)}))


def flipped(value: bytes | int, column: str, rng: random.Random) -> bytes | int:
    """One bit of it turned; numbers have the width of their column."""
    if isinstance(value, bytes):
        changed = bytearray(value)
        changed[rng.randrange(len(changed))] ^= 1 << rng.randrange(8)
        return bytes(changed)
    bits = {"journal": 16, "codec": 16, "n": 32}.get(column, 64)
    turned = value ^ 1 << rng.randrange(bits)
    return turned - (1 << bits) if turned >= 1 << bits - 1 else turned


def test_a_bit_turned_in_any_column_of_any_block_is_found_and_named(store: JournalStore) -> None:
    written = write_story(store, a_past())
    assert findings(store) == []
    seed = random.randrange(10**6)
    rng = random.Random(seed)
    for column in COLUMNS:
        for block in [written[0], written[-1], *rng.choices(written, k=ROUNDS)]:
            changed = flipped(getattr(block, column), column, rng)
            if column == "seq" and 0 < changed <= len(written):  # type: ignore[operator]
                continue  # that number is taken: the table itself refuses
            change(store, block.seq, column, changed)
            found = findings(store, range(JOURNALS) if column == "journal" else [JOURNAL])
            moved = changed if column == "seq" else block.seq
            named = {f"block {number}:" for number in (block.seq, block.seq + 1, moved)}
            place = (
                f"seed {seed}: {column} of block {block.seq} from {getattr(block, column)!r} to {changed!r}: {found}"
            )
            assert any(name in one for one in found for name in named), place
            put_back(store, block, column, changed)
    assert findings(store) == []


def test_a_block_of_no_journal_is_found_though_its_own_journal_only_looks_shorter(store: JournalStore) -> None:
    written = write_story(store, a_past())
    last = written[-1].seq
    change(store, last, "journal", JOURNAL + 64)
    assert findings(store) == [f"journal {JOURNAL + 64} block {last}: there is no such place"]


def test_a_block_with_a_number_below_one_is_found_though_nobody_reads_it(store: JournalStore) -> None:
    written = write_story(store, a_past())
    change(store, written[-1].seq, "seq", -5)
    assert findings(store) == [f"journal {JOURNAL} block -5: there is no such place"]


@pytest.mark.parametrize("value", ["words", 1.5])
@pytest.mark.parametrize("column", ["ts", "epoch", "n", "first_eid", "codec", "prev_hash", "hash", "body"])
def test_a_column_of_another_type_is_found_where_the_database_takes_any(
    sqlite_database: Callable[[str], str], column: str, value: Any, tmp_path: Path
) -> None:
    store = JournalStore(open_engine(sqlite_database("journal"), is_writer=True))
    write_story(store, a_past())
    driver = sqlite3.connect(tmp_path / "journal.db", isolation_level=None)
    driver.execute("DROP TRIGGER ledger_block_no_update")
    driver.execute("PRAGMA ignore_check_constraints=ON")
    try:
        driver.execute(f"UPDATE ledger_block SET {column} = ? WHERE seq = 2", (value,))
    except sqlite3.IntegrityError:
        pytest.skip("no value at all is refused by the table itself")
    finally:
        driver.close()
    found = findings(store)
    store.let_go()
    store.engine.dispose()
    assert any(f"journal {JOURNAL} block {number}" in found[0] for number in (2, 3)), found


def test_a_bit_turned_anywhere_in_sqlites_file_is_found_or_changed_no_block(
    sqlite_database: Callable[[str], str], tmp_path: Path
) -> None:
    store = JournalStore(open_engine(sqlite_database("journal"), is_writer=True))
    write_story(store, a_past())
    store.append([build(5, Head(), epoch=1, ts=1, events=[])])
    store.let_go()
    store.engine.dispose()
    file = tmp_path / "journal.db"
    with sqlite3.connect(file) as driver:
        driver.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    driver.close()
    whole, rows = file.read_bytes(), rows_of(file)
    seed = random.randrange(10**6)
    rng = random.Random(seed)
    noticed = 0
    for _ in range(FILE_ROUNDS):
        at, bit = rng.randrange(len(whole)), 1 << rng.randrange(8)
        for part in tmp_path.glob("journal.db*"):
            part.unlink()
        file.write_bytes(whole[:at] + bytes([whole[at] ^ bit]) + whole[at + 1 :])
        result = CliRunner().invoke(app, ["verify", "--data", str(tmp_path)])
        place = f"seed {seed}: byte {at} bit {bit}: {result.output}"
        assert result.exception is None or isinstance(result.exception, CommandError | SystemExit), place
        assert json.loads(result.output.splitlines()[-1])["ok"] == (result.exit_code == 0), place
        if result.exit_code == 0:
            assert rows_of(file) == rows, place
        noticed += result.exit_code != 0
    assert noticed, f"seed {seed}: {FILE_ROUNDS} bits of a file of blocks, and none of them mattered"


def rows_of(file: Path) -> list[Any]:
    driver = sqlite3.connect(file)
    try:
        return driver.execute("SELECT * FROM ledger_block ORDER BY journal, seq").fetchall()
    finally:
        driver.close()
