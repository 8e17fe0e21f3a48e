"""A provider's answer while it arrives: what is read of it, within limits, by one reader who may stop the socket."""

import asyncio
import zlib
from collections.abc import Awaitable, Callable
from typing import Final, Literal, Protocol

Trouble = Literal["connect", "address_refused", "cut", "malformed", "too_large"]

ANSWER_BYTES_MAX: Final = 64 * 1024 * 1024
LARGE_BYTES: Final = 1024 * 1024
LARGE_TOGETHER_BYTES_MAX: Final = 128 * 1024 * 1024
PARTS_MAX: Final = 1_000_000
"""Objects and lists in an answer: decoded, one takes some 30 times its bytes."""

UNREAD_BYTES_MAX: Final = 32 * 1024
"""The socket is not read while more than this waits for the caller."""

REST_BYTES_MAX: Final = 16 * 1024
INFLATE_STEP_BYTES: Final = 256 * 1024


class UpstreamError(Exception):
    """What the network or the provider did wrong. The message has neither addresses with queries nor credentials.

    connect: nothing of the request was sent. cut: the connection ended before the answer did.
    """

    def __init__(self, trouble: Trouble, message: str) -> None:
        super().__init__(message)
        self.trouble: Trouble = trouble
        self.message = message


class Source(Protocol):
    """Where an answer comes from."""

    def resume(self) -> None:
        """There is room again."""
        ...

    def hang_up(self) -> None:
        """Nobody wants the rest."""
        ...

    def finish_alone(self) -> None:
        """Nobody reads the rest, which is thought to be short."""
        ...


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

    def __init__(self, link: Source) -> None:
        self.status = 0
        self.headers: dict[str, str] = {}
        self._link: Source | None = link
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


class Rest:
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
