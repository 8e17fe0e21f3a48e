"""The data directory: whose it is, which layout it has, who may read what is in it."""

import os
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from tollway.cli.errors import CommandError
from tollway.cli.place import LAYOUT, Credentials, Place, State, new_passwords

STATE = State(layout=LAYOUT, version="0.1.0", ports={"nats": 4222}, passwords={"auth": "p1"})
HOLD = """
import sys, time
from pathlib import Path
from tollway.cli.place import Place
place = Place(Path(sys.argv[1]))
place.claim()
print("held", flush=True)
time.sleep(600)
"""


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_a_new_directory_has_no_state_and_belongs_to_its_owner_alone(tmp_path: Path) -> None:
    place = Place(tmp_path / "data")
    assert place.claim() is None
    assert mode(place.root) == 0o700
    place.release()


def test_what_was_saved_is_found_again(tmp_path: Path) -> None:
    place = Place(tmp_path / "data")
    place.claim()
    place.save(STATE)
    place.release()
    again = Place(tmp_path / "data")
    assert again.claim() == STATE
    again.release()


def test_secrets_are_readable_by_their_owner_alone(tmp_path: Path) -> None:
    place = Place(tmp_path / "data")
    place.claim()
    place.save(STATE)
    place.save_credentials(Credentials("http://x", "http://x/api", "ac_1", "tw-…", "twapi-…"))
    assert mode(place.root / "tollway.json") == mode(place.root / "credentials.json") == 0o600
    place.release()


def test_credentials_are_written_under_the_names_that_scripts_read(tmp_path: Path) -> None:
    place = Place(tmp_path / "data")
    place.claim()
    made = Credentials("http://x", "http://x/api", "ac_1", "tw-…", "twapi-…")
    place.save_credentials(made)
    written = msgspec.json.decode((place.root / "credentials.json").read_bytes())
    assert list(written) == ["baseUrl", "apiUrl", "accountId", "accessKey", "apiKey"]
    assert place.credentials() == made
    place.release()


def test_data_of_another_layout_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "tollway.json").write_text('{"layout": 99, "version": "9.9"}')
    with pytest.raises(CommandError, match="has data of layout 99"):
        Place(tmp_path).claim()


def test_a_damaged_state_is_named(tmp_path: Path) -> None:
    (tmp_path / "tollway.json").write_text("{")
    with pytest.raises(CommandError, match="is damaged"):
        Place(tmp_path).claim()


def test_a_directory_with_somebody_elses_files_is_refused(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").touch()
    with pytest.raises(CommandError, match="was not made by Tollway"):
        Place(tmp_path).claim()
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


def test_a_file_in_the_way_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "data").touch()
    with pytest.raises(CommandError, match=r"Cannot use .* as data directory"):
        Place(tmp_path / "data").claim()


@pytest.fixture
def as_nobody(tmp_path: Path) -> Iterator[None]:
    """Root may write everywhere: be nobody for a while, or take our own permission away."""
    if os.geteuid() == 0:
        os.seteuid(65534)
        yield
        os.seteuid(0)
    else:
        tmp_path.chmod(0o500)
        yield


def test_a_directory_without_permission_is_one_sentence(tmp_path: Path, as_nobody: None) -> None:
    with pytest.raises(CommandError, match="No permission to write"):
        Place(tmp_path / "data").claim()


def test_a_second_holder_is_told_who_holds_it(tmp_path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", HOLD, str(tmp_path)], stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        try:
            with pytest.raises(CommandError, match=f"process {holder.pid}"):
                Place(tmp_path).claim()
        finally:
            holder.kill()


def test_passwords_differ_and_are_never_read_as_numbers() -> None:
    passwords = new_passwords(["a", "b"])
    assert passwords["a"] != passwords["b"]
    assert all(word[0].isalpha() and len(word) > 32 for word in passwords.values())
