"""What every service relies on, held by the memory bus and by NATS alike."""

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path

import msgspec
import pytest

from tests.conftest import NatsServer
from tollway import ids
from tollway.bus import Bus, Delivery, Handles
from tollway.bus.memory import Broker, MemoryBus
from tollway.bus.nats import connect
from tollway.bus.quick import WRITE_TURNS
from tollway.wire.envelope import Context
from tollway.wire.refusals import Refusal, refuse


class Greet(msgspec.Struct, frozen=True):
    name: str


class Greeting(msgspec.Struct, frozen=True):
    text: str


class Unheard(msgspec.Struct, frozen=True):
    name: str


@dataclass
class Room:
    heard: list[str] = field(default_factory=list)


async def greet(room: Room, command: Greet, context: Context) -> Greeting | Refusal | None:
    room.heard.append(command.name)
    if command.name == "nobody":
        return refuse("resource_missing")
    if command.name == "bug":
        raise RuntimeError("secret")
    return Greeting(f"hello {command.name} of {context.request_id}")


def greet_directly(room: Room, command: Greet, _context: Context, respond: Callable[[msgspec.Struct], None]) -> None:
    room.heard.append(command.name)
    respond(Greeting("at once"))


@pytest.fixture(params=["memory", "nats"])
async def pair(request: pytest.FixtureRequest, nats_server: NatsServer) -> AsyncIterator[tuple[Bus, Bus]]:
    """Two buses that reach each other."""
    if request.param == "memory":
        broker = Broker()
        one: Bus = MemoryBus("one", broker)
        two: Bus = MemoryBus("two", broker)
    else:
        one = await connect(nats_server.url, role="a", node=ids.new_id("a"))
        two = await connect(nats_server.url, role="b", node=ids.new_id("b"))
    yield one, two
    await one.drain()
    await two.drain()


@pytest.fixture
def subject() -> str:
    return f"greet.{ids.new_span_id()}"


async def served(bus: Bus, subject: str, *, is_direct: bool = False) -> Room:
    room = Room()
    function = greet_directly if is_direct else greet
    await bus.serve([Handles(subject, Greet, function, is_direct=is_direct)], room, queue="greeters")
    return room


async def test_a_command_is_answered_with_its_context(pair: tuple[Bus, Bus], subject: str) -> None:
    asker, server = pair
    await served(server, subject)
    reply = await asker.ask(subject, Greet("Ada"), Greeting, timeout_s=2, context=Context(request_id="rq_1"))
    assert reply == Greeting("hello Ada of rq_1")


async def test_a_direct_handler_may_respond_without_a_task(pair: tuple[Bus, Bus], subject: str) -> None:
    asker, server = pair
    await served(server, subject, is_direct=True)
    assert await asker.ask(subject, Greet("Ada"), Greeting, timeout_s=2) == Greeting("at once")


async def test_a_refusal_comes_back_as_a_value(pair: tuple[Bus, Bus], subject: str) -> None:
    asker, server = pair
    await served(server, subject)
    reply = await asker.ask(subject, Greet("nobody"), Greeting, timeout_s=2)
    assert isinstance(reply, Refusal)
    assert reply.code == "resource_missing"


async def test_nobody_there_is_said_at_once(pair: tuple[Bus, Bus], subject: str) -> None:
    reply = await pair[0].ask(subject, Greet("Ada"), Greeting, timeout_s=30)
    assert isinstance(reply, Refusal)
    assert (reply.code, reply.details["cause"]) == ("gateway_unavailable", "no_responders")


async def test_a_bug_in_a_handler_answers_without_its_message(
    pair: tuple[Bus, Bus], subject: str, caplog: pytest.LogCaptureFixture
) -> None:
    asker, server = pair
    await served(server, subject)
    reply = await asker.ask(subject, Greet("bug"), Greeting, timeout_s=2)
    assert isinstance(reply, Refusal)
    assert reply.code == "internal_error"
    assert "secret" not in caplog.text
    assert "RuntimeError" in caplog.text


async def test_a_command_past_its_deadline_is_dropped(pair: tuple[Bus, Bus], subject: str) -> None:
    asker, server = pair
    room = await served(server, subject)
    asker.tell(subject, Greet("late"), context=Context(deadline_ms=1))
    asker.tell(subject, Greet("in time"))
    await until(lambda: room.heard == ["in time"])


async def test_an_unknown_command_is_refused_and_an_unknown_event_passed_over(
    pair: tuple[Bus, Bus], subject: str
) -> None:
    asker, server = pair
    await served(server, subject)
    reply = await asker.ask(subject, Unheard("x"), Greeting, timeout_s=2)
    assert isinstance(reply, Refusal)
    assert reply.code == "validation"
    heard: list[Greet] = []
    await server.listen(f"{subject}.events", [Greet], lambda body, _context, _subject: heard.append(body))
    asker.tell(f"{subject}.events", Unheard("x"))
    asker.tell(f"{subject}.events", Greet("known"))
    await until(lambda: heard == [Greet("known")])


async def test_a_queue_group_takes_each_command_once(pair: tuple[Bus, Bus], subject: str) -> None:
    one, two = pair
    rooms = [await served(one, subject), await served(two, subject)]
    for number in range(20):
        await one.ask(subject, Greet(str(number)), Greeting, timeout_s=2)
    assert sorted(int(name) for room in rooms for name in room.heard) == list(range(20))


async def test_a_stream_stores_once_per_message_id(pair: tuple[Bus, Bus]) -> None:
    where, once = f"usage.j.{ids.new_span_id()}", ids.new_id("m")
    first = await pair[0].put(where, Greet("Ada"), message_id=once)
    again = await pair[0].put(where, Greet("Ada"), message_id=once)
    assert not first.is_duplicate
    assert again.is_duplicate
    assert again.sequence == first.sequence


async def test_a_follower_gets_everything_until_it_acknowledges(pair: tuple[Bus, Bus]) -> None:
    where, durable = f"usage.j.{ids.new_span_id()}", ids.new_id("d")
    for name in ("one", "two"):
        await pair[0].put(where, Greet(name), message_id=ids.new_id("m"))
    seen: list[tuple[str, bool]] = []

    async def take(delivery: Delivery) -> None:
        seen.append((delivery.body.name, delivery.is_redelivered))
        if delivery.is_redelivered or delivery.body.name == "one":
            await delivery.ack_sync()
        else:
            await delivery.nak()

    follower = await pair[1].follow("USAGE", [where], [Greet], take, durable=durable, ack_wait_s=1)
    await until(lambda: ("two", True) in seen)
    await follower.stop()
    assert seen == [("one", False), ("two", False), ("two", True)]


async def test_a_killed_broker_fails_asks_at_once_and_is_found_again(tmp_path: Path) -> None:
    server = NatsServer(tmp_path)
    server.start()
    asker = await connect(server.url, role="a", node="a-1")
    answering = await connect(server.url, role="b", node="b-1")
    back: list[str] = []
    for bus in (asker, answering):
        bus.on_reconnect.append(lambda: back.append("back"))

    async def never(_room: Room, _command: Greet, _context: Context) -> None:
        server.kill()

    await answering.serve([Handles("greet.once", Greet, never)], Room(), queue="q")
    reply = await asker.ask("greet.once", Greet("x"), Greeting, timeout_s=20)
    assert isinstance(reply, Refusal)
    assert reply.details["cause"] == "disconnected"
    server.start()
    await until(lambda: len(back) == 2)
    await served(answering, "greet.after")
    assert isinstance(await asker.ask("greet.after", Greet("x"), Greeting, timeout_s=2), Greeting)
    await asker.drain()
    await answering.drain()
    server.kill()


async def until(condition: Callable[[], bool]) -> None:
    for _ in range(500):
        if condition():
            return
        await asyncio.sleep(0.01)
    raise AssertionError("it never came true")


async def test_what_is_told_in_turns_that_follow_each_other_leaves_in_one_write(
    nats_server: NatsServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    bus = await connect(nats_server.url, role="a", node=ids.new_id("a"))
    await bus.client.flush()
    writes: list[int] = []
    monkeypatch.setattr(bus.client._transport, "writelines", lambda parts: writes.append(len(parts)))
    for name in "abc":
        bus.tell("somewhere", Greet(name))
        await asyncio.sleep(0)
    assert writes == []
    for _ in range(WRITE_TURNS):
        await asyncio.sleep(0)
    assert writes == [3]
    monkeypatch.undo()
    await bus.drain()
