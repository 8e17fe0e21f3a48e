"""The edge, by raw sockets: heads that are slow, large or ambiguous, bytes of no request, and crowds."""

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Any

import pytest
import uvicorn

from tollway.ingress.protocol import HEAD_BYTES_MAX, HEAD_S, Guard, guarded

GET = b"GET /x HTTP/1.1\r\nhost: a\r\n\r\n"


async def echo(scope: Any, receive: Any, send: Any) -> None:
    """Says which path was asked and how long the body was."""
    size, is_more = 0, True
    while is_more:
        message = await receive()
        size, is_more = size + len(message.get("body", b"")), message.get("more_body", False)
    body = f"{scope['path']} {size}".encode()
    headers = [(b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})


@dataclass
class Edge:
    """A listener with a guard."""

    guard: Guard
    server: uvicorn.Server
    port: int

    async def say(self, data: bytes, *, then: Callable[[], None] | None = None) -> bytes:
        """Send bytes and read until the other side has nothing more to say or hangs up."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        writer.write(data)
        await writer.drain()
        if then is not None:
            await asyncio.sleep(0.05)
            then()
        answer = b""
        while True:
            try:
                part = await asyncio.wait_for(reader.read(65_536), 0.3)
            except (TimeoutError, ConnectionError):
                break
            if not part:
                break
            answer += part
        writer.close()
        return answer

    def later(self, seconds: float) -> None:
        """The sweep as it comes then."""
        self.guard.sweep(self.server.server_state.connections, asyncio.get_running_loop().time() + seconds)


@pytest.fixture
async def edge() -> AsyncIterator[Edge]:
    guard = Guard(address_connections_max=20)
    config = uvicorn.Config(
        echo, "127.0.0.1", 0, http=guarded(guard), lifespan="off", access_log=False, log_config=None, ws="none"
    )
    server = uvicorn.Server(config)
    serving = asyncio.create_task(server.serve())
    while not server.started:  # noqa: ASYNC110  uvicorn has a flag, no event
        await asyncio.sleep(0.005)
    yield Edge(guard, server, server.servers[0].sockets[0].getsockname()[1])
    server.should_exit = True
    await serving


def statuses(answer: bytes) -> list[int]:
    return [int(part[:3]) for part in answer.split(b"HTTP/1.1 ")[1:]]


async def test_ordinary_requests_pass_also_pipelined_and_kept_alive(edge: Edge) -> None:
    assert statuses(await edge.say(GET * 3)) == [200, 200, 200]
    chunked = b"POST /y HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"
    assert (await edge.say(chunked)).endswith(b"/y 3")
    old = b"GET /x HTTP/1.0\r\n\r\n"
    assert statuses(await edge.say(old)) == [200]
    large = b"POST /z HTTP/1.1\r\nhost: a\r\ncontent-length: 200000\r\n\r\n" + b"x" * 200_000
    assert (await edge.say(large + GET)).endswith(b"/x 0")
    assert not edge.guard.closed


@pytest.mark.parametrize("begun", [b"G", b"GET /x HTTP/1.1\r\nhost", GET[:-2], GET + b"GET /"])
async def test_a_head_that_does_not_come_is_given_up(edge: Edge, begun: bytes) -> None:
    answer = await edge.say(begun, then=lambda: edge.later(HEAD_S + 1))
    assert statuses(answer)[-1] == 408
    assert edge.guard.closed["slow"] == 1


async def test_a_connection_that_says_nothing_is_hung_up_on(edge: Edge) -> None:
    assert await edge.say(b"", then=lambda: edge.later(HEAD_S + 1)) == b""
    assert edge.guard.closed["slow"] == 1


async def test_bytes_of_no_request_do_not_keep_a_connection(edge: Edge) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", edge.port)
    writer.write(GET)
    assert b"200 OK" in await reader.read(1000)
    writer.write(b"\r\n")
    await asyncio.sleep(0.05)
    edge.later(HEAD_S + 1)
    assert b"200" not in await asyncio.wait_for(reader.read(), 2)
    writer.close()


async def test_a_request_at_work_and_a_resting_connection_are_left_alone(edge: Edge) -> None:
    begun = b"POST /y HTTP/1.1\r\nhost: a\r\ncontent-length: 10\r\n\r\nabc"
    reader, writer = await asyncio.open_connection("127.0.0.1", edge.port)
    writer.write(begun)
    await asyncio.sleep(0.05)
    edge.later(HEAD_S + 1)
    writer.write(b"defghij")
    assert (await reader.read(1000)).endswith(b"/y 10")
    edge.later(HEAD_S + 1)
    writer.write(GET)
    assert (await reader.read(1000)).endswith(b"/x 0")
    writer.close()
    assert not edge.guard.closed


@pytest.mark.parametrize(
    "head",
    [
        b"GET /x HTTP/1.1\r\nx: " + b"y" * (HEAD_BYTES_MAX + 1),
        b"GET /" + b"x" * (HEAD_BYTES_MAX + 1),
        b"GET /x HTTP/1.1\r\n" + b"a: b\r\n" * HEAD_BYTES_MAX,
    ],
)
async def test_a_head_without_end_is_cut_off(edge: Edge, head: bytes) -> None:
    answer = await edge.say(head)
    assert statuses(answer) in ([431], [400])
    assert sum(edge.guard.closed.values()) <= 1


POST = b"POST /y HTTP/1.1\r\nhost: a\r\n"
SMUGGLED = b"0\r\n\r\nGET /smuggled HTTP/1.1\r\nhost: a\r\n\r\n"
SMUGGLING = {
    "length and encoding": POST + b"content-length: 5\r\ntransfer-encoding: chunked\r\n\r\n" + SMUGGLED,
    "encoding and length": POST + b"transfer-encoding: chunked\r\ncontent-length: 5\r\n\r\n" + SMUGGLED,
    "two lengths": POST + b"content-length: 5\r\ncontent-length: 41\r\n\r\n" + SMUGGLED,
    "the same length twice": POST + b"content-length: 5\r\ncontent-length: 5\r\n\r\n" + SMUGGLED,
    "a list of lengths": POST + b"content-length: 5, 41\r\n\r\n" + SMUGGLED,
    "a signed length": POST + b"content-length: +5\r\n\r\n" + SMUGGLED,
    "a hexadecimal length": POST + b"content-length: 0x5\r\n\r\n" + SMUGGLED,
    "a negative length": POST + b"content-length: -1\r\n\r\n" + SMUGGLED,
    "a huge length": POST + b"content-length: 99999999999999999999\r\n\r\n" + SMUGGLED,
    "two encodings": POST + b"transfer-encoding: chunked\r\ntransfer-encoding: identity\r\n\r\n" + SMUGGLED,
    "chunked and then another": POST + b"transfer-encoding: chunked, identity\r\n\r\n" + SMUGGLED,
    "an odd encoding": POST + b"transfer-encoding: xchunked\r\n\r\n" + SMUGGLED,
    "an encoding that is not read here": POST + b"transfer-encoding: gzip, chunked\r\n\r\n" + SMUGGLED,
    "two hosts": b"GET /smuggled HTTP/1.1\r\nhost: a\r\nhost: b\r\n\r\n",
    "no host": b"GET /smuggled HTTP/1.1\r\n\r\n",
    "a blank before the colon": POST + b"transfer-encoding : chunked\r\n\r\n" + SMUGGLED,
    "a folded header": POST + b"x: y\r\n transfer-encoding: chunked\r\n\r\n" + SMUGGLED,
    "a bare line feed": POST + b"x: y\ntransfer-encoding: chunked\r\n\r\n" + SMUGGLED,
    "a bare carriage return": POST + b"x: y\rtransfer-encoding: chunked\r\n\r\n" + SMUGGLED,
    "a NUL": POST + b"x: \x00\r\n\r\n" + SMUGGLED,
    "a bad chunk size": POST + b"transfer-encoding: chunked\r\n\r\n0x3\r\nabc\r\n" + SMUGGLED,
    "no version": b"GET /smuggled\r\n\r\n",
    "a body on the way of another protocol": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
}


@pytest.mark.parametrize("name", SMUGGLING)
async def test_nothing_is_smuggled(edge: Edge, name: str) -> None:
    answer = await edge.say(SMUGGLING[name])
    assert b"/smuggled" not in answer
    assert statuses(answer) in ([400], [])
    assert statuses(await edge.say(GET)) == [200]


async def test_one_address_cannot_hold_every_connection(edge: Edge) -> None:
    kept = [await asyncio.open_connection("127.0.0.1", edge.port) for _ in range(20)]
    assert await edge.say(GET) == b""
    assert edge.guard.closed["crowd"] == 1
    for _, writer in kept:
        writer.close()
    await asyncio.sleep(0.1)
    assert statuses(await edge.say(GET)) == [200]
