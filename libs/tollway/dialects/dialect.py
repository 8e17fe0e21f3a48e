"""What a dialect is: a table of functions. Each dialect's package ends in one `DIALECT`."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

import msgspec

from tollway.dialects.bodies import Fields
from tollway.dialects.classify import Said
from tollway.dialects.exchange import Intake
from tollway.dialects.features import Feature
from tollway.dialects.reading import Reading, TopLevel
from tollway.dialects.rows import ProviderRow
from tollway.dialects.sse import Frame
from tollway.wire.chat import Answer, Conversation, Effort, Event
from tollway.wire.plan import DialectName, Surface
from tollway.wire.refusals import Refusal
from tollway.wire.usage import Usage


class Target(msgspec.Struct, frozen=True):
    """Where a request goes: the provider, the model's name there, and what Tollway sets on it.

    `carries`: the features of the provider's dialect and those of its row. `efforts`: the words of reasoning effort
    that the model knows; empty: all of the dialect's.
    """

    row: ProviderRow
    surface: Surface
    model_sent: str
    tokens_output_cap: int | None
    is_stream: bool
    refused_params: frozenset[str]
    output_limit_param: str
    carries: frozenset[Feature]
    efforts: tuple[Effort, ...] = ()

    def output_limit(self, conversation: Conversation) -> int | None:
        """The caller's limit under the hold's cap."""
        limits = (conversation.tokens_output_max, self.tokens_output_cap)
        return min((limit for limit in limits if limit is not None), default=None)


class Written(msgspec.Struct, frozen=True):
    """A provider's request. `dropped`: what could not be sent with just these turns and limits, in our words."""

    fields: dict[str, object]
    dropped: tuple[str, ...] = ()


class Reply(msgspec.Struct, frozen=True):
    """What reading and writing an answer needs of its request.

    `created_s` stands in where the provider gives no time; `request_id` where it gives no id. `is_end_marked`: the
    provider's row says that its streams end with a marker. `conversation` None: nothing was translated.
    """

    request_id: str = ""
    created_s: int = 0
    is_usage_asked: bool = False
    is_end_marked: bool = True
    conversation: Conversation | None = None


class Tally(msgspec.Struct, gc=False):
    """What a provider's answer has shown. Filled by the dialect that reads it, frame by frame or at once.

    `is_begun`: some part of an answer was there. `is_terminal`: its end marker came. `is_complete`: it said why it
    stopped. `said` is an error in it; `broken` says what is malformed. `stop_reason` is our word, or the provider's if
    unknown.
    """

    has_content: bool = False
    text_bytes: int = 0
    usage: Usage | None = None
    stop_reason: str = ""
    model_answered: str = ""
    is_begun: bool = False
    is_terminal: bool = False
    is_complete: bool = False
    said: Said | None = None
    broken: str = ""
    notes: tuple[str, ...] = ()


class StreamReader(Protocol):
    """A provider's frames to events. `read` raises msgspec.DecodeError for a frame that does not fit."""

    def read(self, frame: Frame) -> list[Event]:
        """Events of one frame."""
        ...

    def end(self) -> list[Event]:
        """Events of the end of the connection, where the dialect has no end marker."""
        ...


class StreamWriter(Protocol):
    """Events to frames for a client."""

    def write(self, event: Event) -> bytes:
        """What one event says; mostly one frame, often nothing."""
        ...

    def finish(self) -> bytes:
        """The success end of the stream."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Passing:
    """A dialect's own bytes on their way through: enough for every dialect when both sides speak it.

    `intake(body, fields, surface)`: what the gateway must know; strict, path-named.
    `own(fields, target)`: set the fields that Tollway owns, in place.
    `path(target)`, `headers(caller's)`: of the outgoing call.
    `tap_answer(body, tally)` and `tap_frame(frame, tally, is_usage_asked)` look at an answer that passes through;
    the latter says whether the frame goes to the client. The frame that ends a success is kept back and handed out by
    `finish()` of the stream; `terminator` is for providers that omit it. `is_end_marked`: streams have such a frame.
    `is_own_error(body)`: an error body that a client of this dialect understands as it is.
    `top`: the features that top-level fields show. `needed`: the fields that no request can be without, with the names
    of the output limit. `envelope`: the one field, if any, whose fields are parameters as well.
    `write_error(status, said, request_id)`: an error body. `write_error_event`: the same inside a begun stream.
    """

    name: DialectName
    intake: Callable[[bytes, Fields, Surface], Intake | Refusal]
    own: Callable[[Fields, Target], None]
    path: Callable[[Target], str]
    headers: Callable[[Mapping[str, str]], dict[str, str]]
    tap_answer: Callable[[bytes, Tally], None]
    tap_frame: Callable[[Frame, Tally, bool], bool]
    terminator: bytes = b""
    is_end_marked: bool = True
    top: TopLevel
    needed: frozenset[str]
    envelope: str = ""
    is_own_error: Callable[[bytes], bool]
    write_error: Callable[[int, Said, str], bytes]
    write_error_event: Callable[[int, Said, str], bytes]


@dataclass(frozen=True, slots=True, kw_only=True)
class Dialect(Passing):
    """A chat dialect: one that is also read into the canonical conversation and written from it.

    `carries`: what its requests can express. `read_request(body, fields)` and `write_request(conversation, target)`;
    `read_answer(body, reply)` and `write_answer(answer, reply)`; `reader(reply)` and `writer(reply)` for streams.
    """

    carries: frozenset[Feature]
    read_request: Callable[[bytes, Fields], Reading | Refusal]
    write_request: Callable[[Conversation, Target], Written]
    read_answer: Callable[[bytes, Reply], Answer | Said]
    write_answer: Callable[[Answer, Reply], bytes]
    reader: Callable[[Reply], StreamReader]
    writer: Callable[[Reply], StreamWriter]
