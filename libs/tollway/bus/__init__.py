"""The bus, as services see it: ask, tell, serve, listen, and durable streams. Handlers never see a broker's message.

`nats` is the real one, `memory` the fake that pure tests of services run on; one contract suite holds both.
"""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Protocol, TypeVar

import msgspec

from tollway.wire.envelope import Context
from tollway.wire.refusals import Refusal

NOTHING: Final = Context()

T = TypeVar("T", bound=msgspec.Struct)
Respond = Callable[[msgspec.Struct], None]
Listener = Callable[[Any, Context, str], None]


class BusError(Exception):
    """A stream did not acknowledge: the message may or may not be stored. Put it again with the same id."""


class WrongLastSequenceError(BusError):
    """A stream's subject was not where the publisher expected it."""


@dataclass(frozen=True, slots=True)
class Handles:
    """A row of a service's HANDLERS table: this command on this subject is that function's.

    `function(room, command, context)` is a coroutine that returns the reply, a Refusal, or None for no reply.
    With `is_direct` it is a plain `function(room, command, context, respond)` that may respond later: no task per
    message, for the hot path.
    """

    subject: str
    command: type[msgspec.Struct]
    function: Callable[..., Any]
    is_direct: bool = False


@dataclass(frozen=True, slots=True)
class Stored:
    """A stream has the message."""

    stream: str
    sequence: int
    is_duplicate: bool = False


@dataclass(slots=True)
class Delivery:
    """One message of a stream. It comes again unless `ack` is called; `ack_sync` waits until the broker has it."""

    body: Any
    context: Context
    subject: str
    sequence: int
    is_redelivered: bool
    _ack: Callable[[], Awaitable[None]]
    _ack_sync: Callable[[], Awaitable[None]]
    _nak: Callable[[float], Awaitable[None]]

    async def ack(self) -> None:
        """Done with it."""
        await self._ack()

    async def ack_sync(self) -> None:
        """Done with it, and the broker said that it knows."""
        await self._ack_sync()

    async def nak(self, delay_s: float = 0.0) -> None:
        """Bring it again after a while."""
        await self._nak(delay_s)


class Subscription(Protocol):
    """Something that can be stopped."""

    async def stop(self) -> None:
        """No more callbacks after this returns."""
        ...


class Bus(Protocol):
    """What services talk through.

    `believed_ms`: what a service with a clock guard believes the time to be (the wall clock, unless it sets another).
    """

    node: str
    believed_ms: Callable[[], int]
    on_reconnect: list[Callable[[], None]]
    on_disconnect: list[Callable[[], None]]

    @property
    def is_connected(self) -> bool:
        """Whether the link is up now."""
        ...

    async def ask(
        self, subject: str, body: msgspec.Struct, reply: type[T], *, timeout_s: float, context: Context = NOTHING
    ) -> T | Refusal:
        """Send a command and wait. Nobody there, no answer or no link is `gateway_unavailable` with its cause."""
        ...

    def tell(self, subject: str, body: msgspec.Struct, *, context: Context = NOTHING) -> None:
        """Publish without waiting; lost if the link is down."""
        ...

    async def serve(self, handlers: Sequence[Handles], room: object, *, queue: str) -> Subscription:
        """Answer commands as one of a queue group ("": by itself), until stopped."""
        ...

    async def listen(
        self, subject: str, types: Sequence[type[msgspec.Struct]], callback: Listener, *, queue: str = ""
    ) -> Subscription:
        """Hear every message of these types; the callback is plain and quick."""
        ...

    async def put(
        self,
        subject: str,
        body: msgspec.Struct,
        *,
        message_id: str,
        timeout_s: float = 5.0,
        context: Context = NOTHING,
    ) -> Stored:
        """Store in the subject's stream. Raises BusError when it is unknown whether it was stored."""
        ...

    async def put_bytes(
        self, subject: str, payload: bytes, *, headers: dict[str, str], timeout_s: float = 5.0
    ) -> Stored:
        """The same for bytes that must stay as they are. Raises WrongLastSequenceError, BusError."""
        ...

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
    ) -> Subscription:
        """Every message of a stream at least once, in order of storage, until it is acknowledged."""
        ...

    async def drain(self) -> None:
        """Stop taking messages, finish what was taken, flush, and close."""
        ...


@dataclass(slots=True)
class Hooks:
    """The two lists that both buses carry."""

    on_reconnect: list[Callable[[], None]] = field(default_factory=list)
    on_disconnect: list[Callable[[], None]] = field(default_factory=list)
