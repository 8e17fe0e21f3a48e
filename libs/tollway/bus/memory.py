# ruff: noqa: ARG002  it takes the arguments of the real bus
"""The bus in one process: for tests of services without a broker. The contract suite runs on it and on NATS.

Messages are encoded and decoded as on the wire, delivered on the next turn of the loop, and queue groups take turns.
"""

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

import msgspec

from tollway import clock
from tollway.bus import NOTHING, Delivery, Handles, Listener, Stored, WrongLastSequenceError
from tollway.bus.reading import Answer, Desk, Ears, Tally, body_of, sealed
from tollway.tasks import spawn
from tollway.wire.envelope import Context, unseal
from tollway.wire.refusals import Refusal, refuse
from tollway.wire.subjects import STREAMS

T = TypeVar("T", bound=msgspec.Struct)
Take = Callable[[bytes, str, Answer | None], None]


@dataclass(slots=True)
class _Interest:
    pattern: str
    queue: str
    take: Take


@dataclass(slots=True)
class _StoredMessage:
    sequence: int
    subject: str
    payload: bytes


@dataclass(slots=True)
class _Stream:
    messages: list[_StoredMessage] = field(default_factory=lambda: list[_StoredMessage]())
    ids: dict[str, int] = field(default_factory=lambda: dict[str, int]())
    grew: asyncio.Event = field(default_factory=asyncio.Event)
    acked: dict[str, set[int]] = field(default_factory=lambda: defaultdict(set[int]))


class Broker:
    """What the buses of one test share."""

    def __init__(self) -> None:
        self.interests: list[_Interest] = []
        self.streams = {name: _Stream() for name in STREAMS}
        self._turn: dict[tuple[str, str], int] = defaultdict(int)

    def publish(self, subject: str, payload: bytes, answer: Answer | None = None) -> bool:
        """Deliver to every listener and to one member of each queue group; whether anybody was there."""
        matching = [interest for interest in self.interests if matches(interest.pattern, subject)]
        chosen = [interest for interest in matching if not interest.queue]
        groups = {(interest.queue, interest.pattern) for interest in matching if interest.queue}
        for group in groups:
            members = [interest for interest in matching if (interest.queue, interest.pattern) == group]
            self._turn[group] += 1
            chosen.append(members[self._turn[group] % len(members)])
        for interest in chosen:
            asyncio.get_running_loop().call_soon(interest.take, payload, subject, answer)
        return bool(chosen)

    def stream_of(self, subject: str) -> tuple[str, _Stream]:
        """The stream that stores a subject."""
        name = next(name for name, patterns in STREAMS.items() if any(matches(p, subject) for p in patterns))
        return name, self.streams[name]


def matches(pattern: str, subject: str) -> bool:
    """NATS wildcards: `*` is one token, `>` the rest."""
    want, have = pattern.split("."), subject.split(".")
    for position, part in enumerate(want):
        if part == ">":
            return len(have) > position
        if position >= len(have) or part not in ("*", have[position]):
            return False
    return len(want) == len(have)


class MemoryBus:
    """See `tollway.bus.Bus`. `is_connected` may be set to False to play a lost link."""

    def __init__(self, node: str, broker: Broker) -> None:
        self.node = node
        self.is_connected = True
        self.believed_ms: Callable[[], int] = clock.now_ms
        self.on_reconnect: list[Callable[[], None]] = []
        self.on_disconnect: list[Callable[[], None]] = []
        self._broker = broker
        self._mine: list[_Interest] = []
        self._readers: list[asyncio.Task[Any]] = []

    async def ask(
        self, subject: str, body: msgspec.Struct, reply: type[T], *, timeout_s: float, context: Context = NOTHING
    ) -> T | Refusal:
        """See Bus."""
        if not self.is_connected:
            return _unavailable(subject, "disconnected")
        future: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()

        def answer(payload: bytes) -> None:
            if not future.done():
                future.set_result(payload)

        deadline_ms = clock.now_ms() + int(timeout_s * 1000)
        stamped = Context(context.request_id, context.cause, context.trace, context.deadline_ms or deadline_ms)
        if not self._broker.publish(subject, sealed(body, stamped), answer):
            return _unavailable(subject, "no_responders")
        try:
            envelope = unseal(await asyncio.wait_for(future, timeout_s))
        except TimeoutError:
            return _unavailable(subject, "timeout")
        kind = Refusal if envelope.type == "Refusal" else reply
        return msgspec.msgpack.decode(envelope.body, type=kind)

    def tell(self, subject: str, body: msgspec.Struct, *, context: Context = NOTHING) -> None:
        """See Bus."""
        if self.is_connected:
            self._broker.publish(subject, sealed(body, context))

    async def serve(self, handlers: Sequence[Handles], room: object, *, queue: str) -> "_Stop":
        """See Bus."""
        interests: list[_Interest] = []
        for subject in dict.fromkeys(handles.subject for handles in handlers):
            rows = [handles for handles in handlers if handles.subject == subject]
            desk = Desk(rows, room, spawn, Tally(), lambda: self.believed_ms())
            take: Take = lambda payload, _subject, answer, desk=desk: desk.take(payload, answer)  # noqa: E731
            interests.append(self._add(subject, queue, take))
        return _Stop(lambda: [self._broker.interests.remove(interest) for interest in interests])

    async def listen(
        self, subject: str, types: Sequence[type[msgspec.Struct]], callback: Listener, *, queue: str = ""
    ) -> "_Stop":
        """See Bus."""
        ears = Ears(types, callback)
        interest = self._add(subject, queue, lambda payload, subject, _answer: ears.take(payload, subject))
        return _Stop(lambda: self._broker.interests.remove(interest))

    def _add(self, pattern: str, queue: str, take: Take) -> _Interest:
        interest = _Interest(pattern, queue, take)
        self._broker.interests.append(interest)
        self._mine.append(interest)
        return interest

    async def put(
        self,
        subject: str,
        body: msgspec.Struct,
        *,
        message_id: str,
        timeout_s: float = 5.0,
        context: Context = NOTHING,
    ) -> Stored:
        """See Bus."""
        return await self.put_bytes(subject, sealed(body, context), headers={"Nats-Msg-Id": message_id})

    async def put_bytes(
        self, subject: str, payload: bytes, *, headers: dict[str, str], timeout_s: float = 5.0
    ) -> Stored:
        """See Bus."""
        name, stream = self._broker.stream_of(subject)
        message_id = headers.get("Nats-Msg-Id", "")
        if message_id in stream.ids:
            return Stored(name, stream.ids[message_id], is_duplicate=True)
        expected = headers.get("Nats-Expected-Last-Subject-Sequence")
        last = max((stored.sequence for stored in stream.messages if stored.subject == subject), default=0)
        if expected is not None and int(expected) != last:
            raise WrongLastSequenceError(f"{subject}: wrong last sequence: {last}")
        sequence = len(stream.messages) + 1
        stream.messages.append(_StoredMessage(sequence, subject, payload))
        if message_id:
            stream.ids[message_id] = sequence
        stream.grew.set()
        self._broker.publish(subject, payload)
        return Stored(name, sequence)

    async def follow(
        self,
        stream: str,
        subjects: Sequence[str],
        types: Sequence[type[msgspec.Struct]],
        callback: Callable[[Delivery], Awaitable[None]],
        *,
        durable: str,
        ack_wait_s: float = 30.0,
        max_in_flight: int = 256,
    ) -> "_Stop":
        """See Bus."""
        reading = self._read(self._broker.streams[stream], subjects, types, callback, durable, ack_wait_s)
        task = spawn(reading, name=f"follow {stream}")
        self._readers.append(task)
        return _Stop(task.cancel)

    async def _read(
        self,
        stream: _Stream,
        subjects: Sequence[str],
        types: Sequence[type[msgspec.Struct]],
        callback: Callable[[Delivery], Awaitable[None]],
        durable: str,
        ack_wait_s: float,
    ) -> None:
        handed: dict[int, float] = {}
        while True:
            for stored in list(stream.messages):
                is_due = clock.monotonic_s() - handed.get(stored.sequence, -ack_wait_s) >= ack_wait_s
                wanted = any(matches(pattern, stored.subject) for pattern in subjects)
                if wanted and is_due and stored.sequence not in stream.acked[durable]:
                    await _hand_over(stored, types, callback, stream.acked[durable], handed)
            stream.grew.clear()
            await _grown(stream.grew, min(ack_wait_s, 0.05))

    async def drain(self) -> None:
        """See Bus."""
        for task in self._readers:
            task.cancel()
        for interest in self._mine:
            if interest in self._broker.interests:
                self._broker.interests.remove(interest)
        await asyncio.sleep(0)


async def _grown(event: asyncio.Event, within_s: float) -> None:
    try:
        await asyncio.wait_for(event.wait(), within_s)
    except TimeoutError:
        return


async def _hand_over(
    stored: _StoredMessage,
    types: Sequence[type[msgspec.Struct]],
    callback: Callable[[Delivery], Awaitable[None]],
    acked: set[int],
    handed: dict[int, float],
) -> None:
    read = body_of(stored.payload, types)
    is_redelivered = stored.sequence in handed
    handed[stored.sequence] = clock.monotonic_s()

    async def ack() -> None:
        acked.add(stored.sequence)

    async def nak(delay_s: float) -> None:  # noqa: ARG001  the next look brings it
        handed[stored.sequence] = float("-inf")

    if read is None:
        await ack()
        return
    await callback(Delivery(read[0], read[1], stored.subject, stored.sequence, is_redelivered, ack, ack, nak))


class _Stop:
    def __init__(self, action: Callable[[], object]) -> None:
        self._action = action

    async def stop(self) -> None:
        self._action()


def _unavailable(subject: str, cause: str) -> Refusal:
    return refuse("gateway_unavailable", details={"cause": cause, "subject": subject})
