"""Which wire format is spoken at which address."""

from collections.abc import Callable, Iterator
from typing import Any, Literal, NamedTuple

from msgspec import Struct

from tollway.simulator.ask import Ask
from tollway.simulator.frames import Frame, Reply
from tollway.simulator.http import SSE, Request
from tollway.simulator.refusals import Family

from . import openai_chat, openai_embeddings

Bill = Literal["all", "input", "nothing"]


def _no_frames(_reply: Reply) -> Iterator[Frame]:
    return iter(())


class Dialect(Struct, frozen=True, kw_only=True):
    """A wire format. `read` takes the body and, where the address names it, the model.

    `bill` is what an answer costs: embeddings have no output, counting tokens is free.
    """

    family: Family
    read: Callable[[bytes, str], Ask]
    whole: Callable[[Reply], bytes]
    frames: Callable[[Reply], Iterator[Frame]] = _no_frames
    failed: Callable[[Reply, dict[str, Any]], bytes] = openai_chat.failed
    keepalive: bytes = b": keep-alive\n\n"
    stream_type: str = SSE
    bill: Bill = "all"
    is_usage_optional: bool = False

    def is_usage_told(self, ask: Ask) -> bool:
        """Whether the answer tells the usage; some dialects do so in a stream only if asked."""
        return not (self.is_usage_optional and ask.stream) or ask.is_usage_asked


class Address(NamedTuple):
    """A dialect, and the model if the path names it."""

    dialect: Dialect
    model: str


CHAT = Dialect(
    family="openai",
    read=openai_chat.read,
    whole=openai_chat.whole,
    frames=openai_chat.frames,
    is_usage_optional=True,
)
EMBEDDINGS = Dialect(family="openai", read=openai_embeddings.read, whole=openai_embeddings.whole, bill="input")

_PATHS: dict[str, Dialect] = {
    "/v1/chat/completions": CHAT,
    "/v1/embeddings": EMBEDDINGS,
}


def find(request: Request) -> Address | None:
    """The dialect of a POST, None if nothing is spoken there."""
    dialect = _PATHS.get(request.path)
    return Address(dialect, "") if dialect else None
