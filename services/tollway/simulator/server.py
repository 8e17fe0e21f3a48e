"""The sockets: the only module here that does IO.

A connection is a protocol object without tasks: a script runs in the callback that wakes it and stops at a wait, at a
full socket buffer or at its end.
"""

import asyncio
import json
import os
import signal
import socket
import struct
import sys
import time
from collections import deque
from collections.abc import Callable
from typing import Any, cast

import httptools
import uvloop

from .control import Line
from .desk import Desk, Ending, Exchange, Task
from .frames import Frame
from .http import JSON, Request, head, request
from .steps import Close, HalfClose, Hang, Opening, Reset, Wait
from .tally import Tally

WRITE_BYTES = 65_536
"""What is gathered before it is written: chunks that are due at the same time share a system call."""

BODY_BYTES_MAX = 64 << 20
PIPELINED_MAX = 32


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


class Connection(asyncio.Protocol):
    """One client. Requests on it are answered in order."""

    def __init__(self, desk: Desk, loop: asyncio.AbstractEventLoop, connections: "set[Connection]") -> None:
        self._desk = desk
        self._loop = loop
        self._connections = connections
        self._parser = httptools.HttpRequestParser(self)
        self._waiting: deque[tuple[Request, bool]] = deque()
        self._task: Task | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._lost = asyncio.Event()
        self._is_paused = False
        self._is_blocked = False
        self._is_keeping = True
        self._out: list[bytes] = []
        self._out_bytes = 0
        self._transport = cast("asyncio.Transport", None)
        self._line = Line("", 0)
        self.on_message_begin()

    # --- the connection ---

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._line = Line(_peer(transport.get_extra_info("peername")), _now_ms())
        self._desk.room.lines[id(self)] = self._line
        self._connections.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        del exc
        self._desk.room.lines.pop(id(self), None)
        self._connections.discard(self)
        self._lost.set()
        self._waiting.clear()
        self._finish("gone")

    def pause_writing(self) -> None:
        self._is_paused = True

    def resume_writing(self) -> None:
        self._is_paused = False
        if self._is_blocked:
            self._advance()

    async def abort(self) -> None:
        """Drop the connection, and return when that is done."""
        self._transport.abort()
        await self._lost.wait()

    # --- requests in ---

    def data_received(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            self._refuse(400, str(error))

    def _refuse(self, status: int, reason: str) -> None:
        body = json.dumps({"error": {"message": reason, "type": "invalid_request_error", "code": None}}).encode()
        self._transport.write(head(status, JSON, (("connection", "close"),), length=len(body)) + body)
        self._transport.close()

    def on_message_begin(self) -> None:
        self._target = b""
        self._headers: dict[str, str] = {}
        self._body: list[bytes] = []
        self._body_bytes = 0

    def on_url(self, url: bytes) -> None:
        self._target += url

    def on_header(self, name: bytes, value: bytes) -> None:
        self._headers[name.decode("latin-1").lower()] = value.decode("latin-1")

    def on_headers_complete(self) -> None:
        if self._headers.get("expect", "").lower() == "100-continue":
            self._transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def on_body(self, body: bytes) -> None:
        self._body.append(body)
        self._body_bytes += len(body)
        if self._body_bytes > BODY_BYTES_MAX:
            self._refuse(413, "Request body is too large.")

    def on_message_complete(self) -> None:
        method = self._parser.get_method().decode("latin-1")
        whole = request(method, self._target.decode("latin-1"), self._headers, b"".join(self._body))
        self._waiting.append((whole, self._parser.should_keep_alive()))
        if len(self._waiting) > PIPELINED_MAX:
            self._refuse(429, "Too many requests on one connection.")
        if self._task is None:
            self._next()

    def _next(self) -> None:
        """Start on the next request, if one waits."""
        while self._waiting and self._task is None and not self._transport.is_closing():
            asked, self._is_keeping = self._waiting.popleft()
            self._task = self._desk.receive(asked, _now_ms())
            self._line.requests += 1
            self._line.entry = self._task.exchange and self._task.exchange.entry
            self._advance()

    # --- the script out ---

    def _advance(self) -> None:
        """Carry out steps until one asks to stop here, or the script is over. A full socket buffer stops it too."""
        self._timer = None
        self._is_blocked = self._is_paused
        task = self._task
        if task is None or self._is_blocked:
            return
        for step in task.script:
            if not _ACTS[type(step)](self, task.exchange, step):
                self._flush()
                return
        self._flush()
        self._finish("end")

    def _write(self, data: bytes) -> bool:
        """Gather, and say whether there is room for more."""
        self._out.append(data)
        self._out_bytes += len(data)
        if self._out_bytes < WRITE_BYTES:
            return True
        self._flush()
        self._is_blocked = self._is_paused
        return not self._is_paused

    def _flush(self) -> None:
        if self._out:
            self._transport.write(b"".join(self._out))
            self._out.clear()
            self._out_bytes = 0

    def _finish(self, ending: Ending) -> None:
        """The script is over: into the tally, then on to the next request."""
        task, self._task = self._task, None
        if self._timer:
            self._timer.cancel()
        self._timer = None
        self._line.entry = None
        if task and task.exchange:
            self._desk.close(task.exchange, ending, _now_ms())
        if ending == "end":
            self._keep_or_close()

    def _keep_or_close(self) -> None:
        if self._is_keeping:
            self._loop.call_soon(self._next) if self._waiting else None
        else:
            self._transport.close()

    # --- steps ---

    def do_write(self, exchange: Exchange | None, step: bytes) -> bool:
        del exchange
        return self._write(step)

    def do_frame(self, exchange: Exchange | None, step: Frame) -> bool:
        if exchange and step.kind == "content":
            exchange.entry.chunks_sent += 1
            exchange.sent_bytes += step.size_bytes
        return self._write(step.data)

    def do_open(self, exchange: Exchange | None, step: Opening) -> bool:
        if exchange:
            exchange.entry.status = step.status
        return self._write(step.data)

    def do_wait(self, exchange: Exchange | None, step: Wait) -> bool:
        del exchange
        if not step.delay_ms:
            return True
        self._timer = self._loop.call_later(step.delay_ms / 1000, self._advance)
        return False

    def do_hang(self, exchange: Exchange | None, step: Hang) -> bool:
        del exchange, step
        return False

    def do_close(self, exchange: Exchange | None, step: Close) -> bool:
        del exchange, step
        self._flush()
        self._transport.close()
        self._finish("cut")
        return False

    def do_reset(self, exchange: Exchange | None, step: Reset) -> bool:
        del exchange, step
        self._flush()
        linger = struct.pack("ii", 1, 0)
        self._transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        self._transport.abort()
        self._finish("cut")
        return False

    def do_half_close(self, exchange: Exchange | None, step: HalfClose) -> bool:
        del exchange, step
        self._flush()
        self._transport.write_eof()
        return True


_ACTS: dict[type, Callable[[Connection, Exchange | None, Any], bool]] = {
    bytes: Connection.do_write,
    Frame: Connection.do_frame,
    Opening: Connection.do_open,
    Wait: Connection.do_wait,
    Hang: Connection.do_hang,
    Close: Connection.do_close,
    Reset: Connection.do_reset,
    HalfClose: Connection.do_half_close,
}
"""Step → what is done on the connection; the result says whether to go on at once."""


def _peer(name: Any) -> str:
    return f"{name[0]}:{name[1]}" if name else ""


class Simulator:
    """A running simulator. `desk` is what it does, without its sockets."""

    def __init__(self, desk: Desk, server: asyncio.Server, connections: set[Connection]) -> None:
        self.desk = desk
        self._server = server
        self._connections = connections

    @property
    def tally(self) -> Tally:
        return self.desk.room.tally

    @property
    def host(self) -> str:
        return self._server.sockets[0].getsockname()[0]

    @property
    def port(self) -> int:
        return self._server.sockets[0].getsockname()[1]

    @property
    def base_url(self) -> str:
        """Without a path: the OpenAI SDK wants `/v1` after it, the others nothing."""
        return f"http://{f'[{self.host}]' if ':' in self.host else self.host}:{self.port}"

    async def stop(self) -> None:
        """Stop at once. What is still open is reset and counted as cancelled."""
        self._server.close()
        await asyncio.gather(*(connection.abort() for connection in tuple(self._connections)))
        await self._server.wait_closed()


async def start(host: str = "127.0.0.1", port: int = 0) -> Simulator:
    """Serve on the running loop. Port 0 takes a free one."""
    desk = Desk(os.urandom(4).hex())
    loop = asyncio.get_running_loop()
    connections: set[Connection] = set()
    server = await loop.create_server(lambda: Connection(desk, loop, connections), host, port, backlog=1024)
    return Simulator(desk, server, connections)


async def _serve(host: str, port: int) -> None:
    stopped = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    simulator = await start(host, port)
    sys.stdout.write(json.dumps({"event": "simulator.ready", "url": simulator.base_url}) + "\n")
    sys.stdout.flush()
    await stopped.wait()
    await simulator.stop()


def run(host: str, port: int) -> None:
    """Serve until SIGTERM or SIGINT. When it listens it prints one line of JSON with its address."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_serve(host, port))
