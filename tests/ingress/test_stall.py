"""Callers that stop taking their answer, by raw sockets. The clock of the sweep is told, nothing is waited for."""

import asyncio
import socket
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
import uvicorn

from tollway.ingress.protocol import TAKEN_BYTES_MIN, Guard, guarded
from tollway.listening import UNSENT_BYTES_MAX, bound
from tollway.tasks import spawn

PART = b"x" * 65_536
PARTS = 64
STALL_S = 60.0


@dataclass
class Street:
    """An application that sends four megabytes, in parts or whole, and a listener with a guard."""

    guard: Guard = field(default_factory=lambda: Guard(send_stall_s=STALL_S))
    sent: int = 0
    is_over: bool = False
    is_gone: bool = False
    server: Any = None
    port: int = 0

    async def app(self, scope: Any, receive: Any, send: Any) -> None:
        await receive()
        spawn(self._watch(receive), name="watch")
        length = str(len(PART) * PARTS).encode()
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", length)]})
        parts = [PART] * PARTS if scope["path"] == "/parts" else [PART * PARTS]
        for number, part in enumerate(parts, 1):
            await send({"type": "http.response.body", "body": part, "more_body": number < len(parts)})
            self.sent += len(part)
        self.is_over = True

    async def _watch(self, receive: Any) -> None:
        while (await receive())["type"] != "http.disconnect":
            pass
        self.is_gone = True

    def sweep(self, seconds: float) -> None:
        """The sweep as it comes so much later."""
        self.guard.sweep(self.server.server_state.connections, asyncio.get_running_loop().time() + seconds)

    @property
    def connection(self) -> Any:
        [connection] = self.server.server_state.connections
        return connection

    def ask(self, path: str) -> socket.socket:
        """A caller with a small window that has asked and taken nothing yet."""
        caller = socket.socket()
        caller.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
        caller.connect(("127.0.0.1", self.port))
        caller.sendall(b"GET %s HTTP/1.1\r\nhost: a\r\n\r\n" % path.encode())
        caller.setblocking(False)
        return caller

    async def until_stuck(self) -> None:
        await until(lambda: bool(self.server.server_state.connections) and self.connection.flow.write_paused)


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110  sockets of the kernel have no event for it
            await asyncio.sleep(0.01)


@pytest.fixture
async def street() -> AsyncIterator[Street]:
    street = Street()
    config = uvicorn.Config(
        street.app,
        interface="asgi3",
        port=0,
        http=guarded(street.guard),
        lifespan="off",
        log_config=None,
        ws="none",
        access_log=False,
    )
    street.server = uvicorn.Server(config)
    listener = bound("127.0.0.1", 0)
    street.port = listener.getsockname()[1]
    serving = spawn(street.server.serve(sockets=[listener]), name="uvicorn")
    await until(lambda: bool(street.server.started))
    yield street
    street.server.force_exit = street.server.should_exit = True
    await serving


async def take(caller: socket.socket, size: int) -> int:
    """Take so many bytes, as they come."""
    loop, taken = asyncio.get_running_loop(), 0
    while taken < size:
        part = await asyncio.wait_for(loop.sock_recv(caller, size - taken), 10)
        if not part:
            break
        taken += len(part)
    return taken


async def test_a_caller_that_takes_nothing_is_cut_and_its_request_is_told(street: Street) -> None:
    with street.ask("/parts"):
        await street.until_stuck()
        street.sweep(0)
        street.sweep(STALL_S - 1)
        assert not street.guard.closed
        street.sweep(STALL_S + 1)
        await until(lambda: street.is_gone and street.is_over)
        assert street.guard.closed == {"stalled": 1}
        assert not street.server.server_state.connections


async def test_a_caller_that_never_takes_a_whole_answer_is_cut_too(street: Street) -> None:
    with street.ask("/whole"):
        await street.until_stuck()
        street.sweep(0)
        street.sweep(STALL_S + 1)
        await until(lambda: not street.server.server_state.connections)
        assert street.guard.closed == {"stalled": 1}


async def test_a_caller_that_takes_some_is_left_in_peace(street: Street) -> None:
    with street.ask("/parts") as caller:
        await street.until_stuck()
        for turn in range(10):
            street.sweep(turn * (STALL_S - 1))
            before = street.sent
            await take(caller, 3 * UNSENT_BYTES_MAX)
            await until(lambda before=before: street.sent > before)
        assert not street.guard.closed


async def test_what_a_caller_takes_byte_by_byte_is_next_to_nothing(street: Street) -> None:
    with street.ask("/parts") as caller:
        await street.until_stuck()
        street.sweep(0)
        assert await take(caller, TAKEN_BYTES_MIN // 2) == TAKEN_BYTES_MIN // 2
        await asyncio.sleep(0.1)
        street.sweep(STALL_S + 1)
        await until(lambda: street.is_gone)
        assert street.guard.closed == {"stalled": 1}


async def test_a_new_pause_begins_a_new_time(street: Street) -> None:
    with street.ask("/parts") as caller:
        await street.until_stuck()
        street.sweep(0)
        before = street.sent
        await take(caller, 4 * UNSENT_BYTES_MAX)
        await until(lambda: street.sent > before)
        await street.until_stuck()
        street.sweep(STALL_S + 1)
        assert not street.guard.closed
        street.sweep(2 * STALL_S + 2)
        assert street.guard.closed == {"stalled": 1}


async def test_the_kernel_keeps_little_for_a_caller_that_takes_nothing(street: Street) -> None:
    with street.ask("/parts"):
        await street.until_stuck()
        await asyncio.sleep(0.1)
        assert street.sent <= 8 * UNSENT_BYTES_MAX
