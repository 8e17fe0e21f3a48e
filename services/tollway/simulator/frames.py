"""The parts of a streamed answer, and the pieces of syntax that dialects share."""

from typing import Any, Literal, NamedTuple

import msgspec
from msgspec import Struct

from .answer import Answer
from .ask import Ask

encode = msgspec.json.Encoder().encode

FrameKind = Literal["open", "content", "end"]


class Frame(NamedTuple):
    """A piece of a stream: what opens it or a block in it, what carries content, what ends it.

    `size_bytes` is how much of the answer it carries, for the bill of a stream that is cut.
    """

    kind: FrameKind
    data: bytes
    size_bytes: int = 0


class Reply(Struct, frozen=True):
    """All that a writer needs. `id` is the bare number that every id of the answer ends with."""

    id: str
    created_s: int
    model: str
    ask: Ask
    answer: Answer


def event(name: str, value: Any) -> bytes:
    """A named event."""
    return b"event: " + name.encode() + b"\ndata: " + encode(value) + b"\n\n"
