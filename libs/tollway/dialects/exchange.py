"""What goes over the bridge: the intake of a request, the outgoing call, the served answer, the steps of a stream."""

from collections.abc import Mapping
from typing import Final

import msgspec

from tollway.dialects.faults import Fault
from tollway.wire.usage import Usage

CONTENT_TYPE_JSON: Final = "application/json"
CONTENT_TYPE_SSE: Final = "text/event-stream; charset=utf-8"
NO_HEADERS: Final[Mapping[str, str]] = {}


class Intake(msgspec.Struct, frozen=True, omit_defaults=True):
    """What the gateway itself must know of a request before it plans and holds.

    `model` is as the caller wrote it; `models` the fallbacks. `tokens_output_wanted` None: the caller set no limit.
    `choices`: how many answers each prompt gets. `text_bytes`: bytes of the body that may be tokens, an upper bound of
    the tokens of its text. `media`: parts that are not text; `media_bytes`: their inline size, decoded.
    `needs`: "tools", "image", "audio", "file", "json_schema", "reasoning", "stored", "stored_file". `service`: a tier
    asked for that is not the standard one, in the caller's word. `searches`: web searches that the provider may make
    and bills each, at most; `billed_tools`: other tools of the provider that are billed per use, or for all that is
    known (`dialects.hosted`).
    """

    model: str
    models: tuple[str, ...] = ()
    is_stream: bool = False
    is_usage_asked: bool = False
    tokens_output_wanted: int | None = None
    choices: int = 1
    needs: tuple[str, ...] = ()
    is_caching: bool = False
    text_bytes: int = 0
    media: int = 0
    media_bytes: int = 0
    service: str = ""
    searches: int = 0
    billed_tools: tuple[str, ...] = ()


class Outgoing(msgspec.Struct, frozen=True, omit_defaults=True):
    """The call to make: the address is the row's `base_url` + `path`. `dropped` names fields that were left out."""

    path: str
    body: bytes
    headers: dict[str, str]
    dropped: tuple[str, ...] = ()


class Served(msgspec.Struct, frozen=True, omit_defaults=True):
    """A whole answer for the client. `text_bytes`: bytes the model wrote, to estimate from if `usage` is unknown."""

    body: bytes
    usage: Usage | None = None
    stop_reason: str = ""
    model_answered: str = ""
    is_content_filter: bool = False
    text_bytes: int = 0
    notes: tuple[str, ...] = ()


class Step(msgspec.Struct, frozen=True, omit_defaults=True):
    """What some bytes of a provider's stream mean. `out` is for the client and comes before `fault` in time.

    `has_content` and `text_bytes` are of this step; `usage`, `stop_reason`, `model_answered` are the latest known.
    `is_terminal`: the provider ended the stream in good order; the terminator itself is `finish()`'s `out`.
    """

    out: bytes = b""
    has_content: bool = False
    text_bytes: int = 0
    usage: Usage | None = None
    stop_reason: str = ""
    model_answered: str = ""
    is_terminal: bool = False
    fault: Fault | None = None
    notes: tuple[str, ...] = ()
