"""What a dialect is: a table of functions. Each dialect's package ends in one `DIALECT`."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import msgspec

from tollway.dialects.bodies import Fields
from tollway.dialects.classify import Said
from tollway.dialects.exchange import Intake
from tollway.dialects.rows import ProviderRow
from tollway.dialects.sse import Frame
from tollway.wire.plan import DialectName, Surface
from tollway.wire.refusals import Refusal
from tollway.wire.usage import Usage


class Target(msgspec.Struct, frozen=True):
    """Where a request goes: the provider, the model's name there, and what Tollway sets on it."""

    row: ProviderRow
    surface: Surface
    model_sent: str
    tokens_output_cap: int | None
    is_stream: bool
    refused_params: frozenset[str]
    output_limit_param: str


class Tally(msgspec.Struct, gc=False):
    """What a provider's answer has shown. Filled by the dialect that reads it, frame by frame or at once.

    `is_begun`: some part of an answer was there. `is_terminal`: its end marker came. `is_complete`: it says why it stopped.
    `said` is an error in it; `broken` says what is malformed. `stop_reason` is our word, or the provider's if unknown.
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Dialect:
    """One wire format.

    `intake(body, fields)`: what the gateway must know; strict, path-named.
    `own(fields, target)`: set the fields that Tollway owns, in place; names what it dropped.
    `path(target)`, `headers(caller's)`: of the outgoing call.
    `tap_answer(body, tally)` and `tap_frame(frame, tally, is_usage_asked)` look at an answer that passes through;
    the latter says whether the frame goes to the client. `terminator`: the success end of a stream.
    `is_own_error(body)`: an error body that a client of this dialect understands as it is.
    `write_error(status, said, request_id)`: an error body. `write_error_event`: the same inside a begun stream.
    """

    name: DialectName
    intake: Callable[[bytes, Fields, Surface], Intake | Refusal]
    own: Callable[[Fields, Target], tuple[str, ...]]
    path: Callable[[Target], str]
    headers: Callable[[Mapping[str, str]], dict[str, str]]
    tap_answer: Callable[[bytes, Tally], None]
    tap_frame: Callable[[Frame, Tally, bool], bool]
    terminator: bytes
    is_own_error: Callable[[bytes], bool]
    write_error: Callable[[int, Said, str], bytes]
    write_error_event: Callable[[int, Said, str], bytes]
