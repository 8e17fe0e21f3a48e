"""A backup has everything that cannot be made again, and comes back only where it fits."""

import sqlite3
import stat
import tarfile
from contextlib import closing
from pathlib import Path

import msgspec
import pytest

from tollway.cli.backup import Manifest, backup, restore
from tollway.cli.errors import CommandError
from tollway.cli.place import LAYOUT, Credentials, Place, State


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A data directory in miniature."""
    place = Place(tmp_path / "data")
    place.claim()
    place.save(
        State(layout=LAYOUT, version="0.1.0", is_bootstrapped=True, ports={"nats": 4222}, passwords={"cli": "p"})
    )
    place.save_credentials(Credentials("http://x", "http://x/api", "ac_1", "tw-1", "twapi-1"))
    for name in ("journal.db", "views.db", "auth.db"):
        with closing(sqlite3.connect(place.root / name)) as database:
            database.execute("PRAGMA journal_mode=WAL")
            database.execute("CREATE TABLE marked (name TEXT)")
            database.execute("INSERT INTO marked VALUES (?)", (name,))
            database.commit()
    (place.root / "master.key").write_text("1:key\n")
    (place.root / "audit.key").write_text("signs\n")
    (place.root / "outbox-default-0").mkdir()
    (place.root / "outbox-default-0" / "facts.log").write_bytes(b"facts")
    (place.root / "logs" / "auth.log").write_text("not worth saving")
    place.release()
    return place.root


def marked(path: Path) -> str:
    with closing(sqlite3.connect(path)) as database:
        return database.execute("SELECT name FROM marked").fetchone()[0]


def test_what_was_saved_comes_back(data: Path, tmp_path: Path) -> None:
    backup(data, tmp_path / "saved.tar.gz")
    restore(tmp_path / "saved.tar.gz", tmp_path / "restored")
    restored = tmp_path / "restored"
    assert [marked(restored / name) for name in ("journal.db", "views.db", "auth.db")] == [
        "journal.db", "views.db", "auth.db",
    ]  # fmt: skip
    assert (restored / "master.key").read_text() == "1:key\n"
    assert (restored / "audit.key").read_text() == "signs\n"
    assert (restored / "outbox-default-0" / "facts.log").read_bytes() == b"facts"
    state = Place(restored).load()
    assert state is not None
    assert (state.is_bootstrapped, state.passwords, state.ports) == (True, {"cli": "p"}, {})


def test_a_database_that_is_being_written_is_saved_whole(data: Path, tmp_path: Path) -> None:
    with closing(sqlite3.connect(data / "journal.db")) as writer:
        writer.execute("BEGIN IMMEDIATE")
        writer.execute("INSERT INTO marked VALUES ('not committed')")
        backup(data, tmp_path / "saved.tar.gz")
        writer.rollback()
    restore(tmp_path / "saved.tar.gz", tmp_path / "restored")
    with closing(sqlite3.connect(tmp_path / "restored" / "journal.db")) as database:
        assert database.execute("SELECT count(*) FROM marked").fetchone()[0] == 1


def test_facts_are_saved_before_the_journal_and_views_before_it_too(data: Path, tmp_path: Path) -> None:
    names = backup(data, tmp_path / "saved.tar.gz").names
    assert names.index("outbox-default-0/facts.log") < names.index("views.db") < names.index("journal.db")
    assert not [name for name in names if name.startswith(("logs", "jetstream", "nats"))]


def test_the_archive_and_what_comes_out_of_it_are_private(data: Path, tmp_path: Path) -> None:
    backup(data, tmp_path / "saved.tar.gz")
    restore(tmp_path / "saved.tar.gz", tmp_path / "restored")
    files = [tmp_path / "saved.tar.gz", *(path for path in (tmp_path / "restored").rglob("*") if path.is_file())]
    assert {stat.S_IMODE(path.stat().st_mode) for path in files} == {0o600}


def test_a_directory_with_something_in_it_is_not_restored_into(data: Path, tmp_path: Path) -> None:
    backup(data, tmp_path / "saved.tar.gz")
    with pytest.raises(CommandError, match="is not empty"):
        restore(tmp_path / "saved.tar.gz", data)


def test_what_is_no_data_directory_is_not_backed_up(tmp_path: Path) -> None:
    with pytest.raises(CommandError, match="is not a data directory"):
        backup(tmp_path, tmp_path / "saved.tar.gz")


def archive(path: Path, files: dict[str, bytes], manifest: Manifest) -> Path:
    """An archive that backup would not write."""
    with tarfile.open(path, "w:gz") as tar:
        for name, content in {"manifest.json": msgspec.json.encode(manifest), **files}.items():
            source = path.with_name("source")
            source.write_bytes(content)
            tar.add(source, arcname=name)
    return path


@pytest.mark.parametrize("name", ["../escaped", "/tmp/escaped", "outbox-x/../../escaped", ".bashrc", "outbox-a/b/c"])
def test_an_archive_cannot_write_what_a_backup_does_not_have(tmp_path: Path, name: str) -> None:
    forged = archive(tmp_path / "forged.tar.gz", {name: b"x"}, Manifest(LAYOUT, "0.1.0", 0, (name,)))
    with pytest.raises(CommandError, match="no backup has"):
        restore(forged, tmp_path / "in" / "restored")


def test_an_archive_of_another_layout_is_refused(tmp_path: Path) -> None:
    newer = archive(tmp_path / "newer.tar.gz", {}, Manifest(LAYOUT + 1, "2.0.0", 0, ()))
    with pytest.raises(CommandError, match=r"restore it with Tollway 2\.0\.0"):
        restore(newer, tmp_path / "restored")


def test_a_damaged_database_is_named(data: Path, tmp_path: Path) -> None:
    with (data / "journal.db").open("r+b") as file:
        file.seek(0)
        file.write(b"\0" * 100)
    with pytest.raises(CommandError, match=r"journal\.db|not a database"):
        backup(data, tmp_path / "saved.tar.gz")


def test_a_file_that_is_no_archive_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "text").write_text("hello")
    with pytest.raises(CommandError, match="Cannot restore") as caught:
        restore(tmp_path / "text", tmp_path / "restored")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_half_of_an_archive_leaves_nothing_behind(data: Path, tmp_path: Path, share: float) -> None:
    backup(data, tmp_path / "saved.tar.gz")
    whole = (tmp_path / "saved.tar.gz").read_bytes()
    (tmp_path / "half.tar.gz").write_bytes(whole[: int(len(whole) * share)])
    with pytest.raises(CommandError, match="Cannot restore"):
        restore(tmp_path / "half.tar.gz", tmp_path / "restored")
    restore(tmp_path / "saved.tar.gz", tmp_path / "restored")
