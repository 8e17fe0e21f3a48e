"""The envelope around every message: who, when, why and how long it may take; the body stays opaque until wanted.

Trace context and deadline travel in the payload and not in NATS headers, because nats-py parses those slowly.
"""

import msgspec

from tollway.wire.refusals import Refusal


class Envelope(msgspec.Struct, array_like=True, frozen=True):
    """`type` names the body in our own words; `version` is raised when its meaning changes, never for a new field.

    `deadline_ms`: the receiver drops a command that arrives later (0: none). `trace`: a W3C traceparent or "".
    """

    type: str
    version: int
    id: str
    occurred_at_ms: int
    request_id: str
    cause: str
    trace: str
    deadline_ms: int
    body: msgspec.Raw


class Context(msgspec.Struct, frozen=True):
    """What travels along with a chain of messages. `cause` is the id of the message that led to this one."""

    request_id: str = ""
    cause: str = ""
    trace: str = ""
    deadline_ms: int = 0


_encoder = msgspec.msgpack.Encoder()
_envelopes = msgspec.msgpack.Decoder(Envelope)


def seal(body: msgspec.Struct, *, message_id: str, now_ms: int, context: Context) -> bytes:
    """Body and context to bytes."""
    return _encoder.encode(
        Envelope(
            type(body).__name__,
            getattr(body, "VERSION", 1),
            message_id,
            now_ms,
            context.request_id,
            context.cause,
            context.trace,
            context.deadline_ms,
            msgspec.Raw(_encoder.encode(body)),
        )
    )


def unseal(payload: bytes) -> Envelope:
    """Bytes to an envelope. Raises msgspec.DecodeError for anything that is not one."""
    return _envelopes.decode(payload)


def context_of(envelope: Envelope) -> Context:
    """The context for messages that this one causes."""
    return Context(envelope.request_id, envelope.id, envelope.trace, envelope.deadline_ms)


def refusal_of(envelope: Envelope) -> Refusal | None:
    """The refusal in a reply, if it is one."""
    return msgspec.msgpack.decode(envelope.body, type=Refusal) if envelope.type == "Refusal" else None
