"""The ASGI application: a table of addresses, and nothing that is slow.

Inference is raw ASGI (24 us a request under uvicorn where a FastAPI route costs 76); `/api` is FastAPI.
"""

from collections.abc import Awaitable, Callable
from typing import Any, Final, Protocol

import msgspec

from tollway import ids
from tollway.dialects.bridge import CONTENT_TYPE_JSON
from tollway.ingress import models
from tollway.ingress.exchange import Exchange, Message, Receive, Send
from tollway.ingress.journey import House, Journey
from tollway.ingress.life import live
from tollway.ingress.surfaces import COUNT_TOKENS, DOORS, MODELS, dialect_at
from tollway.tasks import report
from tollway.telemetry import Telemetry
from tollway.wire.refusals import Refusal, refuse

ASGI = Callable[[Message, Receive, Send], Awaitable[None]]

CORS: Final = {
    "access-control-allow-origin": "*",
    "access-control-allow-methods": "GET, HEAD, POST, OPTIONS",
    "access-control-allow-headers": "*",
    "access-control-max-age": "86400",
}


class Gate(House, Protocol):
    """What the application needs of the service."""

    telemetry: Telemetry
    management: ASGI

    def tell(self, journey: Journey) -> None:
        """A request is over."""
        ...

    def readiness(self) -> dict[str, str]:
        """What is not ready and why; empty: ready."""
        ...


Small = Callable[[House, Exchange, str], Awaitable[Refusal | None]]


class App:
    """Tollway's street door."""

    def __init__(self, gate: Gate) -> None:
        self._gate = gate

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """One HTTP exchange."""
        if scope["type"] != "http":
            return
        path: str = scope["path"]
        if path.startswith("/api"):
            await self._gate.management(scope, receive, send)
            return
        exchange = Exchange(scope, receive, send)
        door = DOORS.get(path)
        if door is not None and exchange.method == "POST":
            await self._infer(exchange, Journey(exchange, door, self._begin(exchange)))
        else:
            await self._other(exchange)

    def _begin(self, exchange: Exchange) -> Any:
        return self._gate.telemetry.begin(exchange.headers.get("traceparent", ""))

    async def _infer(self, exchange: Exchange, journey: Journey) -> None:
        try:
            await live(self._gate, journey)
        except Exception as fault:  # noqa: BLE001  a bug must not become a hung or truncated answer without a word
            report("request failed", fault)
            journey.refusal = refuse("internal_error")
            await self._apologise(exchange, journey)
        self._gate.tell(journey)

    async def _apologise(self, exchange: Exchange, journey: Journey) -> None:
        """Before the answer has begun, say so; afterwards the connection is cut, which no client takes for success."""
        if exchange.is_begun:
            raise ConnectionAbortedError("a stream broke inside the gateway")
        await exchange.refuse(refuse("internal_error"), journey.door.dialect, journey.request_id, {})

    async def _other(self, exchange: Exchange) -> None:
        request_id = ids.new_id("rq")
        try:
            refusal = await self._small(exchange, request_id)
        except Exception as fault:  # noqa: BLE001  as for inference
            report("request failed", fault)
            refusal = refuse("internal_error")
        if refusal is not None:
            dialect = dialect_at(exchange.path, exchange.headers)
            await exchange.refuse(refusal, dialect, request_id, _allow(refusal, exchange.path))

    async def _small(self, exchange: Exchange, request_id: str) -> Refusal | None:
        if exchange.method == "OPTIONS" and exchange.path.startswith("/v1/"):
            await exchange.answer(204, b"", "text/plain", CORS)
            return None
        methods, handler = _small_at(exchange.path, self)
        if handler is None:
            return refuse("method_not_allowed" if exchange.path in DOORS else "not_found")
        if exchange.method not in methods:
            return refuse("method_not_allowed")
        return await handler(self._gate, exchange, request_id)

    async def alive(self, _house: House, exchange: Exchange, _request_id: str) -> None:
        """`/healthz`: the process answers."""
        await exchange.answer(200, b'{"status":"alive"}', CONTENT_TYPE_JSON, {})

    async def ready(self, _house: House, exchange: Exchange, _request_id: str) -> None:
        """`/readyz`: all five services answer and the store is durable; otherwise 503, with what is missing."""
        missing = self._gate.readiness()
        body = {"status": "not ready" if missing else "ready", "notReady": missing}
        await exchange.answer(503 if missing else 200, msgspec.json.encode(body), CONTENT_TYPE_JSON, {})


_READ: Final = ("GET", "HEAD")


def _small_at(path: str, app: App) -> tuple[tuple[str, ...], Small | None]:
    """The handler of an address that is no inference door, and its methods."""
    if path == MODELS or path.startswith(f"{MODELS}/"):
        return _READ, models.list_models
    table: dict[str, tuple[tuple[str, ...], Small]] = {
        COUNT_TOKENS: (("POST",), models.count),
        "/healthz": (_READ, app.alive),
        "/readyz": (_READ, app.ready),
    }
    return table.get(path, ((), None))


def _allow(refusal: Refusal, path: str) -> dict[str, str]:
    """The `Allow` header that a 405 owes."""
    if refusal.code != "method_not_allowed":
        return {}
    return {"allow": "POST, OPTIONS" if path in DOORS or path == COUNT_TOKENS else "GET, HEAD"}
