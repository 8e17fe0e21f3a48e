"""What a behaviour can do to a connection. A script is an iterator of steps; only `server` carries them out.

Plain `bytes` are written as they are; a `Frame` is written and counted as content if it is.
"""

from collections.abc import Iterator

from msgspec import Struct

from .frames import Frame


class Opening(Struct, frozen=True):
    """The response head, or the first bytes of it. From here on the caller knows the status."""

    status: int
    data: bytes


class Wait(Struct, frozen=True):
    """Do nothing for a while. Also separates what comes before and after into different writes."""

    delay_ms: float


class Hang(Struct, frozen=True):
    """Say nothing more until the client gives up."""


class Close(Struct, frozen=True):
    """Send what was written, then FIN; what was promised is never sent."""


class Reset(Struct, frozen=True):
    """RST: nothing more is sent, not even what was written and not yet on its way."""


class HalfClose(Struct, frozen=True):
    """FIN in our direction only, then listen until the client gives up."""


Step = bytes | Frame | Opening | Wait | Hang | Close | Reset | HalfClose
Script = Iterator[Step]
