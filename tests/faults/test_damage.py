"""Data that is not what was written: it is found, named, kept apart from the rest, and repaired from the other copy."""

import json
import os
import sqlite3
import subprocess
import sys
from typing import Any, Final

import pytest

from tests.e2e.gateway import until
from tests.faults.checker import audit, books_of
from tests.faults.conftest import NewHouse
from tests.faults.house import House, Wallet
from tests.faults.load import Ask, attempt_once, together
from tollway.wire.subjects import journal_of

NOTICED_WITHIN_S: Final = 100.0
"""Old blocks are looked at again once a minute."""


def ledger(house: House, *arguments: str) -> tuple[int, dict[str, Any]]:
    """`tollway ledger …` on the house's data: exit code and the last line."""
    where = ["--data", str(house.data), *(("--database-url", house.database_url) if house.database_url else ())]
    command = [sys.executable, "-m", "tollway.cli", "ledger", *arguments, *where]
    done = subprocess.run(command, env=house.environment, capture_output=True, timeout=110, check=False)
    lines = done.stdout.decode().strip().splitlines()
    assert lines, done.stderr.decode()
    assert lines[-1].startswith("{"), (lines, done.stderr.decode()[-3000:])
    return done.returncode, json.loads(lines[-1])


def flip(house: House, journal: int, *, column: str = "body", at: int = 20) -> int:
    """Turn one bit of the journal's middle block; its number."""
    link = sqlite3.connect(house.data / "journal.db", isolation_level=None)
    seqs = [row[0] for row in link.execute("SELECT seq FROM ledger_block WHERE journal = ? ORDER BY seq", (journal,))]
    seq = seqs[len(seqs) // 2]
    stored = link.execute(f"SELECT {column} FROM ledger_block WHERE journal = ? AND seq = ?", (journal, seq)).fetchone()
    changed = bytearray(stored[0])
    changed[at % len(changed)] ^= 0x10
    for (name,) in link.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall():
        link.execute(f'DROP TRIGGER "{name}"')
    link.execute(f"UPDATE ledger_block SET {column} = ? WHERE journal = ? AND seq = ?", (bytes(changed), journal, seq))
    link.close()
    house.faults.append(f"a bit of {column} in journal {journal} block {seq}")
    return int(seq)


def two_wallets(house: House) -> tuple[Wallet, Wallet]:
    """In different journals."""
    first = house.wallet()
    while True:
        second = house.wallet()
        if journal_of(first.account_id) != journal_of(second.account_id):
            return first, second


def test_a_bit_that_turned_is_found_and_named_its_journal_is_closed_and_repaired_from_the_stream(
    new_house: NewHouse,
) -> None:
    house = new_house()
    house.start()
    hurt, other = two_wallets(house)
    tries = [*together(house.base_url, hurt, [Ask()] * 8), *together(house.base_url, other, [Ask()] * 8)]
    assert audit(house, [hurt, other], tries).breaches == []
    assert ledger(house, "verify")[0] == 0
    house.stop()
    journal = journal_of(hurt.account_id)
    seq = flip(house, journal)
    code, said = ledger(house, "verify")
    assert code != 0
    assert f"journal {journal} block {seq}" in json.dumps(said)
    assert any(f"journal {journal} block {seq}:" in breach for breach in books_of(house).breaches)
    house.begin()
    until(lambda: f"journal {journal} is halted" in str(house.missing().get("ledger", "")), within_s=60)
    assert attempt_once(house.base_url, hurt, Ask(tries_max=1)).status == 503
    served = attempt_once(house.base_url, other, Ask())
    assert served.ending == "complete"
    code, said = ledger(house, "repair", "--from", "stream", "--yes")
    assert code == 0, said
    house.until_ready()
    tries += [served, attempt_once(house.base_url, hurt, Ask())]
    assert tries[-1].ending == "complete"
    assert audit(house, [hurt, other], tries, is_tally_whole=False).breaches == []
    assert ledger(house, "verify")[0] == 0


@pytest.mark.long
@pytest.mark.timeout(240)
def test_a_bit_that_turns_under_a_running_ledger_is_found_before_anybody_reads_it(new_house: NewHouse) -> None:
    house = new_house()
    house.start()
    hurt, other = two_wallets(house)
    tries = together(house.base_url, hurt, [Ask()] * 8)
    assert audit(house, [hurt, other], tries).breaches == []
    journal = journal_of(hurt.account_id)
    flip(house, journal)
    until(lambda: f"journal {journal} is halted" in str(house.missing().get("ledger", "")), within_s=NOTICED_WITHIN_S)
    assert attempt_once(house.base_url, hurt, Ask(tries_max=1)).status == 503
    served = attempt_once(house.base_url, other, Ask())
    assert served.ending == "complete"
    assert ledger(house, "repair", "--from", "stream", "--yes")[0] == 0
    house.until_ready()
    tries += [served, attempt_once(house.base_url, hurt, Ask())]
    assert tries[-1].ending == "complete"
    assert audit(house, [hurt, other], tries).breaches == []


@pytest.mark.long
@pytest.mark.timeout(180)
def test_one_damaged_journal_does_not_end_the_others(new_house: NewHouse) -> None:
    house = new_house()
    house.start()
    hurt, other = two_wallets(house)
    together(house.base_url, hurt, [Ask()] * 4)
    house.stop()
    flip(house, journal_of(hurt.account_id), column="hash")
    house.begin()
    until(lambda: b"Not ready within" in house.said(), within_s=90)
    assert f"journal {journal_of(hurt.account_id)} is halted".encode() in house.said()
    assert attempt_once(house.base_url, other, Ask()).ending == "complete"


def cut_wal(house: House, size_bytes: int) -> None:
    """What a disk does that lied about its last writes."""
    wal = house.data / "journal.db-wal"
    os.truncate(wal, max(0, wal.stat().st_size - size_bytes))
    house.faults.append(f"{size_bytes} bytes cut off the write-ahead log")


@pytest.mark.long
@pytest.mark.timeout(240)
@pytest.mark.parametrize("is_enough", [False, True], ids=["a torn page", "until blocks are gone"])
def test_a_torn_write_ahead_log_loses_nothing_that_was_published(new_house: NewHouse, is_enough: bool) -> None:
    house = new_house()
    house.start()
    wallets = list(two_wallets(house))
    tries = [tried for wallet in wallets for tried in together(house.base_url, wallet, [Ask()] * 15)]
    assert audit(house, wallets, tries).breaches == []
    blocks = books_of(house).blocks
    house.crash()
    cut_wal(house, 3_001)
    while is_enough and books_of(house).blocks == blocks:
        cut_wal(house, 40_001)
    house.begin()
    if is_enough:
        until(lambda: "is halted" in str(house.missing().get("ledger", "")), within_s=60)
        code, said = ledger(house, "repair", "--from", "stream", "--yes")
        assert code == 0, said
    house.until_ready(within_s=60)
    tries += [attempt_once(house.base_url, wallet, Ask()) for wallet in wallets]
    assert audit(house, wallets, tries, is_tally_whole=False).breaches == []
    assert {tried.ending for tried in tries} == {"complete"}


@pytest.mark.long
def test_a_bit_turned_in_the_streams_file_is_noticed_and_the_copy_made_whole(new_house: NewHouse) -> None:
    house = new_house()
    house.start()
    wallets = list(two_wallets(house))
    tries = together(house.base_url, wallets[0], [Ask()] * 15)
    assert audit(house, wallets, tries).breaches == []

    def flip_in_stream() -> None:
        file = max(house.data.glob("jetstream/**/streams/LEDGER/msgs/*.blk"))
        data = bytearray(file.read_bytes())
        data[len(data) // 2] ^= 0x10
        file.write_bytes(bytes(data))

    house.while_down("nats", flip_in_stream)
    house.faults.append("a bit in a file of LEDGER")
    house.until_ready()
    tries += together(house.base_url, wallets[1], [Ask()] * 5)
    assert audit(house, wallets, tries).breaches == []
