"""One HTTP exchange on raw ASGI: head and body within limits, an answer or a stream, and whether the caller is gone."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final, Protocol

from tollway.dialects.bridge import CONTENT_TYPE_JSON, write_refusal
from tollway.wire.plan import DialectName
from tollway.wire.refusals import Refusal, refuse

Message = dict[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

BODY_BYTES_MAX: Final = 32 * 1024 * 1024
HEADERS_MAX: Final = 100
HEADER_BYTES_MAX: Final = 16 * 1024
BODY_RECEIVE_S: Final = 30.0
BODY_BYTES_PER_S_MIN: Final = 16 * 1024
WATCH_AFTER_S: Final = 0.05
"""A watcher for hang-ups costs a task; answers that come sooner than this need none."""


class Recorder(Protocol):
    """Keeps what the caller is sent, for others with the same Idempotency-Key."""

    def begin(self, status: int, content_type: str, headers: Mapping[str, str], *, is_stream: bool) -> None:
        """The head."""
        ...

    def add(self, data: bytes, *, is_last: bool) -> None:
        """A part of the body."""
        ...


class Exchange:
    """What the caller sent, and what it gets."""

    __slots__ = (
        "_receive",
        "_send",
        "_watcher",
        "bytes_out",
        "headers",
        "is_begun",
        "path",
        "recorder",
        "scope",
        "status",
    )

    def __init__(self, scope: Message, receive: Receive, send: Send) -> None:
        self.scope = scope
        self.path: str = scope["path"]
        self.headers: dict[str, str] = {
            name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]
        }
        self.is_begun = False
        self.status = 0
        self.bytes_out = 0
        self.recorder: Recorder | None = None
        self._receive = receive
        self._send = send
        self._watcher: asyncio.Task[None] | asyncio.TimerHandle | None = None

    @property
    def method(self) -> str:
        """GET, POST, …"""
        return self.scope["method"]

    @property
    def client(self) -> str:
        """The caller's address as the socket knows it."""
        peer = self.scope.get("client")
        return peer[0] if peer else ""

    def token(self) -> str:
        """The key the caller sent, from either header; "" if none."""
        value = self.headers.get("authorization", "")
        if value[:7].lower() == "bearer ":
            return value[7:].strip()
        return self.headers.get("x-api-key", "").strip()

    def head_refusal(self) -> Refusal | None:
        """What can be refused before the body is read."""
        raw = self.scope["headers"]
        if len(raw) > HEADERS_MAX or sum(len(name) + len(value) for name, value in raw) > HEADER_BYTES_MAX:
            return refuse("invalid_request_body", "The request has too many headers.")
        if self.headers.get("content-encoding", "identity") != "identity":
            return refuse("invalid_request_body", "Send the body without content-encoding.", param="content-encoding")
        media_type = self.headers.get("content-type", "application/json").partition(";")[0].strip().lower()
        if media_type != "application/json":
            return refuse("invalid_request_body", "Send the body as application/json.", param="content-type")
        return None

    async def body(self) -> bytes | Refusal:
        """The whole body. A larger one is refused as soon as that is known, one that drips when it falls behind."""
        declared = self.headers.get("content-length", "0")
        if declared.isdecimal() and int(declared) > BODY_BYTES_MAX:
            return _too_large()
        try:
            async with asyncio.timeout(_receive_limit_s(declared)):  # 3 us; the first part may be the one that is late
                message = await self._receive()
                if message.get("more_body", False):
                    return await self._rest(message["body"])
        except TimeoutError:
            return refuse("invalid_request_body", "The body came too slowly.")
        return message.get("body", b"") if message["type"] == "http.request" else refuse("client_closed")

    async def _rest(self, first: bytes) -> bytes | Refusal:
        parts, total, is_more = [first], len(first), True
        while is_more:
            message = await self._receive()
            if message["type"] != "http.request":
                return refuse("client_closed")
            parts.append(message.get("body", b""))
            total += len(parts[-1])
            if total > BODY_BYTES_MAX:
                return _too_large()
            is_more = message.get("more_body", False)
        return b"".join(parts)

    # -- the answer

    async def answer(self, status: int, body: bytes, content_type: str, headers: Mapping[str, str]) -> None:
        """A whole answer."""
        if self.recorder is not None:
            self.recorder.begin(status, content_type, headers, is_stream=False)
        head = [
            (b"content-type", content_type.encode("latin-1")),
            (b"content-length", str(len(body)).encode()),
            *_encoded(headers),
        ]
        await self._start(status, head)
        await self._body(b"" if self.method == "HEAD" else body, more=False)

    async def begin(self, status: int, content_type: str, headers: Mapping[str, str]) -> None:
        """The head of a stream."""
        if self.recorder is not None:
            self.recorder.begin(status, content_type, headers, is_stream=True)
        head = [
            (b"content-type", content_type.encode("latin-1")),
            (b"cache-control", b"no-cache"),
            (b"x-accel-buffering", b"no"),
            *_encoded(headers),
        ]
        await self._start(status, head)

    async def send(self, data: bytes) -> None:
        """A part of a stream; returns when the caller's socket has room again."""
        await self._body(data, more=True)

    async def remark(self, comment: bytes) -> None:
        """A comment between the parts of a stream: it is no part of the answer, so it is neither counted nor kept."""
        await self._send({"type": "http.response.body", "body": comment, "more_body": True})

    async def close(self, data: bytes = b"") -> None:
        """The end of a stream."""
        await self._body(data, more=False)

    async def refuse(self, refusal: Refusal, dialect: DialectName, request_id: str, headers: Mapping[str, str]) -> None:
        """A no in the caller's dialect."""
        own = {"tollway-request-id": request_id, **headers}
        if refusal.retry_after_s is not None or refusal.rule.is_retryable:
            own["retry-after"] = str(refusal.retry_after_s if refusal.retry_after_s is not None else 1)
        body = write_refusal(dialect, refusal, request_id)
        await self.answer(refusal.rule.status, body, CONTENT_TYPE_JSON, own)

    async def _start(self, status: int, head: list[tuple[bytes, bytes]]) -> None:
        self.is_begun, self.status = True, status
        await self._send({"type": "http.response.start", "status": status, "headers": head})

    async def _body(self, data: bytes, *, more: bool) -> None:
        self.bytes_out += len(data)
        if self.recorder is not None:
            self.recorder.add(data, is_last=not more)
        await self._send({"type": "http.response.body", "body": data, "more_body": more})

    # -- is the caller still there?

    def watch(self, on_gone: Callable[[], None]) -> None:
        """Call back when the caller hangs up, from WATCH_AFTER_S on."""
        loop = asyncio.get_running_loop()

        def start() -> None:
            self._watcher = loop.create_task(self._watch(on_gone))

        self._watcher = loop.call_later(WATCH_AFTER_S, start)

    async def _watch(self, on_gone: Callable[[], None]) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass
        on_gone()

    def unwatch(self) -> None:
        """The answer is out."""
        if self._watcher is not None:
            self._watcher.cancel()
            self._watcher = None


def _receive_limit_s(declared: str) -> float:
    size = int(declared) if declared.isdecimal() else BODY_BYTES_MAX
    return BODY_RECEIVE_S + size / BODY_BYTES_PER_S_MIN


def _too_large() -> Refusal:
    return refuse("body_too_large", f"The request body is larger than {BODY_BYTES_MAX // 1024 // 1024} MiB.")


def _printable(value: str) -> bytes:
    """A header's value; names of the caller's own choosing may be in it, and the server takes no control characters."""
    if not value.isprintable():
        value = "".join(letter if letter.isprintable() else "?" for letter in value)
    return value.encode("latin-1", "replace")


_SDK_NAMES: Final = (b"x-request-id", b"request-id")
"""Where the SDKs of OpenAI and of Anthropic look for the request's id."""


def _encoded(headers: Mapping[str, str]) -> list[tuple[bytes, bytes]]:
    encoded = [(name.encode("latin-1"), _printable(value)) for name, value in headers.items()]
    request_id = headers.get("tollway-request-id")
    if request_id is not None:
        encoded += [(name, request_id.encode("latin-1")) for name in _SDK_NAMES]
    return encoded
