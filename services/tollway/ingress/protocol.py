"""Limits on a connection before there is a request: what uvicorn leaves to a proxy that may not be there.

A head must be whole within HEAD_S of its first byte and within HEAD_BYTES_MAX, and a new connection must begin one
within HEAD_S; one address may hold so many connections. Heads that say two things about where their body ends are
turned away, and callers that stop taking their answer are cut off. The clock is looked at once a second for all
connections, not per request: the hot path pays one comparison.
"""

import asyncio
from collections import Counter
from typing import Any, Final

from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

from tollway.ingress.tuning import SEND_STALL_S

HEAD_S: Final = 10.0
HEAD_BYTES_MAX: Final = 32 * 1024
TAKEN_BYTES_MIN: Final = 1024
"""A caller that takes less than this in the time a stall may last takes next to nothing."""
ADDRESS_CONNECTIONS_MAX: Final = 4_096
_VERSIONS: Final = ("1.1", "1.0")
_TELLING: Final = frozenset((b"content-length", b"transfer-encoding", b"host"))
_BUSY: Final = -1.0
_ANSWERS: Final = {
    "slow": (408, b"The head of the request did not arrive in time."),
    "large": (431, b"The head of the request is too large."),
    "ambiguous": (400, b"Not HTTP/1, not one Host, or a body whose end is said twice or in another way than chunked."),
}
_REASONS: Final = {400: b"Bad Request", 408: b"Request Timeout", 431: b"Request Header Fields Too Large"}


class Guard:
    """What the connections of one listener share. `closed` counts those it ended, by reason."""

    def __init__(
        self, *, address_connections_max: int = ADDRESS_CONNECTIONS_MAX, send_stall_s: float = SEND_STALL_S
    ) -> None:
        self.by_address: Counter[str] = Counter()
        self.closed: Counter[str] = Counter()
        self.address_connections_max = address_connections_max
        self.send_stall_s = send_stall_s

    def sweep(self, connections: Any, now_s: float) -> None:
        """End the connections that have waited too long for a head, or to be rid of an answer. Once a second."""
        for connection in tuple(connections):
            if isinstance(connection, GuardedProtocol):
                connection.look(now_s)


class GuardedProtocol(HttpToolsProtocol):
    """uvicorn's protocol with a guard."""

    guard: Guard

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self._is_head_open = True
        self._head_bytes = 0
        self._waiting_since_s = _BUSY
        self._stuck_bytes = 0
        self._stuck_since_s = 0.0

    def connection_made(self, transport: asyncio.Transport) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]  as uvicorn's
        """A caller; one too many from its address is hung up on."""
        super().connection_made(transport)
        self._waiting_since_s = self.loop.time()
        address = self.client[0] if self.client else ""
        self.guard.by_address[address] += 1
        if self.guard.by_address[address] > self.guard.address_connections_max:
            self.guard.closed["crowd"] += 1
            transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        """It is over."""
        address = self.client[0] if self.client else ""
        self.guard.by_address[address] -= 1
        if self.guard.by_address[address] <= 0:
            del self.guard.by_address[address]
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Bytes; counted as long as they are a head."""
        super().data_received(data)
        if self._is_head_open:
            self._head_bytes += len(data)
            if self._head_bytes > HEAD_BYTES_MAX:
                self._turn_away("large")
        elif self._waiting_since_s == _BUSY and self.cycle.response_complete:
            self._waiting_since_s = self.loop.time()  # bytes of no request: they stopped the keep-alive timer

    def on_message_begin(self) -> None:
        """The first byte of a head."""
        self._is_head_open = True
        self._head_bytes = 0
        self._waiting_since_s = self.loop.time()
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        """The head is whole."""
        self._is_head_open = False
        self._waiting_since_s = _BUSY
        version = self.parser.get_http_version() if self.parser is not None else ""
        if version not in _VERSIONS or _is_ambiguous(self.headers, version):
            self._turn_away("ambiguous")
            return
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """Nothing is taken for a request that was turned away."""
        if self.cycle is not None and not self.transport.is_closing():  # pyright: ignore[reportUnnecessaryComparison]  uvicorn's annotation
            super().on_body(body)

    def on_message_complete(self) -> None:
        """The same at its end."""
        if self.cycle is not None and not self.transport.is_closing():  # pyright: ignore[reportUnnecessaryComparison]  uvicorn's annotation
            super().on_message_complete()

    def resume_writing(self) -> None:
        """The caller has taken most of what was ready for it."""
        self._stuck_bytes = 0
        super().resume_writing()

    def look(self, now_s: float) -> None:
        """Has it waited too long for a head, or has its caller stopped taking the answer?"""
        if self._waiting_since_s != _BUSY and now_s - self._waiting_since_s > HEAD_S:
            self._turn_away("slow")
        if self.flow.write_paused or self.transport.is_closing():
            self._look_at_taking(now_s)

    def _look_at_taking(self, now_s: float) -> None:
        """Nothing is written now, so what is ready shrinks as the caller takes it. A caller that is cut has hung up, as
        far as the request is concerned."""
        ready = self.transport.get_write_buffer_size()
        if not self._stuck_bytes or ready <= self._stuck_bytes - TAKEN_BYTES_MIN:
            self._stuck_bytes, self._stuck_since_s = ready, now_s
        elif now_s - self._stuck_since_s > self.guard.send_stall_s:
            self.guard.closed["stalled"] += 1
            self.transport.abort()

    def _turn_away(self, why: str) -> None:
        """Say why if a request was begun, and hang up."""
        if self.transport.is_closing():
            return
        self.guard.closed[why] += 1
        if self._head_bytes or why == "ambiguous":
            self.transport.write(_answer(*_ANSWERS[why]))
        self._is_head_open = False
        self.transport.close()


def _is_ambiguous(headers: list[tuple[bytes, bytes]], version: str) -> bool:
    """A length and an encoding, either of them twice, an encoding that is not read here (`gzip, chunked`), or another
    number of hosts than one: where a proxy and we might understand different things. 0.6 us for 15 headers."""
    hosts = ends = 0
    for name, value in [pair for pair in headers if pair[0] in _TELLING]:
        if name == b"host":
            hosts += 1
        elif name == b"transfer-encoding" and value.lower() != b"chunked":
            return True
        else:
            ends += 1
    return ends > 1 or hosts > 1 or (hosts == 0 and version == "1.1")


def _answer(status: int, words: bytes) -> bytes:
    return b"HTTP/1.1 %d %s\r\ncontent-type: text/plain\r\ncontent-length: %d\r\nconnection: close\r\n\r\n%s" % (
        status,
        _REASONS[status],
        len(words),
        words,
    )


def guarded(guard: Guard) -> type[GuardedProtocol]:
    """The protocol class for one listener."""
    return type("Guarded", (GuardedProtocol,), {"guard": guard})
