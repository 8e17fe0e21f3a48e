"""Who may say and hear what on the bus: the arrows of the architecture, held by the broker itself.

One table, two uses: the configuration file of the embedded `nats-server` and that of the containers (`tollway
nats-config`). Every subject comes from `tollway.wire.subjects`. Each role has an inbox prefix of its own
(`_in.<role>.>`), so that nobody reads another's answers; nobody may delete, purge or change a stream, and only
`setup` may make one (the ledger may make LEDGER anew when an operator has lost it).
"""

from collections.abc import Iterable, Mapping
from typing import Final

import msgspec

from tollway.wire import subjects

ANSWERED: Final[dict[str, tuple[str, ...]]] = {
    "ingress": ("adapter",),
    "auth": ("ingress", "adapter", "cli"),
    "router": ("ingress", "cli"),
    "adapter": ("router", "ingress"),
    "ledger": ("ingress", "adapter", "ledger", "cli"),
}
"""Whose questions a role answers: it may publish to their inboxes."""


class Grants(msgspec.Struct, frozen=True):
    """What one user may publish and subscribe."""

    publish: tuple[str, ...]
    subscribe: tuple[str, ...]


def _inbox(role: str) -> str:
    return f"_in.{role}.>"


def _reads(*streams: str) -> tuple[str, ...]:
    """Follow or read a stream: make a consumer, pull from it, acknowledge, look at single messages."""
    return tuple(
        pattern
        for stream in streams
        for pattern in (
            f"$JS.API.STREAM.INFO.{stream}",
            f"$JS.API.STREAM.MSG.GET.{stream}",
            f"$JS.API.DIRECT.GET.{stream}.>",
            f"$JS.API.DIRECT.GET.{stream}",
            f"$JS.API.CONSUMER.CREATE.{stream}.>",
            f"$JS.API.CONSUMER.CREATE.{stream}",
            f"$JS.API.CONSUMER.DURABLE.CREATE.{stream}.*",
            f"$JS.API.CONSUMER.INFO.{stream}.*",
            f"$JS.API.CONSUMER.MSG.NEXT.{stream}.*",
            f"$JS.ACK.{stream}.>",
        )
    )


def _role(role: str, *, publish: tuple[str, ...], subscribe: tuple[str, ...]) -> Grants:
    """A service: what is listed, and what every service has (its beat, its inbox, the answers it owes)."""
    answers = tuple(_inbox(asker) for asker in ANSWERED[role])
    return Grants(
        publish=(*publish, subjects.beat(role, "*"), *answers, "$JS.API.INFO"),
        subscribe=(*subscribe, subjects.BEATS_ALL, subjects.TRACE_KEEP, _inbox(role)),
    )


TABLE: Final[dict[str, Grants]] = {
    "ingress": _role(
        "ingress",
        publish=(
            subjects.AUTH_CHECK,
            subjects.AUTH_CHECK_API,
            subjects.AUTH_MANAGE,
            subjects.ROUTE_PLAN,
            subjects.ROUTE_MODELS,
            subjects.ROUTE_EXPLAIN,
            subjects.ROUTE_HEALTH,
            subjects.HOLD_ALL,
            subjects.CREDIT_ALL,
            subjects.LEDGER_QUERY,
            subjects.dispatch("*"),
            subjects.probe("*"),
            subjects.flow("*"),
            subjects.WITNESS_ALL,
            subjects.TRACE_KEEP,
            *_reads("CONFIG"),
        ),
        subscribe=(subjects.inbox("*", "*"), subjects.body("*"), subjects.CONFIG_ALL, subjects.HEALTH_CHANGED),
    ),
    "auth": _role(
        "auth",
        publish=(subjects.CONFIG_ALL, *_reads("CONFIG")),
        subscribe=(
            subjects.AUTH_CHECK,
            subjects.AUTH_CHECK_API,
            subjects.AUTH_SEALED,
            subjects.AUTH_MANAGE,
            subjects.CONFIG_ALL,
        ),
    ),
    "router": _role(
        "router",
        publish=(subjects.HEALTH_CHANGED, subjects.ASK_OFFER, *_reads("CONFIG")),
        subscribe=(
            subjects.ROUTE_PLAN,
            subjects.ROUTE_MODELS,
            subjects.ROUTE_EXPLAIN,
            subjects.ROUTE_HEALTH,
            subjects.HEALTH_SEEN,
            subjects.HEALTH_CHANGED,
            subjects.CONFIG_ALL,
        ),
    ),
    "adapter": _role(
        "adapter",
        publish=(
            subjects.inbox("*", "*"),
            subjects.body("*"),
            subjects.AUTH_SEALED,
            subjects.HOLD_ALL,
            subjects.USAGE_ALL,
            subjects.HEALTH_SEEN,
            *_reads("CONFIG"),
        ),
        subscribe=(
            subjects.dispatch("*"),
            subjects.probe("*"),
            subjects.flow("*"),
            subjects.settled("*"),
            subjects.ASK_OFFER,
            subjects.CONFIG_ALL,
        ),
    ),
    "ledger": _role(
        "ledger",
        publish=(
            subjects.settled("*"),
            subjects.LEDGER_BLOCKS_ALL,
            subjects.CREDIT_ALL,  # a balance is asked of the process that owns the journal
            "$JS.API.STREAM.CREATE.LEDGER",
            *_reads("USAGE", "LEDGER"),
        ),
        subscribe=(subjects.HOLD_ALL, subjects.CREDIT_ALL, subjects.LEDGER_QUERY, subjects.LEDGER_BLOCKS_ALL),
    ),
    "cli": Grants(
        publish=(
            subjects.AUTH_MANAGE,
            subjects.CREDIT_ALL,
            subjects.LEDGER_QUERY,
            subjects.ROUTE_EXPLAIN,
            subjects.ROUTE_HEALTH,
            subjects.ROUTE_MODELS,
            "$JS.API.INFO",
            *_reads("CONFIG", "USAGE", "LEDGER"),
        ),
        subscribe=(subjects.BEATS_ALL, _inbox("cli")),
    ),
    "setup": Grants(
        publish=("$JS.API.INFO", "$JS.API.STREAM.CREATE.*", "$JS.API.STREAM.UPDATE.*", "$JS.API.STREAM.INFO.*"),
        subscribe=(_inbox("setup"),),
    ),
}
"""Users of the bus. `cli` is the operator at a terminal; `setup` makes the streams and is used at start alone."""

USERS: Final = tuple(TABLE)


def render(
    *,
    passwords: Mapping[str, str],
    store_dir: str,
    host: str,
    port: int,
    monitor_host: str,
    monitor_port: int,
) -> str:
    """The configuration of a `nats-server` that money can rest on: every acknowledged message is on disk."""
    return "\n".join(
        (
            "# Written by Tollway from services/tollway/cli/bus_table.py; changes here are lost.",
            "server_name: tollway",
            f"host: {_quoted(host)}",
            f"port: {port}",
            f"http: {_quoted(f'{monitor_host}:{monitor_port}')}",
            "max_payload: 2MB",
            "max_pending: 64MB",
            "write_deadline: 10s",
            "ping_interval: 10s",
            "lame_duck_duration: 30s",
            f"jetstream {{ store_dir: {_quoted(store_dir)}, sync_interval: always }}",
            "authorization {",
            "  users = [",
            *(_user(name, passwords[name], TABLE[name]) for name in TABLE),
            "  ]",
            "}",
            "",
        )
    )


def _user(name: str, password: str, grants: Grants) -> str:
    return (
        f"    {{ user: {name}, password: {_quoted(password)}, permissions: {{\n"
        f"      publish: {{ allow: [{_list(grants.publish)}] }}\n"
        f"      subscribe: {{ allow: [{_list(grants.subscribe)}] }} }} }}"
    )


def _list(patterns: Iterable[str]) -> str:
    return ", ".join(_quoted(pattern) for pattern in patterns)


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
