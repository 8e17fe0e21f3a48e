"""Whatever the machine says no to, the person at the terminal reads one sentence, and a script an exit code."""

import json
import socket
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tollway.cli.__main__ import main
from tollway.cli.place import Credentials
from tollway.cli.up import greeting
from tollway.cli.version import version

Say = Callable[..., tuple[int | str | None, str]]


@pytest.fixture
def say(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Say:
    """Run a command; its exit code, and what it said to the person."""

    def run(*words: str) -> tuple[int | str | None, str]:
        monkeypatch.setattr(sys, "argv", ["tollway", *words])
        with pytest.raises(SystemExit) as ended:
            main()
        said = capsys.readouterr()
        return ended.value.code, said.err or said.out

    return run


def damaged(tmp_path: Path) -> Path:
    (tmp_path / "damaged").mkdir()
    for part in ("journal", "views", "auth"):
        (tmp_path / "damaged" / f"{part}.db").write_bytes(b"no database" * 100)
    return tmp_path / "damaged"


CASES = {
    "a file for a directory": (("migrate", "--data", "/dev/null"), "/dev/null: File exists."),
    "a directory that cannot be": (("doctor", "--data", "/dev/null"), "/dev/null/tollway.json: Not a directory."),
    "a damaged database": (("migrate", "--data", "DAMAGED"), "file is not a database"),
    "a database that is none": (("migrate", "--data", "DATA", "--database-url", "x"), "expected postgresql+psycopg://"),
    "no tables yet": (("install", "account"), "run `tollway migrate`"),
    "a port in use": (("simulator", "--port", "PORT"), "in use"),
}


@pytest.mark.parametrize("name", CASES)
def test_what_the_machine_does_not_allow_is_one_sentence(
    name: str, say: Say, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TOLLWAY_DATA_DIR", str(tmp_path))
    words, sentence = CASES[name]
    with socket.create_server(("127.0.0.1", 0)) as taken:
        real = {"DAMAGED": str(damaged(tmp_path)), "DATA": str(tmp_path), "PORT": str(taken.getsockname()[1])}
        code, said = say(*(real.get(word, word) for word in words))
    assert code == 1
    assert said.startswith("tollway: ")
    assert sentence in said
    assert len(said.splitlines()) == 1


@pytest.mark.parametrize(("has_simulator", "model"), [(True, "simulator:echo"), (False, "tollway/auto")])
def test_the_first_start_prints_a_request_for_what_there_is(has_simulator: bool, model: str) -> None:
    keys = Credentials("http://x", "http://x/api", "ac_1", "tw-1", "twapi-1")
    [said] = [line for line in greeting(keys, has_simulator=has_simulator) if line.startswith("    -d ")]
    body = json.loads(said.removeprefix("    -d ").strip("'"))
    assert body["model"] == model
    assert has_simulator or body["max_completion_tokens"] <= 1_000


def test_the_version_and_the_help_answer_to_their_usual_names(say: Say) -> None:
    assert say("--version") == (0, f"{version()}\n")
    assert say("-h")[1] == say("--help")[1]
    assert say("up", "-h")[0] == 0
    assert say("nonsense")[0] == 2
