"""From a payload to the function that wants it: shared by both buses, so that they cannot differ."""

from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from tollway import clock, ids
from tollway.bus import Handles, Listener, Respond
from tollway.tasks import report
from tollway.wire.envelope import Context, Envelope, context_of, seal, unseal
from tollway.wire.refusals import Refusal, refuse

Answer = Callable[[bytes], None]
"""Sends reply bytes to whoever asked."""


class Tally:
    """What a bus did so far, for whoever shows it."""

    __slots__ = ("asks", "expired", "messages_in", "messages_out", "reconnects")

    def __init__(self) -> None:
        self.messages_in = 0
        self.messages_out = 0
        self.expired = 0
        self.reconnects = 0
        self.asks: dict[tuple[str, str], int] = {}

    def asked(self, subject: str, outcome: str) -> None:
        """A question was answered, or was not; counted by the subject's first word."""
        key = (subject.partition(".")[0], outcome)
        self.asks[key] = self.asks.get(key, 0) + 1


class _Row:
    """One command of a subject, with its decoder made once."""

    __slots__ = ("decode", "function", "is_direct")

    def __init__(self, handles: Handles) -> None:
        self.decode = msgspec.msgpack.Decoder(handles.command).decode
        self.function = handles.function
        self.is_direct = handles.is_direct


class Desk:
    """All commands of one subject, by type name."""

    def __init__(
        self,
        handlers: Sequence[Handles],
        room: object,
        spawn: Callable[..., object],
        tally: Tally,
        believed_ms: Callable[[], int],
    ) -> None:
        self._believed_ms = believed_ms
        self._rows = {handles.command.__name__: _Row(handles) for handles in handlers}
        self._room = room
        self._spawn = spawn
        self._tally = tally

    def take(self, payload: bytes, answer: Answer | None) -> None:
        """Handle one message. Expired commands are dropped: their caller has gone. A wall clock that jumped expires
        nothing: what the service believes the time to be counts as well."""
        envelope = unseal(payload)
        if 0 < envelope.deadline_ms < clock.now_ms() and envelope.deadline_ms < self._believed_ms():
            self._tally.expired += 1
            return
        context = context_of(envelope)
        respond = _responder(answer, context)
        row = self._rows.get(envelope.type)
        command = _decoded(row, envelope) if row else refuse("validation", f"no such command here: {envelope.type}")
        if row is None or isinstance(command, Refusal):
            respond(command)
        elif row.is_direct:
            row.function(self._room, command, context, respond)
        else:
            self._spawn(self._run(row, command, context, respond), name=envelope.type)

    async def _run(self, row: _Row, command: msgspec.Struct, context: Context, respond: Respond) -> None:
        try:
            result = await row.function(self._room, command, context)
        except Exception as fault:  # noqa: BLE001  a bug in a handler must answer, and must not end the service
            report("handler failed", fault)
            result = refuse("internal_error")
        if result is not None:
            respond(result)


def _decoded(row: _Row, envelope: Envelope) -> Any:
    try:
        return row.decode(envelope.body)
    except msgspec.ValidationError as error:
        return refuse("validation", f"{envelope.type}: {error}")


def _responder(answer: Answer | None, context: Context) -> Respond:
    if answer is None:
        return _nobody

    def respond(result: msgspec.Struct) -> None:
        answer(sealed(result, context))

    return respond


def _nobody(_: msgspec.Struct) -> None:
    """The message wanted no reply."""


class Ears:
    """Bodies of known types go to the listener, others are passed over (events are read tolerantly)."""

    def __init__(self, types: Sequence[type[msgspec.Struct]], listener: Listener) -> None:
        self._decoders = {kind.__name__: msgspec.msgpack.Decoder(kind).decode for kind in types}
        self._listener = listener

    def take(self, payload: bytes, subject: str) -> None:
        """Hear one message."""
        envelope = unseal(payload)
        decode = self._decoders.get(envelope.type)
        if decode is not None:
            self._listener(decode(envelope.body), context_of(envelope), subject)


def sealed(body: msgspec.Struct, context: Context) -> bytes:
    """A message of ours with a new id and the time."""
    return seal(body, message_id=ids.new_span_id(), now_ms=clock.now_ms(), context=context)


def body_of(payload: bytes, types: Sequence[type[msgspec.Struct]]) -> tuple[Any, Context] | None:
    """A stream's message as one of the types, or None for a type that nobody here reads."""
    envelope = unseal(payload)
    kind = next((kind for kind in types if kind.__name__ == envelope.type), None)
    return None if kind is None else (msgspec.msgpack.decode(envelope.body, type=kind), context_of(envelope))
