"""`tollway install …`: what the jobs of `docker-compose.yml` do before and after the services start.

`secrets` writes a folder for each container, so that each mounts its own secrets and no others; what exists is kept.
`tables` migrates and grants, `streams` makes the streams of the bus, `account` makes the first account and gives it its
credit. All are harmless to repeat.
"""

import asyncio
import os
import secrets as randomness
from pathlib import Path
from typing import Annotated, Final

import typer

from tollway import settings
from tollway.auth.peppers import PEPPER_BYTES
from tollway.cli import bootstrap, bus_table, grants, migrate
from tollway.cli.grants import OWNER, ROLES
from tollway.cli.place import Credentials, Place, new_passwords, write_private
from tollway.cli.streams import make_streams
from tollway.sealing import create_master_key, write_ring

app = typer.Typer(no_args_is_help=True)

BUS_PORT: Final = 4222
MONITOR_PORT: Final = 8222
DATABASE_USERS: Final = {"auth": "tollway_auth", "ledger": "tollway_ledger", "migrate": OWNER, "cli": OWNER}
"""Which container connects as whom."""

Out = Annotated[Path, typer.Option(help="Where the folders go, one per container.")]


@app.command()
def secrets(
    out: Out = Path("/out"),
    owner: Annotated[int, typer.Option(help="User id that the services run as.")] = 10001,
    nats_host: Annotated[str, typer.Option(help="Address the bus listens on.")] = "0.0.0.0",  # noqa: S104
    database_host: Annotated[str, typer.Option(help="Host of PostgreSQL.")] = "postgres",
) -> None:
    """Generate what is missing: passwords of bus and database, master key, pepper."""
    passwords = {user: _kept(out / user / "nats_password", new_passwords([user])[user]) for user in bus_table.USERS}
    databases = {user: _kept(out / "postgres" / f"{user}_password", _given(user)) for user in (OWNER, *ROLES)}
    for folder, user in DATABASE_USERS.items():
        url = f"postgresql+psycopg://{user}:{databases[user]}@{database_host}/{OWNER}"
        _write(out / folder / "database_url", os.environ.get("TOLLWAY_DATABASE_URL") or url)
    _keys(out)
    _write(out / "nats" / "nats.conf", _nats_config(passwords, nats_host))
    _kept(out / "postgres" / "superuser_password", _password())
    _write(out / "postgres" / "10-tollway.sql", _database_sql(databases))
    for path in out.rglob("*"):
        _give(path, owner, is_open=path.is_relative_to(out / "postgres"))


def _keys(out: Path) -> None:
    """The master key pair (private: adapter and operator; public: auth) and auth's pepper."""
    (out / "adapter").mkdir(parents=True, exist_ok=True)
    create_master_key(out / "adapter" / "master.key", out / "adapter" / "master.pub")
    pepper = _kept(out / "auth" / "pepper", write_ring({1: os.urandom(PEPPER_BYTES)}))
    for role in ("auth", "cli"):
        _write(out / role / "master.pub", (out / "adapter" / "master.pub").read_text())
    _write(out / "cli" / "pepper", pepper)


def _nats_config(passwords: dict[str, str], host: str) -> str:
    return bus_table.render(
        passwords=passwords,
        store_dir="/data",
        host=host,
        port=BUS_PORT,
        monitor_host=host,
        monitor_port=MONITOR_PORT,
    )


def _database_sql(passwords: dict[str, str]) -> str:
    """What PostgreSQL runs when it starts on an empty volume."""
    quoted = {user: password.replace("'", "''") for user, password in passwords.items()}
    like = "TEMPLATE template0 ENCODING 'UTF8' LC_COLLATE 'C' LC_CTYPE 'C'"
    roles = [f"CREATE ROLE {user} LOGIN PASSWORD '{password}';" for user, password in quoted.items()]
    return "\n".join([*roles, f"CREATE DATABASE {OWNER} OWNER {OWNER} {like};", ""])


def _given(user: str) -> str:
    """A password of the operator's for the owner, else a fresh one."""
    return (os.environ.get("POSTGRES_PASSWORD") if user == OWNER else "") or _password()


def _password() -> str:
    return randomness.token_hex(24)


def _kept(path: Path, fresh: str) -> str:
    """What the file says; written now if there is none."""
    if not path.exists():
        _write(path, fresh)
    return path.read_text()


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    write_private(path, text.encode())


def _give(path: Path, owner: int, *, is_open: bool) -> None:
    """To the services' user alone; PostgreSQL's folder, which nobody else mounts, to whoever its image runs as."""
    mode = 0o755 if path.is_dir() else 0o644
    path.chmod(mode if is_open else mode & 0o700)
    if os.geteuid() == 0:
        os.chown(path, owner, owner)


@app.command()
def tables() -> None:
    """Create or upgrade the tables, and give each service's database role what it needs."""
    told = settings.read("cli")
    for part, revision in migrate.all_parts(told).items():
        print(f"{part}: {revision}")
    for part in migrate.PARTS:
        grants.grant(told.database(part))


@app.command()
def streams(replicas: Annotated[int, typer.Option(help="Copies of each stream in a cluster.")] = 1) -> None:
    """Make the streams of the bus (as the user `setup`)."""
    told = settings.read("setup")
    asyncio.run(make_streams(told.nats_url, password=told.nats_password, replicas=replicas))


@app.command()
def account(
    out: Annotated[Path, typer.Option(help="Directory that gets credentials.json.")] = Path("/credentials"),
    base_url: Annotated[str, typer.Option(help="Where clients reach ingress.")] = "http://localhost:8080",
) -> None:
    """Make the first account with its welcome credit, and write its keys."""
    told, place = settings.read("cli"), Place(out)
    credentials = bootstrap.first_account(place, told, base_url=base_url)
    asyncio.run(bootstrap.welcome(credentials, nats_url=told.nats_url, password=told.nats_password))
    bootstrap.readdress(place, base_url=base_url)
    _say(credentials)


def _say(credentials: Credentials) -> None:
    """Where the keys are, and not the keys: the log of a container is kept."""
    print(f"Tollway: account {credentials.account_id} is ready on {credentials.base_url}")
    print("Its keys: docker compose exec auth cat /credentials/credentials.json")
