"""One connection to a provider, and the answer that arrives on it.

`Link` speaks HTTP/1.1 through httptools' parser (llhttp); `Answer` is what the caller reads. Everything a provider
sends has a limit, and a caller who stops reading stops the socket.
"""

import asyncio
import select
import zlib
from collections.abc import Awaitable, Callable
from fcntl import ioctl
from socket import IPPROTO_TCP, TCP_NODELAY, socket
from sys import byteorder
from termios import TIOCOUTQ
from typing import Any, Final, Literal, cast

import httptools

Trouble = Literal["connect", "address_refused", "cut", "malformed", "too_large"]

HEADER_BYTES_MAX: Final = 64 * 1024
HEADERS_MAX: Final = 200
ANSWER_BYTES_MAX: Final = 64 * 1024 * 1024
LARGE_BYTES: Final = 1024 * 1024
LARGE_TOGETHER_BYTES_MAX: Final = 128 * 1024 * 1024
PARTS_MAX: Final = 1_000_000
"""Objects and lists in an answer: decoded, one takes some 30 times its bytes."""

UNREAD_BYTES_MAX: Final = 32 * 1024
"""The socket is not read while more than this waits for the caller."""

READ_BYTES: Final = 64 * 1024
SEND_TOGETHER_BYTES_MAX: Final = 64 * 1024
REST_BYTES_MAX: Final = 16 * 1024
REST_S: Final = 1.0
INFLATE_STEP_BYTES: Final = 256 * 1024
IDLE_S_MAX: Final = 55.0


class UpstreamError(Exception):
    """What the network or the provider did wrong. The message has neither addresses with queries nor credentials.

    connect: nothing of the request was sent. cut: the connection ended before the answer did.
    """

    def __init__(self, trouble: Trouble, message: str) -> None:
        super().__init__(message)
        self.trouble: Trouble = trouble
        self.message = message


class Larder:
    """What large answers that are being read take together, in one process. When it is full, those are given up that
    take more than an even share: a few huge ones do not keep the others out."""

    def __init__(self) -> None:
        self._held: dict[int, int] = {}
        self._together = 0

    @property
    def held_bytes(self) -> int:
        """By all of them now."""
        return self._together

    def hold(self, answer: object, size_bytes: int) -> None:
        """An answer has so many bytes in all. Raises UpstreamError where that is more than there is room for."""
        before = self._held.get(id(answer), 0)
        self._held[id(answer)] = size_bytes
        self._together += size_bytes - before
        if self._together > LARGE_TOGETHER_BYTES_MAX and size_bytes * len(self._held) > LARGE_TOGETHER_BYTES_MAX:
            raise UpstreamError("too_large", "the gateway is reading too many large answers")

    def release(self, answer: object) -> None:
        """It was read, or given up."""
        self._together -= self._held.pop(id(answer), 0)


class Answer:
    """A provider's answer while it arrives. One reader."""

    __slots__ = (
        "_chunks",
        "_error",
        "_inflater",
        "_is_done",
        "_link",
        "_size",
        "_unread",
        "_waiter",
        "headers",
        "status",
    )

    def __init__(self, link: "Link") -> None:
        self.status = 0
        self.headers: dict[str, str] = {}
        self._link: Link | None = link
        self._chunks: list[bytes] = []
        self._unread = 0
        self._size = 0
        self._is_done = False
        self._error: UpstreamError | None = None
        self._waiter: asyncio.Future[None] | None = None
        self._inflater: _Inflater | None = None

    async def begun(self) -> None:
        """Wait for the head."""
        while not self.status:
            if self._error is not None:
                raise self._error
            await self._wait()

    async def chunk(self) -> bytes:
        """All bytes that have arrived since the last call, waiting for some; b"" at the end of a complete answer."""
        if self._inflater is not None:
            return await self._inflater.chunk(self._raw)
        return await self._raw()

    async def whole(self, larder: Larder) -> bytes:
        """The rest of the answer."""
        first = await self.chunk()
        if not first or (self._is_done and not self._chunks and self._inflater is None):
            return first
        parts, size = [first], len(first)
        try:
            while part := await self.chunk():
                parts.append(part)
                size += len(part)
                if size > LARGE_BYTES:
                    larder.hold(self, size)
        finally:
            larder.release(self)
        return _readable(b"".join(parts))

    async def begin(self, size_bytes: int) -> bytes:
        """At most about so many bytes of the rest: enough of an error's page."""
        parts, size = list[bytes](), 0
        while size < size_bytes and (part := await self.chunk()):
            parts.append(part)
            size += len(part)
        return b"".join(parts)

    def close(self) -> None:
        """Give the answer up: the provider is hung up on unless it was done."""
        if self._link is not None:
            self._link.hang_up()

    def leave(self) -> None:
        """All that matters was read: the connection is kept if the answer's last bytes come soon."""
        if self._link is not None:
            self._link.finish_alone()
            self._link = None

    async def _raw(self) -> bytes:
        while not self._chunks:
            if self._error is not None:
                raise self._error
            if self._is_done:
                return b""
            await self._wait()
        data = self._chunks[0] if len(self._chunks) == 1 else b"".join(self._chunks)
        self._chunks.clear()
        if self._unread > UNREAD_BYTES_MAX and self._link is not None:
            self._link.resume()
        self._unread = 0
        return data

    async def _wait(self) -> None:
        self._waiter = asyncio.get_running_loop().create_future()
        try:
            await self._waiter
        finally:
            self._waiter = None

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    # what the link tells

    def on_head(self, status: int, headers: dict[str, str]) -> None:
        encoding = headers.get("content-encoding", "identity").lower()
        if encoding not in ("identity", ""):
            self._inflater = _Inflater(encoding)
        self.status, self.headers = status, headers
        self._wake()

    def on_data(self, data: bytes) -> bool:
        """Take a part of the body; whether the socket should rest now."""
        self._size += len(data)
        if self._size > ANSWER_BYTES_MAX:
            raise UpstreamError("too_large", "the answer is larger than the gateway takes")
        self._chunks.append(data)
        self._unread += len(data)
        self._wake()
        return self._unread > UNREAD_BYTES_MAX

    def on_done(self) -> None:
        self._is_done = True
        self._link = None
        self._wake()

    def on_error(self, error: UpstreamError) -> None:
        self._error = error
        self._link = None
        self._wake()


def _readable(body: bytes) -> bytes:
    """The body, unless decoding it would fill the memory."""
    if len(body) > LARGE_BYTES and body.count(b"{") + body.count(b"[") > PARTS_MAX:
        raise UpstreamError("too_large", "the answer has more parts than the gateway reads")
    return body


class _Rest:
    """Takes the last bytes of an answer that nobody reads any more."""

    __slots__ = ("_size",)

    def __init__(self) -> None:
        self._size = 0

    def on_head(self, status: int, headers: dict[str, str]) -> None:
        """Came before."""

    def on_data(self, data: bytes) -> bool:
        self._size += len(data)
        if self._size > REST_BYTES_MAX:
            raise UpstreamError("too_large", "the answer goes on after its end")
        return False

    def on_done(self) -> None:
        """The connection may be kept."""

    def on_error(self, error: UpstreamError) -> None:
        """Nobody minds."""


class _Inflater:
    """Inflates step by step, so that a bomb meets the size limit and not the memory."""

    __slots__ = ("_is_ended", "_left", "_size", "_stream")

    def __init__(self, encoding: str) -> None:
        if encoding not in ("gzip", "x-gzip", "deflate"):
            raise UpstreamError("malformed", "the answer has an encoding that was not asked for")
        self._stream = zlib.decompressobj(47)
        self._left = b""
        self._size = 0
        self._is_ended = False

    async def chunk(self, raw: Callable[[], Awaitable[bytes]]) -> bytes:
        while True:
            data = self._left or await raw()
            if not data:
                if not self._stream.eof:
                    raise UpstreamError("cut", "the compressed answer ended early")
                return b""
            if out := self._step(data):
                return out

    def _step(self, data: bytes) -> bytes:
        try:
            out = self._stream.decompress(data, INFLATE_STEP_BYTES)
        except zlib.error:
            raise UpstreamError("malformed", "the answer's compression is broken") from None
        self._left = self._stream.unconsumed_tail
        self._size += len(out)
        if self._size > ANSWER_BYTES_MAX:
            raise UpstreamError("too_large", "the answer is larger than the gateway takes")
        return out


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
        self._answer: Answer | _Rest | None = None
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
        rest = self._answer = _Rest()
        self.resume()
        asyncio.get_running_loop().call_later(REST_S, self._give_up, rest)

    def _give_up(self, rest: _Rest) -> None:
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
