"""One connection to a provider. `Link` speaks HTTP/1.1 through httptools' parser (llhttp) and fills one `Answer` at a
time. Everything a provider sends has a limit, and a reader who stops reading stops the socket.
"""

import asyncio
import select
from collections.abc import Callable
from fcntl import ioctl
from socket import IPPROTO_TCP, TCP_NODELAY, socket
from sys import byteorder
from termios import TIOCOUTQ
from typing import Any, Final, cast

import httptools

from tollway.adapter.arriving import Answer, Rest, UpstreamError

HEADER_BYTES_MAX: Final = 64 * 1024
HEADERS_MAX: Final = 200
READ_BYTES: Final = 64 * 1024
SEND_TOGETHER_BYTES_MAX: Final = 64 * 1024
REST_S: Final = 1.0
IDLE_S_MAX: Final = 55.0

_buffer: Final = memoryview(bytearray(READ_BYTES))
"""All connections read into it in turn: what a socket gave is parsed and copied before the next one is read. A stream
whose client is behind thus holds some 100 KB, where uvloop's own reads of 256 KB made it 400."""


class Link(asyncio.BufferedProtocol):
    """One connection, serving one answer at a time."""

    __slots__ = (
        "_answer",
        "_header_bytes",
        "_headers",
        "_is_complete",
        "_is_delimited",
        "_is_headed",
        "_is_lasting",
        "_is_paused",
        "_is_silent",
        "_is_unheard",
        "_on_idle",
        "_on_lost",
        "_parser",
        "_transport",
        "_unshown_bytes",
        "idle_since_s",
        "is_lost",
    )

    def __init__(self, on_idle: "Callable[[Link], None]", on_lost: "Callable[[Link], None]") -> None:
        self._on_idle = on_idle
        self._on_lost = on_lost
        self._transport: asyncio.Transport | None = None
        self._answer: Answer | Rest | None = None
        self._parser: Any = None
        self._headers: list[tuple[bytes, bytes]] = []
        self._header_bytes = self._unshown_bytes = 0
        self._is_headed = self._is_delimited = self._is_complete = self._is_paused = self.is_lost = False
        self._is_silent, self._is_unheard, self._is_lasting = True, False, False
        self.idle_since_s = 0.0

    # what the pool does

    def send(self, head: bytes, body: bytes) -> Answer:
        """Begin the next request."""
        if self._transport is None or self.is_lost:
            raise UpstreamError("connect", "the connection was closed")
        self._answer = answer = Answer(self)
        self._parser = httptools.HttpResponseParser(self)
        self._headers, self._header_bytes, self._unshown_bytes = [], 0, 0
        self._is_headed = self._is_delimited = self._is_complete = False
        self._is_silent = True
        self._transport.write(head + body if len(body) < SEND_TOGETHER_BYTES_MAX else head)
        if len(body) >= SEND_TOGETHER_BYTES_MAX:
            self._transport.write(body)
        return answer

    def is_fresh(self, now_s: float) -> bool:
        """Whether a resting connection may be used again: one that is readable was closed, or says nonsense."""
        if self.is_lost or self._transport is None or now_s - self.idle_since_s > IDLE_S_MAX:
            return False
        sock: socket | None = self._transport.get_extra_info("socket")
        poll = select.poll()
        poll.register(-1 if sock is None else sock.fileno(), select.POLLIN | select.POLLHUP)
        return not poll.poll(0)

    def resume(self) -> None:
        if self._is_paused and self._transport is not None:
            self._is_paused = False
            self._transport.resume_reading()

    def finish_alone(self) -> None:
        """Keep the connection if the answer ends within a moment, else close it."""
        rest = self._answer = Rest()
        self.resume()
        asyncio.get_running_loop().call_later(REST_S, self._give_up, rest)

    def _give_up(self, rest: Rest) -> None:
        if self._answer is rest:
            self.hang_up()

    def hang_up(self) -> None:
        """Close at once, without waiting for what is not yet written."""
        if self._transport is not None and not self.is_lost:
            self._transport.abort()

    # what the loop tells

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's transports do not inherit asyncio's
        sock: socket | None = transport.get_extra_info("socket")
        if sock is not None:
            sock.setsockopt(IPPROTO_TCP, TCP_NODELAY, 1)

    def get_buffer(self, sizehint: int) -> memoryview:  # noqa: ARG002  the loop's wish
        return _buffer

    def buffer_updated(self, nbytes: int) -> None:
        if self._answer is None:
            return self.hang_up()
        self._is_silent = False
        self._unshown_bytes += nbytes
        error: UpstreamError | None = None
        try:
            self._parser.feed_data(_buffer[:nbytes])
            if self._unshown_bytes > HEADER_BYTES_MAX:
                error = _long_head()  # the parser gathers an endless line, in time that grows with its square
        except httptools.HttpParserCallbackError as fault:
            error = fault.__context__ if isinstance(fault.__context__, UpstreamError) else _nonsense()
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            error = _nonsense()
        if self._is_complete:
            self._finish(is_kept=error is None)
        elif error is not None:
            self._fail(error)
        return None

    def eof_received(self) -> bool:
        """A provider that ends a resting connection just when it is used again has not got the request."""
        self._is_unheard = self._is_silent and self._answer is not None and _has_unheard(self._transport)
        if self._is_unheard:
            self.hang_up()  # else the rest of the request is waited for
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        self.is_lost = True
        self._on_lost(self)
        if self._answer is not None:
            if self._is_headed and not self._is_delimited and exc is None:
                self._finish(is_kept=False)
            else:
                self._fail(_unheard() if self._is_unheard else _cut(is_silent=self._is_silent))

    # what the parser tells

    def on_header(self, name: bytes, value: bytes) -> None:
        self._header_bytes += len(name) + len(value)
        if self._header_bytes > HEADER_BYTES_MAX or len(self._headers) >= HEADERS_MAX:
            raise _long_head()
        self._headers.append((name, value))

    def on_headers_complete(self) -> None:
        self._unshown_bytes = 0
        status = self._parser.get_status_code()
        if status < 200:
            self._headers = []
            return
        headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in self._headers}
        self._is_headed = True
        self._is_delimited = "content-length" in headers or "chunked" in headers.get("transfer-encoding", "").lower()
        if self._answer is not None:
            self._answer.on_head(status, headers)

    def on_body(self, body: bytes) -> None:
        self._unshown_bytes = 0
        if (
            self._answer is not None
            and self._answer.on_data(body)
            and not self._is_paused
            and self._transport is not None
        ):
            self._is_paused = True
            self._transport.pause_reading()

    def on_message_begin(self) -> None:
        if self._is_complete:
            raise UpstreamError("malformed", "the answer goes on after its end")

    def on_message_complete(self) -> None:
        self._is_complete = self._is_headed
        self._is_lasting = self._is_delimited and bool(self._parser.should_keep_alive())

    def _finish(self, *, is_kept: bool) -> None:
        answer, self._answer = self._answer, None
        if answer is not None:
            answer.on_done()
        self.resume()
        if is_kept and self._is_lasting and not self.is_lost:
            self._on_idle(self)
        else:
            self.hang_up()

    def _fail(self, error: UpstreamError) -> None:
        answer, self._answer = self._answer, None
        if answer is not None:
            answer.on_error(error)
        self.hang_up()


def _long_head() -> UpstreamError:
    return UpstreamError("too_large", "the answer's head is larger than the gateway takes")


def _nonsense() -> UpstreamError:
    return UpstreamError("malformed", "the answer is not HTTP")


def _has_unheard(transport: asyncio.Transport | None) -> bool:
    """Whether bytes that were sent have not reached the other side's kernel."""
    sock: socket | None = transport.get_extra_info("socket") if transport is not None else None
    if sock is None:
        return False
    try:
        return int.from_bytes(ioctl(sock.fileno(), TIOCOUTQ, bytes(4)), byteorder) > 0
    except OSError:
        return False


def _unheard() -> UpstreamError:
    return UpstreamError("connect", "the provider closed the connection before the request arrived")


def _cut(*, is_silent: bool) -> UpstreamError:
    return UpstreamError(
        "cut",
        "the provider closed the connection without an answer"
        if is_silent
        else "the provider closed the connection in the middle of its answer",
    )
