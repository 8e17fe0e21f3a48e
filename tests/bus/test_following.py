"""A follower goes on whatever the broker loses: its pull, its memory, the consumer, the stream."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import msgspec
import pytest
from nats.js.api import StreamConfig

from tests.conftest import NatsServer, make_streams
from tollway import ids
from tollway.bus import Delivery
from tollway.bus.following import place_of
from tollway.bus.nats import NatsBus, connect
from tollway.wire.subjects import STREAMS

SUBJECT = "usage.j.07"


class Note(msgspec.Struct, frozen=True):
    """Something to follow."""

    n: int


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[NatsServer]:
    server = NatsServer(tmp_path)
    server.start()
    await make_streams(server.url)
    yield server
    server.kill()


@pytest.fixture
async def bus(server: NatsServer) -> AsyncIterator[NatsBus]:
    bus = await connect(server.url, role="test", node="t1")
    yield bus
    await bus.drain()


async def put(bus: NatsBus, n: int) -> None:
    await bus.put(SUBJECT, Note(n), message_id=ids.new_id("m"))


def into(seen: list[int]) -> Callable[[Delivery], Awaitable[None]]:
    async def take(delivery: Delivery) -> None:
        seen.append(delivery.body.n)
        await delivery.ack()

    return take


async def until(seen: list[int], wanted: list[int]) -> None:
    for _ in range(1000):
        if seen == wanted:
            return
        await asyncio.sleep(0.02)
    raise AssertionError(f"{seen} instead of {wanted}")


async def until_sorted(seen: list[int], wanted: list[int]) -> None:
    """Each as often as wanted, in any order."""
    for _ in range(1000):
        if sorted(seen) == wanted:
            return
        await asyncio.sleep(0.02)
    raise AssertionError(f"{seen} instead of {wanted} in any order")


async def follow(bus: NatsBus, seen: list[int], *, max_in_flight: int = 256) -> None:
    await bus.follow("USAGE", [SUBJECT], [Note], into(seen), durable="d1", ack_wait_s=5, max_in_flight=max_in_flight)


async def test_more_messages_than_a_pull_asks_for_all_arrive_in_order(bus: NatsBus) -> None:
    seen: list[int] = []
    await follow(bus, seen, max_in_flight=3)
    for n in range(20):
        await put(bus, n)
    await until(seen, list(range(20)))


async def test_a_broker_that_was_started_again_is_asked_again(server: NatsServer, bus: NatsBus) -> None:
    seen: list[int] = []
    await follow(bus, seen)
    await put(bus, 1)
    await until(seen, [1])
    is_back = asyncio.Event()
    bus.on_reconnect.append(is_back.set)
    server.kill()
    server.start()
    await is_back.wait()
    await put(bus, 2)
    await until(seen, [1, 2])


async def test_a_deleted_consumer_is_made_again(bus: NatsBus) -> None:
    seen: list[int] = []
    await follow(bus, seen)
    await put(bus, 1)
    await until(seen, [1])
    await bus.client.jetstream().delete_consumer("USAGE", "d1")
    await put(bus, 2)
    await until_sorted(seen, [1, 1, 2])  # the new consumer begins at the first, and may have to bring it once more


async def test_a_deleted_stream_is_waited_for(bus: NatsBus) -> None:
    seen: list[int] = []
    await follow(bus, seen)
    stream = bus.client.jetstream()
    await stream.delete_stream("USAGE")
    await asyncio.sleep(0.5)
    await stream.add_stream(StreamConfig(name="USAGE", subjects=list(STREAMS["USAGE"])))
    await put(bus, 1)
    await until(seen, [1])


async def test_what_was_not_acknowledged_comes_again_and_says_so(bus: NatsBus) -> None:
    told: list[tuple[int, bool]] = []

    async def take(delivery: Delivery) -> None:
        told.append((delivery.sequence, delivery.is_redelivered))
        await (delivery.ack_sync() if delivery.is_redelivered else delivery.nak(0.05))

    await bus.follow("USAGE", [SUBJECT], [Note], take, durable="d2", ack_wait_s=5)
    await put(bus, 1)
    for _ in range(500):
        if len(told) == 2:
            break
        await asyncio.sleep(0.02)
    assert told == [(1, False), (1, True)]
    info = await bus.client.jetstream().consumer_info("USAGE", "d2")
    assert info.num_ack_pending == 0


def test_both_forms_of_ack_subjects_are_read() -> None:
    assert place_of("$JS.ACK.USAGE.d1.2.345.7.1700000000.0") == (345, 2)
    assert place_of("$JS.ACK.hub.acchash.USAGE.d1.2.345.7.1700000000.0.rnd") == (345, 2)


async def test_a_message_that_cannot_be_read_or_handled_does_not_stop_the_others(
    bus: NatsBus, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tollway.bus.following.PAUSE_S", 0.05)
    told: list[tuple[int, bool]] = []

    async def take(delivery: Delivery) -> None:
        told.append((delivery.body.n, delivery.is_redelivered))
        if delivery.body.n == 1:
            raise ValueError("a bug")
        await delivery.ack()

    await bus.follow("USAGE", [SUBJECT], [Note], take, durable="d3", ack_wait_s=5)
    await bus.put_bytes(SUBJECT, b"noise", headers={})
    await put(bus, 1)
    await put(bus, 2)
    for _ in range(500):
        info = await bus.client.jetstream().consumer_info("USAGE", "d3")
        if told.count((1, True)) == 4 and not info.num_ack_pending:
            break
        await asyncio.sleep(0.02)
    assert sorted(set(told)) == [(1, False), (1, True), (2, False)]
    assert told.count((1, True)) == 4, "tried five times, then given up"
    assert info.num_ack_pending == 0
