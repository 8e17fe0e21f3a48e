"""Which wire format is spoken at which address."""

import re
from collections.abc import Callable, Iterator
from typing import Any, Literal, NamedTuple

from msgspec import Struct

from tollway.simulator.ask import Ask
from tollway.simulator.frames import Frame, Reply
from tollway.simulator.http import JSON, SSE, Request
from tollway.simulator.refusals import Family

from . import anthropic_messages, gemini, openai_chat, openai_completions, openai_embeddings, openai_responses

Bill = Literal["all", "input", "nothing"]
UsageTold = Literal["always", "in streams if asked", "never"]


def _no_frames(_reply: Reply) -> Iterator[Frame]:
    return iter(())


class Dialect(Struct, frozen=True, kw_only=True):
    """A wire format. `read` takes the body and, where the address names it, the model.

    `failed` writes an error into a stream after so many frames. `bill` is what an answer costs: embeddings have no
    output, counting tokens is free.
    """

    family: Family
    read: Callable[[bytes, str], Ask]
    whole: Callable[[Reply], bytes]
    frames: Callable[[Reply], Iterator[Frame]] = _no_frames
    failed: Callable[[Reply, dict[str, Any], int], bytes] = openai_chat.failed
    keepalive: bytes = b": keep-alive\n\n"
    stream_type: str = SSE
    bill: Bill = "all"
    usage_told: UsageTold = "always"

    def is_usage_told(self, ask: Ask) -> bool:
        """Whether an honest answer tells its usage."""
        if self.usage_told == "in streams if asked":
            return ask.is_usage_asked or not ask.stream
        return self.usage_told == "always"


class Address(NamedTuple):
    """A dialect, and the model if the path names it."""

    dialect: Dialect
    model: str


CHAT = Dialect(
    family="openai",
    read=openai_chat.read,
    whole=openai_chat.whole,
    frames=openai_chat.frames,
    usage_told="in streams if asked",
)
COMPLETIONS = Dialect(
    family="openai",
    read=openai_completions.read,
    whole=openai_completions.whole,
    frames=openai_completions.frames,
    usage_told="in streams if asked",
)
RESPONSES = Dialect(
    family="openai",
    read=openai_responses.read,
    whole=openai_responses.whole,
    frames=openai_responses.frames,
    failed=openai_responses.failed,
)
EMBEDDINGS = Dialect(
    family="openai",
    read=openai_embeddings.read,
    whole=openai_embeddings.whole,
    bill="input",
)
MESSAGES = Dialect(
    family="anthropic",
    read=anthropic_messages.read,
    whole=anthropic_messages.whole,
    frames=anthropic_messages.frames,
    failed=anthropic_messages.failed,
    keepalive=anthropic_messages.PING,
)
COUNT_TOKENS = Dialect(
    family="anthropic",
    read=anthropic_messages.read_counted,
    whole=anthropic_messages.whole_counted,
    bill="nothing",
)
GENERATE = Dialect(family="gemini", read=gemini.read, whole=gemini.whole)
STREAM = Dialect(
    family="gemini",
    read=gemini.read_streamed,
    whole=gemini.whole,
    frames=gemini.frames,
    failed=gemini.failed,
    stream_type="text/event-stream",
)
STREAM_ARRAY = Dialect(
    family="gemini",
    read=gemini.read_streamed,
    whole=gemini.whole,
    frames=gemini.array_frames,
    failed=gemini.array_failed,
    keepalive=b"\r\n",
    stream_type=JSON,
)
EMBED = Dialect(
    family="gemini",
    read=gemini.read_embedded,
    whole=gemini.whole_embedded,
    bill="input",
    usage_told="never",
)
EMBED_BATCH = Dialect(
    family="gemini",
    read=gemini.read_batch,
    whole=gemini.whole_embedded,
    bill="input",
    usage_told="never",
)
COUNT = Dialect(family="gemini", read=gemini.read_counted, whole=gemini.whole_counted, bill="nothing")

_PATHS: dict[str, Dialect] = {
    "/v1/chat/completions": CHAT,
    "/v1/completions": COMPLETIONS,
    "/v1/responses": RESPONSES,
    "/v1/embeddings": EMBEDDINGS,
    "/v1/messages": MESSAGES,
    "/v1/messages/count_tokens": COUNT_TOKENS,
}

_VERBS: dict[str, Dialect] = {
    "generateContent": GENERATE,
    "streamGenerateContent": STREAM_ARRAY,
    "streamGenerateContent sse": STREAM,
    "embedContent": EMBED,
    "batchEmbedContents": EMBED_BATCH,
    "countTokens": COUNT,
}
"""What follows the last colon of a Gemini path, and `alt` if the query has it → dialect."""

_GEMINI = re.compile(r"/v1(?:beta)?/models/(.+):(\w+)")


def find(request: Request) -> Address | None:
    """The dialect of a POST, None if nothing is spoken there."""
    if request.method != "POST":
        return None
    path = request.path
    known = _PATHS.get(path)
    if known:
        return Address(known, "")
    named = _GEMINI.fullmatch(path)
    dialect = named and _VERBS.get(f"{named[2]} {request.query.get('alt', '')}".strip())
    return Address(dialect, named[1]) if named and dialect else None
