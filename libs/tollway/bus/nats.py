"""The bus on NATS: nats-py below, one inbox per process above, every wait bounded.

Measured: a request costs 16-19 us of CPU per side under concurrency. What keeps it there: replies are found by a
token in one wildcard inbox (no subscription per request), the envelope travels in the payload (headers are slow to
parse), and `tell` publishes without a task.
"""

# pyright: reportUnknownMemberType=false
# nats-py leaves parts of its signatures without types; nothing else here is unknown.

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from contextlib import suppress
from itertools import count
from typing import Any, Final, TypeVar, cast

import msgspec
from nats import errors
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription as NatsSubscription
from nats.js.api import AckPolicy, ConsumerConfig, DeliverPolicy

from tollway import clock
from tollway.bus import NOTHING, BusError, Delivery, Handles, Listener, Stored, WrongLastSequenceError
from tollway.bus.following import Follower
from tollway.bus.quick import QuickClient, QuickTake
from tollway.bus.reading import Desk, Ears, Tally, sealed
from tollway.tasks import report, spawn
from tollway.wire.envelope import Context, unseal
from tollway.wire.refusals import Refusal, refuse

T = TypeVar("T", bound=msgspec.Struct)

PING_INTERVAL_S: Final = 5
CONNECT_TIMEOUT_S: Final = 2
RECONNECT_WAIT_S: Final = 0.2
FETCH_WAIT_S: Final = 30.0
NO_RESPONDERS: Final = b"503"
WRONG_LAST_SEQUENCE: Final = 10071


class _PubAck(msgspec.Struct):
    stream: str = ""
    seq: int = 0
    duplicate: bool = False
    error: dict[str, Any] | None = None


_read_ack = msgspec.json.Decoder(_PubAck).decode


async def connect(url: str, *, role: str, node: str, user: str = "", password: str = "") -> "NatsBus":
    """Connect, trying for ever with short waits (the runtime bounds how long a start may take)."""
    bus = NatsBus(node, inbox=f"_in.{role}.{node}")
    await bus.open(url, name=node, user=user, password=password)
    return bus


class NatsBus:
    """See `tollway.bus.Bus`."""

    def __init__(self, node: str, *, inbox: str) -> None:
        self.node = node
        self.believed_ms: Callable[[], int] = clock.now_ms
        self.on_reconnect: list[Callable[[], None]] = []
        self.on_disconnect: list[Callable[[], None]] = []
        self._client = QuickClient()
        self._inbox = inbox
        self._replies = f"{inbox}.r."
        self._waiting: dict[str, asyncio.Future[bytes]] = {}
        self._tokens = count(1)
        self.tally = Tally()
        self._decoders: dict[type[msgspec.Struct], Callable[[Any], Any]] = {}
        self._followers: list[Follower] = []

    async def open(self, url: str, *, name: str, user: str, password: str) -> None:
        """Connect and subscribe the inbox."""
        await self._client.connect(
            url,
            name=name,
            user=user or None,
            password=password or None,
            inbox_prefix=self._inbox,
            pending_size=0,  # a command that timed out must not be delivered after its caller gave up
            max_reconnect_attempts=-1,
            reconnect_time_wait=RECONNECT_WAIT_S,  # pyright: ignore[reportArgumentType]  it sleeps it
            connect_timeout=CONNECT_TIMEOUT_S,
            ping_interval=PING_INTERVAL_S,
            max_outstanding_pings=2,
            allow_reconnect=True,
            drain_timeout=10,
            error_cb=self._error,
            disconnected_cb=self._disconnected,
            reconnected_cb=self._reconnected,
        )
        await self._subscribe(f"{self._replies}*", "", self._reply)

    @property
    def is_connected(self) -> bool:
        """Whether the link is up now."""
        return self._client.is_connected

    # -- ask and tell

    async def ask(
        self, subject: str, body: msgspec.Struct, reply: type[T], *, timeout_s: float, context: Context = NOTHING
    ) -> T | Refusal:
        """See Bus."""
        deadline_ms = clock.now_ms() + int(timeout_s * 1000)
        if context.deadline_ms:
            deadline_ms = min(deadline_ms, context.deadline_ms)
        stamped = Context(context.request_id, context.cause, context.trace, deadline_ms)
        message = await self._exchange(subject, sealed(body, stamped), timeout_s)
        if isinstance(message, str):
            self.tally.asked(subject, message)
            return _unavailable(subject, message)
        self.tally.asked(subject, "answered")
        envelope = unseal(message)
        if envelope.type == "Refusal":
            return cast("Refusal", self._decoder(Refusal)(envelope.body))
        return cast("T", self._decoder(reply)(envelope.body))

    async def _exchange(
        self, subject: str, payload: bytes, timeout_s: float, headers: dict[str, str] | None = None
    ) -> bytes | str:
        """Publish with a reply address and wait: the reply, or why there is none."""
        loop = asyncio.get_running_loop()
        token = str(next(self._tokens))
        future: asyncio.Future[bytes] = loop.create_future()
        self._waiting[token] = future
        timer = loop.call_later(timeout_s, _give_up, future)
        try:
            self._publish(subject, payload, self._replies + token, headers)
            return await future or "no_responders"
        except errors.Error:
            return "disconnected"
        except TimeoutError:
            return "timeout"
        finally:
            timer.cancel()
            del self._waiting[token]

    def _reply(self, subject: str, _reply: str, data: bytes, headers: bytes | None) -> None:
        """Wake who asked; an empty payload says that nobody was there (the broker's status 503)."""
        self.tally.messages_in += 1
        future = self._waiting.get(subject[len(self._replies) :])
        if future is not None and not future.done():
            future.set_result(b"" if headers is not None and NO_RESPONDERS in headers[:16] else data)

    def tell(self, subject: str, body: msgspec.Struct, *, context: Context = NOTHING) -> None:
        """See Bus."""
        with suppress(errors.Error):
            self._publish(subject, sealed(body, context))

    def _publish(self, subject: str, payload: bytes, reply: str = "", headers: dict[str, str] | None = None) -> None:
        """Hand bytes to the client. With pending_size=0 its own coroutine never waits, so it is run to its end here."""
        self.tally.messages_out += 1
        if headers is None:
            self._client.put(subject, reply, payload)
        else:
            _run_now(self._client.publish(subject, payload, reply, headers))

    def _decoder(self, kind: type[msgspec.Struct]) -> Callable[[Any], Any]:
        decoder = self._decoders.get(kind)
        if decoder is None:
            decoder = self._decoders[kind] = msgspec.msgpack.Decoder(kind).decode
        return decoder

    # -- serve and listen

    async def serve(self, handlers: Sequence[Handles], room: object, *, queue: str) -> "_Subscribed":
        """See Bus."""
        subscriptions: list[NatsSubscription] = []
        for subject in dict.fromkeys(handles.subject for handles in handlers):
            rows = [handles for handles in handlers if handles.subject == subject]
            desk = Desk(rows, room, spawn, self.tally, lambda: self.believed_ms())
            subscriptions.append(await self._subscribe(subject, queue, self._desk_callback(desk)))
        await self._subscribed()
        return _Subscribed(*subscriptions)

    def _desk_callback(self, desk: Desk) -> QuickTake:
        def take(_subject: str, reply: str, data: bytes, _headers: bytes | None) -> None:
            self.tally.messages_in += 1
            desk.take(data, self._answer_to(reply) if reply else None)

        return take

    def _answer_to(self, reply: str) -> Callable[[bytes], None]:
        def answer(payload: bytes) -> None:
            with suppress(errors.Error):
                self._publish(reply, payload)

        return answer

    async def listen(
        self, subject: str, types: Sequence[type[msgspec.Struct]], callback: Listener, *, queue: str = ""
    ) -> "_Subscribed":
        """See Bus."""
        ears = Ears(types, callback)

        def take(subject: str, _reply: str, data: bytes, _headers: bytes | None) -> None:
            self.tally.messages_in += 1
            ears.take(data, subject)

        subscription = await self._subscribe(subject, queue, take)
        await self._subscribed()
        return _Subscribed(subscription)

    async def _subscribed(self) -> None:
        """Return when the broker knows our subscriptions. Twice, because nats-py (2.16) writes a flush's PING ahead of
        what is still pending: the first PONG proves only that the pending commands have been written since."""
        await self._client.flush()
        await self._client.flush()

    async def _subscribe(self, subject: str, queue: str, take: QuickTake) -> NatsSubscription:
        async def early(message: Msg) -> None:
            """For a message that is read before the short cut is known."""
            take(message.subject, message.reply, message.data, None)

        subscription = await self._client.subscribe(subject, queue, early)
        self._client.take_quickly(subscription._id, take)  # pyright: ignore[reportPrivateUsage]
        return subscription

    # -- streams

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
        return await self.put_bytes(
            subject, sealed(body, context), headers={"Nats-Msg-Id": message_id}, timeout_s=timeout_s
        )

    async def put_bytes(
        self, subject: str, payload: bytes, *, headers: dict[str, str], timeout_s: float = 5.0
    ) -> Stored:
        """See Bus."""
        message = await self._exchange(subject, payload, timeout_s, headers)
        if isinstance(message, str):
            raise BusError(f"{subject}: {message}")
        ack = _read_ack(message)
        if ack.error is not None:
            kind = WrongLastSequenceError if ack.error.get("err_code") == WRONG_LAST_SEQUENCE else BusError
            raise kind(f"{subject}: {ack.error.get('description')}")
        return Stored(ack.stream, ack.seq, ack.duplicate)

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
    ) -> Follower:
        """See Bus."""
        config = ConsumerConfig(
            durable_name=durable,
            ack_policy=AckPolicy.EXPLICIT,
            deliver_policy=DeliverPolicy.ALL,
            ack_wait=ack_wait_s,
            max_ack_pending=max_in_flight,
            filter_subjects=list(subjects),
        )
        inbox = f"{self._inbox}.f{next(self._tokens)}"
        follower = Follower(self, self._client.jetstream(), stream, config, types, callback, inbox=inbox)
        await follower.start()
        self._followers.append(follower)
        return follower

    async def hear(self, subject: str, take: QuickTake) -> NatsSubscription:
        """For followers: an inbox of their own, known to the broker."""

        def heard(subject: str, reply: str, data: bytes, headers: bytes | None) -> None:
            self.tally.messages_in += 1
            take(subject, reply, data, headers)

        subscription = await self._subscribe(subject, "", heard)
        await self._subscribed()
        return subscription

    def send(self, subject: str, reply: str, payload: bytes) -> None:
        """For followers: bytes as they are. Raises nats.errors.Error."""
        self.tally.messages_out += 1
        self._client.put(subject, reply, payload)

    async def ask_bytes(self, subject: str, payload: bytes, *, timeout_s: float) -> None:
        """For followers: bytes as they are, and wait for any answer. Raises TimeoutError."""
        if await self._exchange(subject, payload, timeout_s) in ("timeout", "disconnected"):
            raise TimeoutError

    @property
    def client(self) -> Client:
        """The connection itself, for the few that manage streams (the ledger's relay, the supervisor)."""
        return self._client

    # -- the link

    async def _error(self, fault: Exception) -> None:
        report("bus error", fault)

    async def _disconnected(self) -> None:
        for future in self._waiting.values():
            if not future.done():
                future.set_exception(errors.ConnectionClosedError())
        for hook in self.on_disconnect:
            hook()

    async def _reconnected(self) -> None:
        self.tally.reconnects += 1
        for follower in self._followers:
            follower.ask_again()
        for hook in self.on_reconnect:
            hook()

    async def drain(self) -> None:
        """See Bus."""
        for follower in self._followers:
            await follower.stop()
        with suppress(errors.Error, TimeoutError):
            await asyncio.wait_for(self._client.drain(), 5)
        if not self._client.is_closed:
            await self._client.close()


class _Subscribed:
    """Core subscriptions that can be stopped."""

    def __init__(self, *subscriptions: NatsSubscription) -> None:
        self._subscriptions = subscriptions

    async def stop(self) -> None:
        for subscription in self._subscriptions:
            with suppress(errors.Error):
                await subscription.unsubscribe()


def _give_up(future: asyncio.Future[bytes]) -> None:
    if not future.done():
        future.set_exception(TimeoutError())


def _run_now(coroutine: Coroutine[Any, Any, None]) -> None:
    """Run a coroutine that never waits. Raises what it raises."""
    try:
        coroutine.send(None)
    except StopIteration:
        return
    coroutine.close()
    raise RuntimeError("publish waited, which pending_size=0 rules out")


def _unavailable(subject: str, cause: str) -> Refusal:
    return refuse("gateway_unavailable", details={"cause": cause, "subject": subject})
