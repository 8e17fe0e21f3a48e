"""`tollway ledger …` on a journal that a ledger wrote: what is right is said to be, what is wrong is named."""

import asyncio
import json
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text
from typer.testing import CliRunner

from tests.ledger.house import House, fact
from tollway.cli.errors import CommandError
from tollway.cli.ledger import app
from tollway.ledger.audit.keys import signer_of
from tollway.ledger.audit.replays import limits
from tollway.store.engine import open_engine
from tollway.wire.subjects import journal_of

ACCOUNT = "acc_house"
JOURNAL = journal_of(ACCOUNT)


class Said:
    """What a command printed and how it ended."""

    def __init__(self, result: Any) -> None:
        self.code = result.exit_code
        self.fault = result.exception
        self.lines = result.output.splitlines()

    @property
    def told(self) -> Any:
        """The last line, for scripts."""
        return json.loads(self.lines[-1])


@pytest.fixture
def says(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, bus_server: Any) -> Callable[..., Said]:
    """Runs a command on the test's data directory."""
    monkeypatch.setenv("TOLLWAY_NATS_URL", bus_server.url)
    monkeypatch.setenv("TOLLWAY_NATS_MONITOR_URL", bus_server.monitor_url)
    monkeypatch.setenv("TOLLWAY_DATA_DIR", str(tmp_path))

    def say(*words: str) -> Said:
        return Said(CliRunner().invoke(app, list(words)))

    return say


@pytest.fixture
async def past(house: House, monkeypatch: pytest.MonkeyPatch) -> House:
    """A ledger has run: credit, three requests, one of them open, one failed."""
    monkeypatch.setattr("tollway.ledger.service.RETRY_HALTED_S", 0.2)
    if "TOLLWAY_DATABASE_URL" in house.environ:
        monkeypatch.setenv("TOLLWAY_DATABASE_URL", house.environ["TOLLWAY_DATABASE_URL"])
    ledger = await house.ledger()
    await house.grant(ACCOUNT, 10**9)
    holds = [(await house.opened(ACCOUNT, 10**6)).hold_id for _ in range(3)]
    await house.put(fact(ACCOUNT, holds[0], tokens=100))
    await house.put(fact(ACCOUNT, holds[1], outcome="failed_midstream"))
    await house.until_settled(*holds[:2])
    desk = ledger.desk_of(ACCOUNT)
    assert desk is not None
    ledger.deadlines.write_root(desk, ledger.now_us())
    await ledger.writer.settle_down()
    await asyncio.to_thread(ledger.auditor.round)
    await asyncio.to_thread(ledger.auditor.checkpoint)
    await asyncio.to_thread(ledger.auditor.snapshot, JOURNAL)
    await house.close(ledger)
    house.holds = holds  # type: ignore[attr-defined]
    return house


async def test_a_sound_journal_verifies_with_its_copy_and_checkpoints(past: House, says: Callable[..., Said]) -> None:
    said = await asyncio.to_thread(says, "verify", "--cross")
    assert (said.code, said.told["ok"], said.told["findings"]) == (0, True, [])
    assert said.told["copiedBlocks"] == said.told["blocks"]
    assert (said.told["journals"], said.told["roots"], said.told["checkpoints"]) == (64, 1, 1)


async def test_one_changed_byte_is_found_and_its_block_is_named(past: House, says: Callable[..., Said]) -> None:
    change_block(past, JOURNAL, 2)
    said = await asyncio.to_thread(says, "verify")
    assert (said.code, said.told["ok"]) == (1, False)
    assert f"journal {JOURNAL} block 2: its content was changed" in said.told["findings"][0]


async def test_a_journal_rewritten_as_a_whole_is_found_by_a_checkpoint(past: House, says: Callable[..., Said]) -> None:
    rewrite(past, JOURNAL)
    said = await asyncio.to_thread(says, "verify")
    assert said.code == 1
    assert any(
        f"journal {JOURNAL} block" in one and "not the one that was signed" in one for one in said.told["findings"]
    )
    cut = await asyncio.to_thread(says, "verify", "--cross", "--journal", str(JOURNAL))
    assert any("the copy has another" in one for one in cut.told["findings"])


async def test_a_checkpoint_kept_elsewhere_is_checked_with_its_own_key(
    past: House, says: Callable[..., Said], tmp_path: Path
) -> None:
    signer_of(tmp_path / "mine.key")
    kept = tmp_path / "kept.jsonl"
    sealed = await asyncio.to_thread(says, "seal", "--key", str(tmp_path / "mine.key"), "--file", str(kept))
    assert sealed.code == 0, sealed.lines
    words = ("verify", "--checkpoints", str(kept), "--key", str(tmp_path / "mine.pub"))
    assert (await asyncio.to_thread(says, *words)).code == 0
    assert (await asyncio.to_thread(says, "verify", "--checkpoints", str(kept))).code == 1, "an unknown key"
    forged = json.loads(kept.read_text())
    forged["body"] = forged["body"].replace('"at_ms":1', '"at_ms":2')
    kept.write_text(json.dumps(forged) + "\n")
    said = await asyncio.to_thread(says, *words)
    assert any("the signature is wrong" in one for one in said.told["findings"])


async def test_balances_of_the_past_come_from_the_log_alone(past: House, says: Callable[..., Said]) -> None:
    now = await asyncio.to_thread(says, "replay", "--account", ACCOUNT)
    assert now.lines[0] == f"{ACCOUNT}  available $0.998895  held $0.001  debt $0  charged $0.000105"
    then = await asyncio.to_thread(says, "replay", "--account", ACCOUNT, "--until", "2")
    assert then.lines[0].startswith(f"{ACCOUNT}  available $1  held $0 ")
    before = await asyncio.to_thread(says, "replay", "--account", ACCOUNT, "--until", "2020-01-01T00:00:00Z")
    assert before.told == {"ok": True, "journals": 1, "events": 0}
    dumped = await asyncio.to_thread(says, "replay", "--account", ACCOUNT, "--dump")
    assert json.loads(dumped.lines[0])["accounts"][ACCOUNT]["available"] == 998_895_000
    assert (await asyncio.to_thread(says, "replay", "--until", "yesterday")).fault.exit_code == 2


async def test_an_auditor_gets_every_event_of_a_request(past: House, says: Callable[..., Said]) -> None:
    hold = past.holds[0]  # type: ignore[attr-defined]
    said = await asyncio.to_thread(says, "audit", "--account", ACCOUNT, "--hold", hold, "--json")
    events = [json.loads(line) for line in said.lines[:-1]]
    assert [event["event"]["t"] for event in events] == ["hold.opened", "hold.settled"]
    assert all(len(event["hash"]) == 64 and event["journal"] == JOURNAL for event in events)
    assert said.told["events"] == 2


async def test_the_log_is_exported_as_lines(past: House, says: Callable[..., Said], tmp_path: Path) -> None:
    said = await asyncio.to_thread(says, "export", str(tmp_path / "log.jsonl"), "--account", ACCOUNT)
    lines = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert (said.code, len(lines)) == (0, said.told["lines"])
    assert lines[0]["event"]["t"] == "account.opened"
    signed = await asyncio.to_thread(says, "export", str(tmp_path / "signed.jsonl"), "--checkpoints")
    assert signed.told["lines"] == 1
    again = await asyncio.to_thread(says, "export", str(tmp_path / "log.jsonl"))
    assert again.fault.exit_code == 3, "nothing is overwritten"


async def test_read_models_edited_by_hand_are_found_and_rebuilt(past: House, says: Callable[..., Said]) -> None:
    assert (await asyncio.to_thread(says, "diff-projection")).told == {
        "ok": True,
        "rows": 6,
        "differing": 0,
        "rebuilt": False,
    }
    change(past, "views", "UPDATE views_balance SET available = available + 1")
    change(past, "views", "DELETE FROM views_usage")
    said = await asyncio.to_thread(says, "diff-projection")
    assert (said.code, said.told["differing"]) == (1, 3)
    assert sum("views_usage" in line for line in said.lines) == 2
    assert (await asyncio.to_thread(says, "diff-projection", "--rebuild")).code == 0
    await past.close(await past.ledger())
    assert (await asyncio.to_thread(says, "diff-projection")).told["differing"] == 0


async def test_a_damaged_block_halts_its_journal_and_comes_back_from_the_stream(
    past: House, says: Callable[..., Said]
) -> None:
    change_block(past, JOURNAL, 2)
    ledger = await past.ledger()
    await asyncio.to_thread(ledger.auditor.round)
    await asyncio.to_thread(ledger.auditor.scrub)
    await past.until(lambda: list(ledger.halted) == [JOURNAL])
    assert f"journal {JOURNAL} block 2: its content was changed" in ledger.halted[JOURNAL]
    await ledger.reopen()
    assert JOURNAL not in ledger.desks, "the damage lies before the snapshot, and is still there"
    planned = await asyncio.to_thread(says, "repair", "--from", "stream")
    assert (planned.code, planned.told["journals"], planned.told["done"]) == (0, [JOURNAL], False)
    assert f"journal {JOURNAL}: blocks to add none, blocks to put right [2]" in planned.lines
    assert (await asyncio.to_thread(says, "verify", "--journal", str(JOURNAL))).code == 1, "a plan changes nothing"
    assert (await asyncio.to_thread(says, "repair", "--from", "stream", "--yes")).code == 0
    await past.until(lambda: not ledger.halted)
    assert (await asyncio.to_thread(says, "verify", "--cross")).code == 0
    assert (await past.balance(ACCOUNT)).available_nusd == 998_895_000
    await past.opened(ACCOUNT, 5)
    with pytest.raises(Exception, match="append only"):
        change(past, "journal", "UPDATE ledger_block SET n = 1", is_forced=False)


async def test_a_database_restored_from_an_old_backup_halts_and_gets_its_blocks_back(
    past: House, says: Callable[..., Said]
) -> None:
    change(past, "journal", f"DELETE FROM ledger_block WHERE journal = {JOURNAL} AND seq > 3")
    change(past, "views", "DELETE FROM views_watermark")
    ledger = await past.ledger()
    assert list(ledger.halted) == [JOURNAL]
    assert "the LEDGER stream has block" in ledger.halted[JOURNAL]
    said = await asyncio.to_thread(says, "repair", "--from", "stream", "--yes")
    assert said.told["journals"] == [JOURNAL]
    await past.until(lambda: not ledger.halted)
    assert (await asyncio.to_thread(says, "verify", "--cross")).code == 0
    assert (await past.balance(ACCOUNT)).available_nusd == 998_895_000


async def test_two_histories_are_not_mended(past: House, says: Callable[..., Said]) -> None:
    rewrite(past, JOURNAL)
    said = await asyncio.to_thread(says, "repair", "--from", "stream")
    assert said.told["journals"] == [JOURNAL]
    assert (await asyncio.to_thread(says, "repair", "--from", "nothing")).fault.exit_code == 2


async def test_a_sound_journal_needs_no_repair(past: House, says: Callable[..., Said]) -> None:
    said = await asyncio.to_thread(says, "repair", "--from", "stream", "--yes")
    assert (said.code, said.told["journals"]) == (0, [])


async def test_the_past_at_other_prices(past: House, says: Callable[..., Said], tmp_path: Path) -> None:
    prices = tmp_path / "prices.json"
    prices.write_text('{"openai:gpt-4o": {"input": 0, "output": 2000000000}}')
    said = await asyncio.to_thread(says, "simulate", "--prices", str(prices))
    assert said.told == {"ok": True, "requests": 1, "repriced": 1, "costNusd": 105_000, "newCostNusd": 205_000}
    prices.write_text("{")
    assert (await asyncio.to_thread(says, "simulate", "--prices", str(prices))).fault.exit_code == 2


async def test_the_doctor_looks_at_what_money_rests_on(past: House, says: Callable[..., Said]) -> None:
    said = await asyncio.to_thread(says, "doctor")
    assert said.code == 0, said.lines
    assert any("open holds" in line and "1, oldest 0 ms" in line for line in said.lines)
    assert any("syncs every message" in line for line in said.lines)


def test_without_a_journal_there_is_one_sentence(tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["verify", "--data", str(tmp_path)])
    assert isinstance(result.exception, CommandError)
    assert result.exception.exit_code == 3
    assert json.loads(result.output.splitlines()[-1])["ok"] is False
    assert not (tmp_path / "journal.db").exists(), "looking makes nothing"


@pytest.mark.parametrize(
    ("moment", "expected"),
    [
        ("", (2**63, 2**63)),
        ("7", (7, 2**63)),
        ("1970-01-01T00:00:01.5Z", (2**63, 1_500_000)),
        ("1970-01-02", (2**63, 86_400_000_000)),
    ],
)
def test_moments(moment: str, expected: tuple[int, int]) -> None:
    assert limits(moment) == expected


# -- doing harm


def change(house: House, part: str, statement: str, *, is_forced: bool = True) -> None:
    """Change a database as somebody with full power over it would: triggers off."""
    url = house.environ.get("TOLLWAY_DATABASE_URL")
    if url is None:
        connection = sqlite3.connect(house.directory / f"{part}.db", isolation_level=None)
        if is_forced and part == "journal":
            for name in ("update", "delete"):
                connection.execute(f"DROP TRIGGER IF EXISTS ledger_block_no_{name}")
        connection.execute(statement)
        if is_forced and part == "journal":
            for name in ("update", "delete"):
                connection.execute(
                    f"CREATE TRIGGER ledger_block_no_{name} BEFORE {name} ON ledger_block "
                    "BEGIN SELECT RAISE(ABORT, 'ledger_block is append only'); END"
                )
        connection.close()
        return
    engine = open_engine(url)
    try:
        with engine.begin() as transaction:
            if is_forced:
                transaction.execute(text("SET LOCAL session_replication_role = replica"))
            transaction.execute(text(statement))
    finally:
        engine.dispose()


def change_block(house: House, journal: int, seq: int) -> None:
    """Flip one bit of a stored body."""
    engine = open_engine(house.environ.get("TOLLWAY_DATABASE_URL") or f"sqlite:///{house.directory}/journal.db")
    with engine.connect() as connection:
        query = text(f"SELECT body FROM ledger_block WHERE journal = {journal} AND seq = {seq}")
        body = bytearray(bytes(connection.execute(query).scalar_one()))
    engine.dispose()
    body[len(body) // 2] ^= 1
    literal = f"X'{body.hex()}'" if "TOLLWAY_DATABASE_URL" not in house.environ else f"decode('{body.hex()}', 'hex')"
    change(house, "journal", f"UPDATE ledger_block SET body = {literal} WHERE journal = {journal} AND seq = {seq}")


def rewrite(house: House, journal: int) -> None:
    """A consistent other history: the same events, one amount changed, hashes made anew."""
    from tollway.ledger.journal.block import Head, build, events_of, head_of
    from tollway.ledger.journal.store import JournalStore

    url = house.environ.get("TOLLWAY_DATABASE_URL") or f"sqlite:///{house.directory}/journal.db"
    store = JournalStore(open_engine(url, is_writer=True))
    old = store.read(journal, after=0)
    change(house, "journal", f"DELETE FROM ledger_block WHERE journal = {journal}")
    head = Head()
    for block in old[:3]:
        made = build(journal, head, epoch=block.epoch, ts=block.ts + 1, events=events_of(block))
        store.append([made])
        head = head_of(made)
    store.let_go()
    store.engine.dispose()
