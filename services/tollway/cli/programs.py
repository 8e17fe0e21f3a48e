"""Which processes make up `tollway up`: their commands, what each is told, and the order in which they end."""

import os
import sys
from pathlib import Path
from typing import Final

import msgspec

from tollway.cli.embedded_nats import LOOPBACK
from tollway.cli.environment import environment_of
from tollway.cli.place import Place, State
from tollway.cli.supervisor import Program
from tollway.listening import LISTEN_FD

DRAIN_MARGIN_S: Final = 5.0
OTHER_GRACE_S: Final = 10.0
NATS: Final = "nats"
SIMULATOR: Final = "simulator"
STAGES: Final = (("ingress",), ("adapter",), ("ledger", "router", "auth"), (SIMULATOR,), (NATS,))
"""Roles in the order of their end: whoever makes facts ends before whoever settles them."""
METRICS: Final = "metrics_"


class Options(msgspec.Struct, frozen=True):
    """What `tollway up` was asked for."""

    data: Path
    host: str = LOOPBACK
    port: int = 8080
    ingresses: int = 1
    adapters: int = 1
    ledgers: int = 1
    database_url: str = ""
    drain_timeout_s: float = 30.0
    is_verbose: bool = False
    is_simulator_wanted: bool = True

    @property
    def base_url(self) -> str:
        """Where a client on this machine reaches ingress."""
        host = LOOPBACK if self.host in ("0.0.0.0", "::") else self.host  # noqa: S104  compared, not listened on
        return f"http://[{host}]:{self.port}" if ":" in host else f"http://{host}:{self.port}"


def service_names(options: Options) -> tuple[str, ...]:
    """Programs of the five services, in the order of their start."""
    return (
        "auth",
        *_numbered("ledger", options.ledgers),
        "router",
        *_numbered("adapter", options.adapters),
        *_numbered("ingress", options.ingresses),
    )


def _numbered(role: str, count: int) -> tuple[str, ...]:
    return (role,) if count == 1 else tuple(f"{role}-{number}" for number in range(1, count + 1))


def role_of(name: str) -> str:
    """The role of a program: `adapter-2` is an adapter."""
    return name.partition("-")[0]


def port_names(options: Options) -> tuple[str, ...]:
    """Ports of the inside that a start needs."""
    return (NATS, "nats_monitor", SIMULATOR, *(METRICS + name for name in service_names(options)))


def stages(options: Options) -> list[list[str]]:
    """Programs by the order of their end."""
    names = (*service_names(options), SIMULATOR, NATS)
    return [[name for name in names if role_of(name) in roles] for roles in STAGES]


def shared(place: Place, state: State, options: Options) -> dict[str, str]:
    """What every process is told."""
    told = {
        "TOLLWAY_NATS_URL": f"nats://{LOOPBACK}:{state.ports[NATS]}",
        "TOLLWAY_NATS_MONITOR_URL": f"http://{LOOPBACK}:{state.ports['nats_monitor']}",
        "TOLLWAY_DATA_DIR": str(place.root),
        "TOLLWAY_DRAIN_TIMEOUT_S": f"{options.drain_timeout_s:g}",
    }
    return told | ({"TOLLWAY_SIMULATOR_BASE_URL": simulator_url(state)} if options.is_simulator_wanted else {})


def simulator_url(state: State) -> str:
    """Where the simulator answers, as a provider's base address."""
    return f"http://{LOOPBACK}:{state.ports[SIMULATOR]}/v1"


def service_programs(place: Place, state: State, options: Options, *, listen_fd: int) -> list[Program]:
    """The five services. `listen_fd`: where callers knock, for whoever is an ingress."""
    common = shared(place, state, options)
    return [
        Program(
            name,
            (sys.executable, "-m", f"tollway.{role_of(name)}"),
            environment_of(role_of(name), os.environ, common | _own(name, state, options, listen_fd)),
            grace_s=_grace_s(role_of(name), options),
            log=_log(place, name, options),
            descriptors=(listen_fd,) if role_of(name) == "ingress" else (),
        )
        for name in service_names(options)
    ]


def _grace_s(role: str, options: Options) -> float:
    is_serving = role in ("ingress", "adapter")
    return options.drain_timeout_s + DRAIN_MARGIN_S if is_serving else OTHER_GRACE_S


def _own(name: str, state: State, options: Options, listen_fd: int) -> dict[str, str]:
    """What one service is told besides."""
    role = role_of(name)
    own = {
        "TOLLWAY_NATS_USER": role,
        "TOLLWAY_NATS_PASSWORD": state.passwords[role],
        "TOLLWAY_METRICS_PORT": str(state.ports[METRICS + name]),
    }
    if role == "ingress":
        own |= {LISTEN_FD: str(listen_fd)}
    if role in ("ledger", "auth") and options.database_url:
        own |= {"TOLLWAY_DATABASE_URL": options.database_url}
    return own


def nats_program(place: Place, command: list[str], options: Options) -> Program:
    """The embedded bus."""
    return Program(NATS, command, environment_of(NATS, os.environ, {}), log=_log(place, NATS, options))


def simulator_program(place: Place, state: State, options: Options) -> Program:
    """The provider that is there when no other is."""
    command = (sys.executable, "-m", "tollway.simulator", "--host", LOOPBACK, "--port", str(state.ports[SIMULATOR]))
    return Program(SIMULATOR, command, environment_of(SIMULATOR, os.environ, {}), log=_log(place, SIMULATOR, options))


def _log(place: Place, name: str, options: Options) -> Path | None:
    return None if options.is_verbose else place.logs / f"{name}.log"
