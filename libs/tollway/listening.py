"""The listening socket. `tollway up` holds it and hands it to each ingress, so that callers wait in its queue while one
is started anew, and several may take from it. An ingress that is started by others makes its own.
"""

import socket
from typing import Final

from tollway.settings import Settings, SettingsError, number

LISTEN_FD: Final = "TOLLWAY_LISTEN_FD"
BACKLOG: Final = 2_048
UNSENT_BYTES_MAX: Final = 64 * 1024
"""What the kernel keeps for a caller beyond what is on the wire: without it 2 MB for each that takes nothing (measured
on loopback: 67 KB instead of 2,177 KB)."""


def bound(host: str, port: int) -> socket.socket:
    """Callers may knock from now on. Raises OSError when nobody can listen there."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if hasattr(socket, "TCP_NOTSENT_LOWAT"):
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, UNSENT_BYTES_MAX)
    try:
        listener.bind((host, port))
        listener.listen(BACKLOG)
    except OSError:
        listener.close()
        raise
    listener.setblocking(False)
    return listener


def listener_of(settings: Settings) -> socket.socket:
    """The inherited one, or one of our own. Raises SettingsError with one clear sentence."""
    inherited = int(number(settings.environ, LISTEN_FD, 0))
    try:
        return socket.socket(fileno=inherited) if inherited else bound(settings.host, settings.port)
    except OSError as error:
        where = f"descriptor {inherited}" if inherited else f"{settings.host}:{settings.port}"
        raise SettingsError(f"cannot listen on {where}: {error.strerror}") from None
