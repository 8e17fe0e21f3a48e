"""Settings of one process, read once from its environment and handed on; never a global.

Every variable starts with `TOLLWAY_`; `SETTINGS_HELP` is the table that `tollway doctor` and the documentation show.
"""

import os
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Final, Literal
from urllib.parse import urlsplit

import msgspec

Part = Literal["journal", "views", "auth"]

SETTINGS_HELP: Final[dict[str, str]] = {
    "TOLLWAY_NATS_URL": "address of the bus (nats://127.0.0.1:4222)",
    "TOLLWAY_NATS_USER": "user on the bus (the service's name)",
    "TOLLWAY_NATS_PASSWORD": "its password (none)",
    "TOLLWAY_NATS_MONITOR_URL": "the bus's monitor, read before money is served (unknown)",
    "TOLLWAY_DATA_DIR": "directory for databases and outboxes (./.tollway)",
    "TOLLWAY_DATABASE_URL": "PostgreSQL, as postgresql+psycopg://… (SQLite files in the data directory)",
    "TOLLWAY_HOST": "address that ingress listens on (127.0.0.1)",
    "TOLLWAY_PORT": "port that ingress listens on (8080)",
    "TOLLWAY_LISTEN_FD": "ingress: a listening socket that it inherits, by its descriptor (host and port)",
    "TOLLWAY_METRICS_PORT": "port of /metrics of this process (0: off)",
    "TOLLWAY_POOL": "pool that this adapter serves (default)",
    "TOLLWAY_DRAIN_TIMEOUT_S": "how long a stopping process lets running answers finish (30)",
    "TOLLWAY_HOLDS_AHEAD": "holds that may wait, opened, for requests of one kind in an ingress; 0: none (64)",
    "TOLLWAY_REQUESTS_MAX": "requests that an ingress, and an adapter, carries at once (4000)",
    "TOLLWAY_HEARTBEAT_S": "ingress: silence after which a stream's caller gets a comment; 0: never (15)",
    "TOLLWAY_SEND_STALL_S": "ingress: how long a caller may take next to nothing before it is cut off (60)",
    "TOLLWAY_CATALOG_FILE": "router and adapters: overrides on top of the price list, the same file for all (none)",
    "TOLLWAY_AUTO_MODELS": "router: what tollway/auto prefers, provider:model with commas between (our list)",
    "TOLLWAY_PUBLIC_URL": "address in links of the management API, as clients see it (the Host header of each request)",
    "TOLLWAY_PEPPER_FILE": "auth: file with the peppers of key hashes (auth.pepper in the data directory)",
    "TOLLWAY_MASTER_PUBLIC_KEY_FILE": "auth: file with the public master keys (master.pub in the data directory)",
    "TOLLWAY_MASTER_KEY_FILE": "adapter: file with the private master keys (master.key in the data directory)",
    "TOLLWAY_ALLOW_PRIVATE_CIDRS": "inside addresses of custom providers: CIDR ranges, loopback, private (none)",
    "TOLLWAY_STRIPE_SECRET_KEY": "ingress: sells credit through Stripe, with TOLLWAY_STRIPE_WEBHOOK_SECRET (off)",
    "TOLLWAY_DEV_PAYMENTS": "ingress: 1 sells credit for no money, for development (off)",
}


class SettingsError(Exception):
    """A variable has a value that cannot be used; the message names it."""


class Settings(msgspec.Struct, frozen=True):
    """What one process was told. `node` is new at every start. `environ` is for the few that read other variables."""

    role: str
    node: str
    nats_url: str
    nats_user: str
    nats_password: str
    nats_monitor_url: str
    data_dir: Path
    database_url: str
    host: str
    port: int
    metrics_port: int
    pool: str
    drain_timeout_s: float
    environ: Mapping[str, str]

    def database(self, part: Part) -> str:
        """The SQLAlchemy URL of one part: PostgreSQL holds all of them, SQLite has a file for each write lock."""
        return self.database_url or f"sqlite:///{self.data_dir.absolute() / part}.db"

    def __repr__(self) -> str:
        """Without the environment and the password: a traceback shows reprs."""
        return f"Settings(role={self.role!r}, node={self.node!r})"


def read(role: str, environ: Mapping[str, str] | None = None) -> Settings:
    """Settings of a role from its environment. Raises SettingsError with the variable's name."""
    env = dict(os.environ if environ is None else environ)
    return Settings(
        role=role,
        node=f"{role}-{secrets.token_hex(4)}",
        nats_url=env.get("TOLLWAY_NATS_URL", "nats://127.0.0.1:4222"),
        nats_user=env.get("TOLLWAY_NATS_USER", role),
        nats_password=secret(env, "TOLLWAY_NATS_PASSWORD"),
        nats_monitor_url=env.get("TOLLWAY_NATS_MONITOR_URL", ""),
        data_dir=Path(env.get("TOLLWAY_DATA_DIR", ".tollway")),
        database_url=_database_url(env),
        host=env.get("TOLLWAY_HOST", "127.0.0.1"),
        port=int(number(env, "TOLLWAY_PORT", 8080)),
        metrics_port=int(number(env, "TOLLWAY_METRICS_PORT", 0)),
        pool=env.get("TOLLWAY_POOL", "default"),
        drain_timeout_s=number(env, "TOLLWAY_DRAIN_TIMEOUT_S", 30.0),
        environ=env,
    )


def secret(env: Mapping[str, str], name: str) -> str:
    """A secret from the variable, or from the file that `NAME_FILE` names (as containers hand them over)."""
    path = env.get(f"{name}_FILE")
    if not path:
        return env.get(name, "")
    try:
        return Path(path).read_text().strip()
    except OSError as error:
        raise SettingsError(f"{name}_FILE: cannot read {path}: {error.strerror}") from None


def _database_url(env: Mapping[str, str]) -> str:
    url = secret(env, "TOLLWAY_DATABASE_URL")
    if url and urlsplit(url).scheme not in ("postgresql+psycopg", "postgresql", "postgres"):
        raise SettingsError("TOLLWAY_DATABASE_URL: expected postgresql+psycopg://user:password@host/database")
    return url.replace(f"{urlsplit(url).scheme}://", "postgresql+psycopg://", 1) if url else ""


def number(env: Mapping[str, str], name: str, default: float) -> float:
    """A number of zero or more. Raises SettingsError with the variable's name."""
    text = env.get(name, "")
    try:
        value = float(text) if text else default
    except ValueError:
        raise SettingsError(f"{name}: expected a number, got {text!r}") from None
    if value < 0:
        raise SettingsError(f"{name}: expected a number of zero or more, got {text!r}")
    return value
