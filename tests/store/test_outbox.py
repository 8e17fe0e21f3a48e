"""The outbox: durable before anybody hears of it, whole after a crash, forgotten when settled."""

import asyncio
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tollway.store import outbox as module
from tollway.store.outbox import WRITE_TURNS, Outbox, OutboxError, adopt, claim


def reopened(outbox: Outbox, data_dir: Path) -> Outbox:
    """The same directory after the process that held it is gone."""
    outbox.release()
    return claim(data_dir, "default")


def log_of(outbox: Outbox) -> Path:
    return outbox.directory / "facts.log"


async def test_what_was_kept_is_there_after_a_crash(tmp_path: Path) -> None:
    outbox = claim(tmp_path, "default")
    await outbox.append("rq_1", 7, b"one")
    await outbox.append("rq_2", 8, b"two")
    again = reopened(outbox, tmp_path)
    assert again.id == outbox.id
    assert {key: entry.group for key, entry in again.entries.items()} == {"rq_1": 7, "rq_2": 8}
    assert await again.read(["rq_2", "rq_1", "rq_unknown"]) == {"rq_2": b"two", "rq_1": b"one"}
    again.release()


async def test_what_waits_while_a_sync_runs_goes_into_the_next_one(tmp_path: Path) -> None:
    outbox = claim(tmp_path, "default")
    first = asyncio.ensure_future(outbox.append("rq_first", 0, b"x"))
    for _ in range(WRITE_TURNS + 1):
        await asyncio.sleep(0)
    await asyncio.gather(first, *(outbox.append(f"rq_{nth}", 0, b"x") for nth in range(499)))
    assert outbox.syncs == 2
    assert len(reopened(outbox, tmp_path).entries) == 500


async def test_what_is_ready_at_the_same_time_is_synced_together(tmp_path: Path) -> None:
    outbox = claim(tmp_path, "default")
    await asyncio.gather(*(outbox.append(f"rq_{nth}", 0, b"x") for nth in range(50)))
    assert outbox.syncs == 1
    outbox.release()


async def test_what_is_settled_is_forgotten_for_good_once_something_else_is_written(tmp_path: Path) -> None:
    outbox = claim(tmp_path, "default")
    await outbox.append("rq_1", 0, b"one")
    outbox.settle(["rq_1", "rq_unknown"])
    assert not outbox.entries
    await outbox.append("rq_2", 0, b"two")
    assert set(reopened(outbox, tmp_path).entries) == {"rq_2"}


async def test_a_proper_end_writes_what_is_settled(tmp_path: Path) -> None:
    outbox = claim(tmp_path, "default")
    await outbox.append("rq_1", 0, b"one")
    outbox.settle(["rq_1"])
    await outbox.close()
    again = claim(tmp_path, "default")
    assert not again.entries
    again.release()


@pytest.mark.parametrize("lost_bytes", range(1, 60, 7))
async def test_a_torn_tail_is_cut_off_and_what_was_before_it_stays(tmp_path: Path, lost_bytes: int) -> None:
    outbox = claim(tmp_path, "default")
    await outbox.append("rq_1", 0, b"one")
    await outbox.append("rq_2", 0, b"t" * 60)
    size = log_of(outbox).stat().st_size
    os.truncate(log_of(outbox), size - lost_bytes)
    again = reopened(outbox, tmp_path)
    assert set(again.entries) == {"rq_1"}
    assert again.torn_bytes > 0
    await again.append("rq_3", 0, b"three")
    assert set(reopened(again, tmp_path).entries) == {"rq_1", "rq_3"}


async def test_a_damaged_record_is_passed_over_and_counted(tmp_path: Path) -> None:
    outbox = claim(tmp_path, "default")
    for key in ("rq_1", "rq_2", "rq_3"):
        await outbox.append(key, 0, b"body of " + key.encode())
    data = bytearray(log_of(outbox).read_bytes())
    data[data.index(b"body of rq_2")] ^= 1
    log_of(outbox).write_bytes(bytes(data))
    again = reopened(outbox, tmp_path)
    assert (set(again.entries), again.damaged) == ({"rq_1", "rq_3"}, 1)
    again.release()


async def test_two_processes_never_share_a_directory(tmp_path: Path) -> None:
    one, two = claim(tmp_path, "default"), claim(tmp_path, "default")
    assert one.directory != two.directory
    assert one.id != two.id
    assert claim(tmp_path, "other").directory.name == "outbox-other-0"


async def test_an_orphan_with_facts_is_adopted_and_one_without_is_left_alone(tmp_path: Path) -> None:
    mine, dead, empty = (claim(tmp_path, "default") for _ in range(3))
    await dead.append("rq_1", 0, b"one")
    assert adopt(tmp_path, "default") == []
    dead.release()
    empty.release()
    (orphan,) = adopt(tmp_path, "default")
    assert (orphan.id, set(orphan.entries)) == (dead.id, {"rq_1"})
    assert claim(tmp_path, "default").id == empty.id
    mine.release()


def test_an_orphan_is_free_when_its_process_was_killed(tmp_path: Path) -> None:
    script = (
        "import sys,time;from pathlib import Path;from tollway.store.outbox import claim;"
        "box=claim(Path(sys.argv[1]),'default');print(box.id,flush=True);time.sleep(60)"
    )
    process = subprocess.Popen([sys.executable, "-c", script, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    name = process.stdout.readline().strip()
    other = claim(tmp_path, "default")
    assert other.id != name
    process.kill()
    process.wait()
    process.stdout.close()
    assert claim(tmp_path, "default").id == name
    other.release()


async def test_the_file_is_rewritten_without_what_is_settled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "REWRITE_BYTES_MIN", 10_000)
    outbox = claim(tmp_path, "default")
    for nth in range(20):
        await outbox.append(f"rq_{nth}", nth, b"%d" % nth * 1000)
    size = log_of(outbox).stat().st_size
    outbox.settle([f"rq_{nth}" for nth in range(18)])
    await outbox.append("rq_last", 5, b"last")
    await outbox.append("rq_after", 6, b"after")
    assert log_of(outbox).stat().st_size < size / 4
    assert await outbox.read(["rq_19", "rq_last", "rq_after"]) == {
        "rq_19": b"19" * 1000,
        "rq_last": b"last",
        "rq_after": b"after",
    }
    again = reopened(outbox, tmp_path)
    assert set(again.entries) == {"rq_18", "rq_19", "rq_last", "rq_after"}
    again.release()


async def test_a_full_disk_is_said_and_nothing_half_written_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    outbox = claim(tmp_path, "default")
    await outbox.append("rq_1", 0, b"one")
    size = log_of(outbox).stat().st_size
    whole = module._write_all

    def full(file: int, data: bytes, offset: int) -> None:
        whole(file, data[:10], offset)
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(module, "_write_all", full)
    with pytest.raises(OutboxError, match="No space left"):
        await outbox.append("rq_2", 0, b"two")
    assert outbox.error is not None
    assert log_of(outbox).stat().st_size == size
    outbox.probe()
    with pytest.raises(OutboxError):
        await outbox.append("rq_2", 0, b"two")
    monkeypatch.setattr(module, "_write_all", whole)
    outbox.probe()
    await outbox.append("rq_3", 0, b"three")
    assert outbox.error is None
    assert set(reopened(outbox, tmp_path).entries) == {"rq_1", "rq_3"}


async def test_a_file_of_something_else_is_not_overwritten(tmp_path: Path) -> None:
    directory = tmp_path / "outbox-default-0"
    directory.mkdir()
    (directory / "facts.log").write_bytes(b"somebody's letters, not an outbox at all")
    with pytest.raises(OutboxError, match="not an outbox"):
        claim(tmp_path, "default")
    assert (directory / "facts.log").read_bytes().startswith(b"somebody's letters")


async def test_a_first_write_that_was_torn_begins_anew(tmp_path: Path) -> None:
    directory = tmp_path / "outbox-default-0"
    directory.mkdir()
    (directory / "facts.log").write_bytes(module.HEADER[:5])
    outbox = claim(tmp_path, "default")
    await outbox.append("rq_1", 0, b"one")
    assert set(reopened(outbox, tmp_path).entries) == {"rq_1"}
