# pyright: reportUnknownMemberType=false
# nats-py leaves parts of its signatures without types.
"""Reading a stream with one standing pull: the broker pushes what comes into an inbox until the pull is used up.

nats-py's `fetch` makes two requests and several timers for every batch, which is most of the cost of a message when few
come at a time. Here a pull asks for many messages and waits half a minute for them; each goes from the client's reader
to the callback's task without a Msg object.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import Any, Final, Protocol

import msgspec
from nats import errors
from nats.aio.subscription import Subscription as NatsSubscription
from nats.js import JetStreamContext
from nats.js import errors as stream_errors
from nats.js.api import ConsumerConfig

from tollway.bus import Delivery
from tollway.bus.quick import QuickTake
from tollway.bus.reading import body_of
from tollway.tasks import report, spawn

PULL_MESSAGES: Final = 256
PULL_EXPIRES_S: Final = 30.0
HEARTBEAT_S: Final = 5.0
"""The broker says this often that the pull still stands; without a word for twice as long it is asked anew."""
AGAIN_S: Final = 0.2
ACK: Final = b"+ACK"
TERM: Final = b"+TERM"
PAUSE_S: Final = 5.0
DELIVERIES_MAX: Final = 5
"""A message that fails is brought again after a growing pause, and given up in the end: whoever sent it and is not told
that it was taken has it still."""
STATUS_AT: Final = 8  # "NATS/1.0 404 …": a message's own headers have a line end there
IDLE_HEARTBEAT: Final = b"100"


class Wire(Protocol):
    """What a follower needs of the bus below."""

    async def hear(self, subject: str, take: QuickTake) -> NatsSubscription:
        """Subscribe with a quick callback."""
        ...

    def send(self, subject: str, reply: str, payload: bytes) -> None:
        """Publish. Raises nats.errors.Error."""
        ...

    async def ask_bytes(self, subject: str, payload: bytes, *, timeout_s: float) -> None:
        """Publish and wait for any answer. Raises nats.errors.Error, TimeoutError."""
        ...


class Follower:
    """A durable consumer, read in order; survives a lost link, a lost pull and a lost consumer."""

    def __init__(
        self,
        wire: Wire,
        streams: JetStreamContext,
        name: str,
        config: ConsumerConfig,
        types: Sequence[type[msgspec.Struct]],
        callback: Callable[[Delivery], Awaitable[None]],
        *,
        inbox: str,
    ) -> None:
        self._wire = wire
        self._streams = streams
        self._stream = name
        self._config = config
        self._types = types
        self._callback = callback
        self._inbox = inbox
        self._pulled = f"$JS.API.CONSUMER.MSG.NEXT.{name}.{config.durable_name}"
        self._request = msgspec.json.encode(
            {
                "batch": min(PULL_MESSAGES, config.max_ack_pending or PULL_MESSAGES),
                "expires": int(PULL_EXPIRES_S * 1e9),
                "idle_heartbeat": int(HEARTBEAT_S * 1e9),
            }
        )
        self._arrived: deque[tuple[str, str, bytes]] = deque()
        self._left = 0
        self._is_lost = False
        self._news = asyncio.Event()
        self._subscription: NatsSubscription | None = None
        self._task: asyncio.Task[Any] | None = None

    async def start(self) -> None:
        """Make sure of the consumer and read. Raises nats errors when the stream is not there."""
        await self._streams.add_consumer(self._stream, self._config)
        self._subscription = await self._wire.hear(self._inbox, self._take)
        self._task = spawn(self._read(), name=f"follow {self._stream}")

    def ask_again(self) -> None:
        """The link is back: a broker that was started anew knows nothing of what we asked before."""
        self._left = 0
        self._news.set()

    async def stop(self) -> None:
        """No more deliveries; what was not acknowledged comes again."""
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task
        if self._subscription is not None:
            with suppress(errors.Error):
                await self._subscription.unsubscribe()
        for _, reply, _ in self._arrived:  # so that others need not wait until we are forgotten
            await self._answer(reply, b"-NAK")
        self._arrived.clear()

    # -- what the broker sends

    def _take(self, subject: str, reply: str, payload: bytes, headers: bytes | None) -> None:
        if headers is not None and headers[STATUS_AT : STATUS_AT + 1] == b" ":
            self._status(headers[STATUS_AT + 1 : STATUS_AT + 4], headers)
            return
        self._left -= 1
        self._arrived.append((subject, reply, payload))
        self._news.set()

    def _status(self, code: bytes, headers: bytes) -> None:
        """A pull that ended (used up, over, refused) is replaced; one that met no consumer makes us look for it."""
        self._news.set()
        if code == IDLE_HEARTBEAT:
            return
        self._left = 0
        self._is_lost = code == b"503" or b"Consumer Deleted" in headers or b"Stream Deleted" in headers

    # -- the reading task

    async def _read(self) -> None:
        while True:
            while self._arrived:
                await self._hand_over(*self._arrived.popleft())
            if self._is_lost:
                await self._find_again()
            if self._left <= 0 and not self._pull():
                await asyncio.sleep(AGAIN_S)
                continue
            self._news.clear()
            if not self._arrived:
                await self._wait()

    def _pull(self) -> bool:
        try:
            self._wire.send(self._pulled, self._inbox, self._request)
        except errors.Error:
            return False
        self._left = min(PULL_MESSAGES, self._config.max_ack_pending or PULL_MESSAGES)
        return True

    async def _wait(self) -> None:
        try:
            async with asyncio.timeout(2 * HEARTBEAT_S):
                await self._news.wait()
        except TimeoutError:
            self._left = 0

    async def _find_again(self) -> None:
        """The consumer or its stream is gone: wait for them."""
        self._is_lost = False
        while True:
            try:
                await self._streams.add_consumer(self._stream, self._config)
            except (errors.Error, stream_errors.Error, TimeoutError) as fault:
                report("stream reader interrupted", fault)
                await asyncio.sleep(AGAIN_S)
            else:
                self._left = 0
                return

    async def _hand_over(self, subject: str, reply: str, payload: bytes) -> None:
        sequence, deliveries = place_of(reply)
        try:
            await self._deliver(subject, reply, payload, sequence, is_redelivered=deliveries > 1)
        except Exception as fault:  # noqa: BLE001  one message must not end the reading of all
            report("stream message failed", fault)
            await self._answer(reply, nak(PAUSE_S * deliveries) if deliveries < DELIVERIES_MAX else TERM)

    async def _deliver(self, subject: str, reply: str, payload: bytes, sequence: int, *, is_redelivered: bool) -> None:
        """Raises what the callback raises, and msgspec.DecodeError for a message that cannot be read."""
        read = body_of(payload, self._types)
        if read is None:
            await self._answer(reply, ACK)
            return
        await self._callback(
            Delivery(
                read[0],
                read[1],
                subject,
                sequence,
                is_redelivered,
                lambda: self._answer(reply, ACK),
                lambda: self._answer_surely(reply),
                lambda delay_s: self._answer(reply, nak(delay_s)),
            )
        )

    async def _answer(self, reply: str, word: bytes) -> None:
        """An answer that is lost is made good by the broker's redelivery."""
        with suppress(errors.Error):
            self._wire.send(reply, "", word)

    async def _answer_surely(self, reply: str) -> None:
        with suppress(errors.Error, TimeoutError):
            await self._wire.ask_bytes(reply, ACK, timeout_s=5.0)


def nak(delay_s: float) -> bytes:
    """Bring it again after a while."""
    return b'-NAK {"delay": %d}' % int(delay_s * 1e9)


def place_of(reply: str) -> tuple[int, int]:
    """Stream sequence and number of deliveries from an ack subject, of either form:

    `$JS.ACK.<stream>.<consumer>.<deliveries>.<stream seq>.…` or, longer by domain and account hash before the stream.
    """
    parts = reply.split(".")
    at = 4 if len(parts) == 9 else 6
    return int(parts[at + 1]), int(parts[at])
