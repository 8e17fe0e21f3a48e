"""uvicorn under the application: uvloop, httptools behind a guard, no access log, no signal handlers of its own."""

import asyncio
import contextlib
from collections.abc import Generator, Mapping
from typing import Any, Final

import uvicorn

from tollway.ingress.app import ASGI
from tollway.ingress.protocol import Guard, guarded
from tollway.ingress.tuning import SEND_STALL_S
from tollway.listening import BACKLOG, listener_of
from tollway.settings import Settings
from tollway.tasks import spawn

KEEP_ALIVE_S: Final = 75
CONNECTIONS_MAX: Final = 10_000
SWEEP_S: Final = 1.0


class _Server(uvicorn.Server):
    """The runtime handles signals, so that a drain has one order."""

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None]:
        """Leave signals alone."""
        yield


class Door:
    """The listening socket and the server on it."""

    def __init__(self, app: ASGI, settings: Settings, *, send_stall_s: float = SEND_STALL_S) -> None:
        self._socket = listener_of(settings)
        self._guard = Guard(send_stall_s=send_stall_s)
        self._sweeping: asyncio.Task[None] | None = None
        config = uvicorn.Config(
            app,
            http=guarded(self._guard),
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

    @property
    def closed(self) -> Mapping[str, int]:
        """Connections that the guard ended, by reason."""
        return self._guard.closed

    async def open(self) -> None:
        """Accept callers."""
        self._task = asyncio.create_task(self._server.serve(sockets=[self._socket]), name="http")
        self._sweeping = spawn(self._sweep(), name="sweep connections")
        while not self._server.started and not self._task.done():  # noqa: ASYNC110  uvicorn has a flag, no event
            await asyncio.sleep(0.005)

    async def _sweep(self) -> None:
        while True:
            await asyncio.sleep(SWEEP_S)
            self._guard.sweep(self._server.server_state.connections, asyncio.get_running_loop().time())

    async def close(self) -> None:
        """Accept nobody new; return when the running answers are out."""
        self._server.should_exit = True
        if self._task is not None:
            await self._task
        if self._sweeping is not None:
            self._sweeping.cancel()

    def force(self) -> None:
        """Cut what is left."""
        self._server.force_exit = True
