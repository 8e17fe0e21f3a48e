"""uvicorn under the application: uvloop, httptools, no access log, no signal handlers of its own."""

import asyncio
import contextlib
import socket
from collections.abc import Generator
from typing import Any, Final

import uvicorn

from tollway.ingress.app import ASGI
from tollway.settings import Settings, SettingsError

BACKLOG: Final = 2_048
KEEP_ALIVE_S: Final = 75
CONNECTIONS_MAX: Final = 10_000


class _Server(uvicorn.Server):
    """The runtime handles signals, so that a drain has one order."""

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None]:
        """Leave signals alone."""
        yield


class Door:
    """The listening socket and the server on it."""

    def __init__(self, app: ASGI, settings: Settings) -> None:
        self._socket = _listen(settings.host, settings.port)
        config = uvicorn.Config(
            app,
            http="httptools",
            ws="none",
            loop="none",
            lifespan="off",
            access_log=False,
            proxy_headers=False,
            log_config=None,
            server_header=False,
            date_header=True,
            backlog=BACKLOG,
            timeout_keep_alive=KEEP_ALIVE_S,
            limit_concurrency=CONNECTIONS_MAX,
            timeout_graceful_shutdown=int(settings.drain_timeout_s) or 1,
        )
        self._server = _Server(config)
        self._task: asyncio.Task[Any] | None = None

    @property
    def connections(self) -> int:
        """Open connections."""
        return len(self._server.server_state.connections)

    async def open(self) -> None:
        """Accept callers."""
        self._task = asyncio.create_task(self._server.serve(sockets=[self._socket]), name="http")
        while not self._server.started and not self._task.done():  # noqa: ASYNC110  uvicorn has a flag, no event
            await asyncio.sleep(0.005)

    async def close(self) -> None:
        """Accept nobody new; return when the running answers are out."""
        self._server.should_exit = True
        if self._task is not None:
            await self._task

    def force(self) -> None:
        """Cut what is left."""
        self._server.force_exit = True


def _listen(host: str, port: int) -> socket.socket:
    """Bind now, so that a port in use is one clear sentence."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
    except OSError as error:
        listener.close()
        raise SettingsError(f"cannot listen on {host}:{port}: {error.strerror}") from None
    listener.setblocking(False)
    return listener
