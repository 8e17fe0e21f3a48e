"""`tollway ledger …` where there is nothing, or nothing good, to look at: one sentence, a line for scripts, a code."""

import asyncio
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import typer
from sqlalchemy import text
from sqlalchemy.engine import make_url
from typer.testing import CliRunner

from tests.ledger.conftest import new_database
from tests.ledger.house import House, fact
from tests.ledger.story import Story
from tests.ledger.test_flips import change
from tests.ledger.test_journal import write_story
from tests.ledger.test_views import blocks_and_events
from tollway.cli.errors import CommandError
from tollway.cli.ledger import app
from tollway.ledger.audit import projection
from tollway.ledger.audit.keys import signer_of
from tollway.ledger.journal.store import JournalStore
from tollway.ledger.views.projector import Projector
from tollway.ledger.views.store import ViewStore
from tollway.store import migrate
from tollway.store.engine import open_engine
from tollway.wire.subjects import journal_of

ACCOUNT = "acc_house"


class Said:
    """How a command ended: its code, its last line, and what it said besides."""

    def __init__(self, result: Any) -> None:
        fault = result.exception
        assert fault is None or isinstance(fault, CommandError | SystemExit), repr(fault)
        self.code = fault.exit_code if isinstance(fault, CommandError) else result.exit_code
        self.told = json.loads(result.stdout.splitlines()[-1])
        self.progress = result.stderr
        assert self.told["ok"] == (self.code == 0)


def say(*words: str) -> Said:
    return Said(CliRunner().invoke(app, list(words)))


@pytest.fixture
def words(tmp_path: Path) -> dict[str, tuple[str, ...]]:
    """Each command with what it needs besides a place."""
    signer_of(tmp_path / "mine.key")
    (tmp_path / "prices.json").write_text("{}")
    return {
        "verify": (),
        "replay": (),
        "audit": ("--account", ACCOUNT),
        "export": (str(tmp_path / "out.jsonl"),),
        "seal": ("--key", str(tmp_path / "mine.key")),
        "diff-projection": (),
        "simulate": ("--prices", str(tmp_path / "prices.json")),
        "repair": ("--from", "stream"),
        "doctor": (),
    }


COMMANDS = ("verify", "replay", "audit", "export", "seal", "diff-projection", "simulate", "repair", "doctor")


def a_journal(directory: Path) -> Path:
    """A data directory with tables and a past."""
    directory.mkdir(exist_ok=True)
    for part in ("journal", "views"):
        migrate.upgrade(f"sqlite:///{directory}/{part}.db", part)  # type: ignore[arg-type]
    store = JournalStore(open_engine(f"sqlite:///{directory}/journal.db", is_writer=True))
    story = Story().with_credit(10**9).with_hold("rq_1")
    story.must(story.fact("rq_1"))
    write_story(store, story)
    store.let_go()
    store.engine.dispose()
    return directory


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A journal that nobody changes."""
    return a_journal(tmp_path_factory.mktemp("sound"))


# -- help


def test_every_command_and_every_option_explains_itself() -> None:
    group = typer.main.get_command(app)
    commands = group.commands  # type: ignore[attr-defined]
    assert set(commands) == set(COMMANDS)
    for name, command in commands.items():
        assert command.help, name
        silent = [option.name for option in command.params if not getattr(option, "help", None)]
        assert silent == [], name
        shown = CliRunner().invoke(app, [name, "--help"])
        assert (shown.exit_code, "Usage" in shown.output) == (0, True)


# -- places that are no ledger


def nothing(place: Path, _sound: Path) -> None:
    """The directory is not there."""


def empty(place: Path, _sound: Path) -> None:
    place.mkdir()


def a_file(place: Path, _sound: Path) -> None:
    place.write_text("not a directory")


def other_files(place: Path, _sound: Path) -> None:
    place.mkdir()
    for part in ("journal", "views"):
        (place / f"{part}.db").write_text("not a database, but long enough to be taken for one " * 100)


def empty_files(place: Path, _sound: Path) -> None:
    place.mkdir()
    for part in ("journal", "views"):
        (place / f"{part}.db").touch()


def cut_files(place: Path, sound: Path) -> None:
    place.mkdir()
    for part in ("journal", "views"):
        whole = (sound / f"{part}.db").read_bytes()
        (place / f"{part}.db").write_bytes(whole[: len(whole) // 2])


def another_version(place: Path, sound: Path) -> None:
    shutil.copytree(sound, place)
    for part in ("journal", "views"):
        engine = open_engine(f"sqlite:///{place}/{part}.db", is_writer=True)
        with engine.begin() as connection:
            connection.execute(text(f"UPDATE alembic_version_{part} SET version_num = '9999'"))
        engine.dispose()


PLACES: dict[Callable[[Path, Path], None], str] = {
    nothing: "has no journal.db",
    empty: "has no journal.db",
    a_file: "has no journal.db",
    other_files: "journal.db cannot be read: file is not a database",
    empty_files: "journal.db has no tables of a ledger",
    cut_files: "journal.db cannot be read: database disk image is malformed",
    another_version: "this version needs",
}


@pytest.mark.parametrize(("make", "sentence"), PLACES.items(), ids=[make.__name__ for make in PLACES])
def test_what_is_no_ledger_is_said_in_one_sentence(
    tmp_path: Path, sound: Path, words: dict[str, tuple[str, ...]], make: Callable[[Path, Path], None], sentence: str
) -> None:
    place = tmp_path / "place"
    make(place, sound)
    before = sorted(place.rglob("*")) if place.is_dir() else []
    for command in COMMANDS:
        said = say(command, *words[command], "--data", str(place))
        assert said.code == 3, command
        assert sentence in said.told["error"], command
    assert not (tmp_path / "out.jsonl").exists()
    assert (sorted(place.rglob("*")) if place.is_dir() else []) == before, "looking makes nothing"


@pytest.mark.parametrize(
    ("url", "code", "sentence"),
    [
        ("postgresql+psycopg://u:p@127.0.0.1:1/none", 3, "The database cannot be read"),
        ("mysql://u@h/d", 2, "expected postgresql+psycopg://"),
        ("nonsense", 2, "expected postgresql+psycopg://"),
    ],
)
def test_a_server_that_is_none_is_said_in_one_sentence(url: str, code: int, sentence: str) -> None:
    said = say("verify", "--database-url", url)
    assert (said.code, sentence in said.told["error"]) == (code, True), said.told
    assert "p@127" not in said.told["error"], "a password is not repeated"


def test_a_server_that_forbids_reading_is_said_in_one_sentence(postgresql: Any) -> None:
    url = new_database(postgresql)
    for part in ("journal", "views"):
        migrate.upgrade(url, part)  # type: ignore[arg-type]
    postgresql.psql("do $$ begin create role nobody_reads login; exception when duplicate_object then null; end $$")
    said = say(
        "verify", "--database-url", make_url(url).set(username="nobody_reads").render_as_string(hide_password=False)
    )
    assert (said.code, "permission denied" in said.told["error"]) == (3, True), said.told


@pytest.mark.skipif(os.geteuid() == 0, reason="nothing is forbidden to root")
def test_a_directory_that_forbids_reading_is_said_in_one_sentence(tmp_path: Path) -> None:
    place = a_journal(tmp_path / "place")
    place.chmod(0)
    try:
        assert say("verify", "--data", str(place)).code == 3
    finally:
        place.chmod(0o700)


@pytest.mark.parametrize("command", ["verify", "replay", "audit", "export", "seal", "simulate"])
def test_what_needs_no_read_models_works_without_them(
    tmp_path: Path, words: dict[str, tuple[str, ...]], command: str
) -> None:
    place = a_journal(tmp_path / "place")
    (place / "views.db").unlink()
    assert say(command, *words[command], "--data", str(place)).code == 0


# -- files beside it


def test_bad_lines_among_checkpoints_are_named_and_the_good_ones_are_checked(tmp_path: Path) -> None:
    place = a_journal(tmp_path / "place")
    kept, key = tmp_path / "kept.jsonl", tmp_path / "mine.key"
    signer_of(key)
    assert say("seal", "--key", str(key), "--file", str(kept), "--data", str(place)).code == 0
    good = kept.read_bytes()
    bad = [b"", b"{", b"\xff\xfe", b'{"id":1}', good.strip().replace(b'"signature":"', b'"signature":"zz')]
    bad.append(good.strip().replace(b'"body":"{', b'"body":"['))
    kept.write_bytes(b"\n".join(bad) + b"\n" + good)
    said = say("verify", "--data", str(place), "--checkpoints", str(kept), "--key", str(tmp_path / "mine.pub"))
    assert said.code == 1
    lines = [f"{kept} line {number} is not a checkpoint" for number in range(1, len(bad) + 1)]
    assert [any(one.startswith(line) for one in said.told["findings"]) for line in lines] == [True] * len(bad)
    assert (len(said.told["findings"]), said.told["checkpoints"]) == (len(bad), 1)


@pytest.mark.parametrize(
    "arguments",
    [
        ("verify", "--checkpoints", "{}/none.jsonl"),
        ("verify", "--key", "{}/none.pub"),
        ("verify", "--key", "{}/words.txt"),
        ("seal", "--key", "{}/none.key"),
        ("seal", "--key", "{}/words.txt"),
        ("simulate", "--prices", "{}/none.json"),
        ("export", "{}/no/such/place.jsonl"),
    ],
)
def test_a_file_that_is_not_what_it_should_be_is_named(tmp_path: Path, sound: Path, arguments: tuple[str, ...]) -> None:
    (tmp_path / "words.txt").write_text("no key")
    said = say(*(word.format(tmp_path) for word in arguments), "--data", str(sound))
    assert (said.code, str(tmp_path) in said.told["error"]) == (3, True), said.told
    assert "Errno" not in said.told["error"]


@pytest.mark.parametrize(
    ("prices", "sentence"),
    [
        ("{", "truncated"),
        ('{"openai:gpt-4o": {"input": 1}}', "missing required field"),
        ('{"openai:gpt-4o": {"input": -1, "output": 2}}', "below zero"),
        ('{"openai:gpt-4o": {"input": 1, "output": 2, "tiers": [{"above_tokens_input": 1, "input": 1, "output": -2}]}}',
         "below zero"),
        ('{"openai:gpt-4o": {"input": 1.5, "output": 2}}', "Expected `int`"),
    ],
)  # fmt: skip
def test_prices_that_cannot_be_are_refused(tmp_path: Path, sound: Path, prices: str, sentence: str) -> None:
    (tmp_path / "prices.json").write_text(prices)
    said = say("simulate", "--prices", str(tmp_path / "prices.json"), "--data", str(sound))
    assert (said.code, sentence in said.told["error"]) == (2, True), said.told


# -- damage in the midst


@pytest.mark.parametrize("command", ["replay", "audit", "export", "simulate"])
def test_a_damaged_block_ends_a_command_with_its_name(
    tmp_path: Path, words: dict[str, tuple[str, ...]], command: str
) -> None:
    place = a_journal(tmp_path / "place")
    store = JournalStore(open_engine(f"sqlite:///{place}/journal.db", is_writer=True))
    change(store, 2, "body", b"[]")
    store.engine.dispose()
    words["audit"] = ("--account", next(name for n in range(1000) if journal_of(name := f"acc_{n}") == 11))
    said = say(command, *words[command], "--data", str(place))
    assert (said.code, "journal 11 block 2:" in said.told["error"]) == (1, True), said.told
    assert not (tmp_path / "out.jsonl").exists(), "half an export is none"


def test_a_damaged_journal_is_not_sealed(tmp_path: Path, words: dict[str, tuple[str, ...]]) -> None:
    place = a_journal(tmp_path / "place")
    store = JournalStore(open_engine(f"sqlite:///{place}/journal.db", is_writer=True))
    change(store, 2, "ts", 7)
    store.engine.dispose()
    said = say("seal", *words["seal"], "--data", str(place))
    assert (said.code, said.told["findings"][0].partition(":")[0]) == (1, "journal 11 block 2")


# -- long runs


@pytest.mark.parametrize("command", ["verify", "replay", "export", "seal", "diff-projection", "simulate", "doctor"])
def test_long_runs_tell_how_far_they_are(
    tmp_path: Path, words: dict[str, tuple[str, ...]], command: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tollway.cli.journal_access.PROGRESS_S", 0.0)
    monkeypatch.setattr("tollway.cli.journal_access.CONNECT_S", 0.1)
    place = a_journal(tmp_path / "place")
    views = ViewStore(open_engine(f"sqlite:///{place}/views.db", is_writer=True))
    with views.engine.begin() as connection:
        connection.execute(text("INSERT INTO views_watermark (journal, seq, hash) VALUES (11, 3, x'00')"))
    views.engine.dispose()
    said = say(command, *words[command], "--data", str(place))
    assert "3 blocks, 4 events read" in said.progress


# -- beside a running ledger


async def test_the_tools_look_while_a_ledger_works(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOLLWAY_NATS_URL", house.server.url)
    monkeypatch.setenv("TOLLWAY_NATS_MONITOR_URL", house.server.monitor_url)
    for name in ("TOLLWAY_DATA_DIR", "TOLLWAY_DATABASE_URL"):
        if name in house.environ:
            monkeypatch.setenv(name, house.environ[name])
    ledger = await house.ledger()
    await house.grant(ACCOUNT, 10**9)
    is_done = False

    async def work() -> int:
        requests = 0
        while not is_done:
            held = await house.opened(ACCOUNT, 10**5)
            await house.put(fact(ACCOUNT, held.hold_id, tokens=1))
            requests += 1
        return requests

    working = asyncio.create_task(work())
    for command in ("verify --cross", "diff-projection", "replay", "doctor", f"audit --account {ACCOUNT}"):
        said = await asyncio.to_thread(say, *command.split())
        assert said.code == 0, (command, said.told)
    is_done = True
    assert await working > 0
    desk = ledger.desk_of(ACCOUNT)
    assert desk is not None
    await house.until(lambda: house.settled and not desk.state.holds)
    assert ledger.halted == {}


async def test_read_models_that_move_on_while_they_are_compared_do_not_differ(
    store: JournalStore, views: ViewStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    story = Story().with_credit(10**9).with_hold("rq_1").with_hold("rq_2")
    committed = blocks_and_events(store, story)
    reader = ViewStore(open_engine(views.engine.url.render_as_string(hide_password=False)))
    projector = Projector(store, views, on_trouble=lambda _: None)
    await projector.reach({11: committed[-2].block.seq})
    loop, rebuild = asyncio.get_running_loop(), projection._rebuild

    def rebuilt_meanwhile(*arguments: Any) -> None:
        rebuild(*arguments)
        asyncio.run_coroutine_threadsafe(projector.reach({11: committed[-1].block.seq}), loop).result(20)

    monkeypatch.setattr(projection, "_rebuild", rebuilt_meanwhile)
    found = await asyncio.to_thread(projection.compare, store, reader)
    await asyncio.to_thread(projector.stop)
    assert reader.watermarks()[11][0] == committed[-1].block.seq
    reader.engine.dispose()
    assert (found.rows > 0, found.differing) == (True, 0), found.shown
