"""In front of FastAPI: who may come in at all, and bodies within limits, before anything is parsed into shapes.

The order is the cost of a bad request: address, key format (offline), key (one question to auth), body size and
time, JSON. Judged on the raw path of the scope, never on a URL that a header may have changed.
"""

import asyncio
import json
import re
from collections.abc import Awaitable, Callable
from typing import Any, Final

import msgspec

from tollway.bus import Bus
from tollway.dialects.bodies import DEPTH_MAX, is_deep
from tollway.ingress.management.errors import error_body, error_headers
from tollway.tasks import report
from tollway.wire import keys, subjects
from tollway.wire.access import ApiPrincipal, CheckApiKey
from tollway.wire.refusals import Refusal, refuse

Message = dict[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
ASGI = Callable[[Message, Receive, Send], Awaitable[None]]

OPEN_PATHS: Final = frozenset({"/api/docs", "/api/openapi.json", "/api/stripe/webhook"})
"""No key needed: documentation, and a webhook that proves itself by its signature."""
OPEN_PREFIXES: Final = ("/api/docs/", "/api/dev-payments/")
RAW_PATHS: Final = frozenset({"/api/stripe/webhook"})
"""Bodies that are signed byte for byte: not read as JSON here."""
BODY_BYTES_MAX: Final = 1024 * 1024
BODY_RECEIVE_S: Final = 10.0
CHECK_TIMEOUT_S: Final = 3.0
BY: Final = "tollway.by"
"""Where the scope carries the ApiPrincipal."""
HEADERS: Final = (
    (b"cache-control", b"no-store"),
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
)
_JSON_TYPE: Final = re.compile(rb"application/(?:[a-z0-9.-]+\+)?json")
_NO_KEY: Final = "Send an API key as 'Authorization: Bearer twapi-…'."
_ACCESS_KEY: Final = "That is an access key; the management API takes an API key (twapi-…)."
_MALFORMED: Final = "The API key is malformed."


class Gate:
    """The application behind it sees checked callers and whole, well-formed bodies only."""

    def __init__(self, app: ASGI, bus: Bus) -> None:
        self._app = app
        self._bus = bus

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """One HTTP exchange."""
        if scope["type"] != "http":
            return
        send = _with_headers(send)
        if scope["method"] == "HEAD":
            scope, send = {**scope, "method": "GET"}, _without_body(send)
        admitted = await self._admitted(scope)
        if isinstance(admitted, Refusal):
            await _answer(send, admitted)
            return
        body = await _read_body(scope, receive)
        if isinstance(body, Refusal):
            await _answer(send, body)
            return
        await self._serve(scope | {BY: admitted}, _replay(body, receive), send)

    async def _serve(self, scope: Message, receive: Receive, send: Send) -> None:
        is_begun = False

        async def watched(message: Message) -> None:
            nonlocal is_begun
            is_begun = True
            await send(message)

        try:
            await self._app(scope, receive, watched)
        except Exception as fault:  # noqa: BLE001  a bug must be answered and must not end the connection's neighbours
            report("management request failed", fault)
            if not is_begun:
                await _answer(send, refuse("internal_error"))

    async def _admitted(self, scope: Message) -> ApiPrincipal | Refusal | None:
        """Who asks; None on an open path."""
        path: str = scope["path"]
        if path in OPEN_PATHS or path.startswith(OPEN_PREFIXES):
            return None
        token = _bearer(scope)
        problem = _offline_problem(token)
        if problem:
            return refuse("unauthorized", problem)
        return await self._bus.ask(subjects.AUTH_CHECK_API, CheckApiKey(token), ApiPrincipal, timeout_s=CHECK_TIMEOUT_S)


def _bearer(scope: Message) -> str:
    """The key in the one Authorization header; "" if there is none, or more than one."""
    values = [value for name, value in scope["headers"] if name == b"authorization"]
    if len(values) != 1 or values[0][:7].lower() != b"bearer ":
        return ""
    return values[0][7:].decode("latin-1").strip()


def _offline_problem(token: str) -> str:
    """What is wrong with a key without asking anybody."""
    if keys.is_well_formed(token, keys.API_KEY):
        return ""
    if not token:
        return _NO_KEY
    return _ACCESS_KEY if keys.is_well_formed(token, keys.ACCESS_KEY) else _MALFORMED


# -- bodies


async def _read_body(scope: Message, receive: Receive) -> bytes | Refusal:
    """The whole body, within size and time, and JSON where there is any."""
    try:
        async with asyncio.timeout(BODY_RECEIVE_S):
            body = await _received(receive)
    except TimeoutError:
        return refuse("validation", f"The body did not arrive within {BODY_RECEIVE_S:g} s.")
    if isinstance(body, Refusal) or not body or scope["path"] in RAW_PATHS:
        return body
    return _type_problem(scope) or json_problem(body) or body


def _type_problem(scope: Message) -> Refusal | None:
    """Why a body is not said to be JSON: `curl -d` says that it is a form."""
    if scope["path"].startswith(OPEN_PREFIXES):
        return None
    said = next((value for name, value in scope["headers"] if name == b"content-type"), b"")
    if _JSON_TYPE.fullmatch(said.partition(b";")[0].strip().lower()):
        return None
    return refuse(
        "validation", "Send the body with 'Content-Type: application/json'.", details={"content-type": "is not JSON"}
    )


async def _received(receive: Receive) -> bytes | Refusal:
    parts: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        if message["type"] != "http.request":
            return refuse("client_closed")
        parts.append(message.get("body", b""))
        size += len(parts[-1])
        if size > BODY_BYTES_MAX:
            return refuse("body_too_large", f"The body is larger than {BODY_BYTES_MAX} bytes.")
        if not message.get("more_body"):
            return b"".join(parts)


def json_problem(body: bytes) -> Refusal | None:
    """Why a body is not strict JSON: UTF-8 without lone surrogates, no NaN, no key twice, not too deep."""
    if is_deep(body):
        return refuse(
            "validation", f"The body is nested deeper than {DEPTH_MAX} levels.", details={"body": "nested too deep"}
        )
    try:
        msgspec.json.decode(body)
        json.loads(body, object_pairs_hook=_once)
    except (ValueError, UnicodeError) as error:
        return refuse("validation", f"The body is not valid JSON: {_reason(error)}", details={"body": "not valid JSON"})
    return None


class _TwiceError(ValueError):
    """Names the key, which is not a secret."""


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    seen: dict[str, Any] = {}
    for name, value in pairs:
        if name in seen:
            raise _TwiceError(f"the key {name[:64]!r} is given twice")
        seen[name] = value
    return seen


def _reason(error: Exception) -> str:
    """What a parser says, without the body."""
    return str(error) if isinstance(error, (_TwiceError, msgspec.DecodeError)) else "it cannot be read."


def _replay(body: bytes, receive: Receive) -> Receive:
    """The body once more, then what the connection says."""
    pending = [{"type": "http.request", "body": body, "more_body": False}]

    async def again() -> Message:
        return pending.pop() if pending else await receive()

    return again


# -- answers


async def _answer(send: Send, refusal: Refusal) -> None:
    body = msgspec.json.encode(error_body(refusal))
    headers = {"content-type": "application/json", "content-length": str(len(body)), **error_headers(refusal)}
    raw = [(name.encode(), value.encode()) for name, value in headers.items()]
    await send({"type": "http.response.start", "status": refusal.rule.status, "headers": raw})
    await send({"type": "http.response.body", "body": body})


def _with_headers(send: Send) -> Send:
    """Every answer with the headers that keep it out of caches, frames and sniffers."""

    async def wrapped(message: Message) -> None:
        if message["type"] == "http.response.start":
            have = {name.lower() for name, _ in message["headers"]}
            message["headers"] = [*message["headers"], *(pair for pair in HEADERS if pair[0] not in have)]
        await send(message)

    return wrapped


def _without_body(send: Send) -> Send:
    """HEAD: what GET would say, without its body."""

    async def wrapped(message: Message) -> None:
        if message["type"] == "http.response.body":
            message = {**message, "body": b""}
        await send(message)

    return wrapped
