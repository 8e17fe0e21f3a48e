"""The canonical conversation: what every chat dialect is read into and written from.

A request is a `Conversation`, a whole answer an `Answer`, a stream a sequence of `Event`. Folding an answer's stream
(`tollway.dialects.fold`) gives the answer. Nothing here belongs to one provider; what only one dialect knows is a
feature (`tollway.dialects.features`) that others refuse or drop by name.
"""

from typing import Final, Literal

import msgspec

from tollway.wire.plan import DialectName
from tollway.wire.usage import Usage

NOTHING: Final = msgspec.Raw(b"")
"""A raw JSON value that is absent."""

# -- parts of messages -------------------------------------------------------------------------------------------------


class Cache(msgspec.Struct, frozen=True):
    """A prompt-cache breakpoint after this part. `ttl`: "5m", "1h" or "" for the provider's default."""

    ttl: str = ""


class Signature(msgspec.Struct, frozen=True):
    """An opaque token by which a provider recognises its own reasoning. Worth something only to its `origin`."""

    origin: DialectName
    value: str


class Text(msgspec.Struct, frozen=True, tag=True):
    """Plain text."""

    text: str = ""
    cache: Cache | None = None


class Media(msgspec.Struct, frozen=True, tag=True):
    """An image, a sound or a file. Exactly one of `data` (base64), `url` and `file_id` is filled."""

    kind: Literal["image", "audio", "file"]
    media_type: str = ""
    data: str = ""
    url: str = ""
    file_id: str = ""
    name: str = ""
    detail: str = ""
    cache: Cache | None = None


class Thinking(msgspec.Struct, frozen=True, tag=True):
    """Reasoning of the model. `text` may be empty: then only the signature is to be given back.

    `is_redacted`: the provider encrypted the text itself; the signature holds it. A signature that a provider puts on
    another part (Gemini, on tool calls) is an empty thinking part before that part.
    """

    text: str = ""
    signature: Signature | None = None
    is_redacted: bool = False


class ToolCall(msgspec.Struct, frozen=True, tag=True):
    """The model calls a tool. `arguments` is JSON text as the model wrote it, which may be broken JSON; the free text
    of a custom tool.
    """

    id: str
    name: str
    arguments: str = ""
    cache: Cache | None = None
    is_custom: bool = False


class ToolResult(msgspec.Struct, frozen=True, tag=True):
    """What a called function returned."""

    call_id: str
    parts: tuple[Text | Media, ...] = ()
    is_error: bool = False
    cache: Cache | None = None


class Refused(msgspec.Struct, frozen=True, tag=True):
    """The model's own words of refusal."""

    text: str = ""


Part = Text | Media | Thinking | ToolCall | ToolResult | Refused
Role = Literal["system", "developer", "user", "assistant", "tool"]


class Message(msgspec.Struct, frozen=True):
    """One turn. Tool results are in turns of role `tool` and nowhere else."""

    role: Role
    parts: tuple[Part, ...]
    name: str = ""


# -- the rest of a request ---------------------------------------------------------------------------------------------


class Grammar(msgspec.Struct, frozen=True):
    """What the text for a custom tool has to look like; `syntax` is "lark" or "regex"."""

    syntax: str
    definition: str


class Tool(msgspec.Struct, frozen=True):
    """A function on offer; `parameters` is a JSON schema, untouched. A custom tool takes free text instead."""

    name: str
    description: str = ""
    parameters: msgspec.Raw = NOTHING
    is_strict: bool | None = None
    cache: Cache | None = None
    is_custom: bool = False
    grammar: Grammar | None = None


ChoiceMode = Literal["auto", "none", "required", "named"]


class ToolChoice(msgspec.Struct, frozen=True):
    """Whether tools may, must or must not be called; `name` fixes which one."""

    mode: ChoiceMode
    name: str = ""


class Format(msgspec.Struct, frozen=True):
    """Structured output."""

    kind: Literal["text", "json_object", "json_schema"]
    name: str = ""
    schema: msgspec.Raw = NOTHING
    is_strict: bool | None = None
    description: str = ""


Effort = Literal["none", "minimal", "low", "medium", "high", "xhigh", "max"]


class Reasoning(msgspec.Struct, frozen=True):
    """How much to think: in words or in tokens. `is_shown` None: as the provider does by default."""

    effort: Effort | None = None
    budget_tokens: int | None = None
    is_shown: bool | None = None


class Sampling(msgspec.Struct, frozen=True):
    """How tokens are drawn. None: the provider's default."""

    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    presence_penalty: float | None = None
    frequency_penalty: float | None = None
    seed: int | None = None
    stops: tuple[str, ...] = ()


class Conversation(msgspec.Struct, frozen=True):
    """A request in no dialect. `logprobs` None: not asked; else how many alternatives per token."""

    messages: tuple[Message, ...]
    tools: tuple[Tool, ...] = ()
    tool_choice: ToolChoice | None = None
    is_parallel: bool | None = None
    format: Format | None = None
    reasoning: Reasoning | None = None
    sampling: Sampling = Sampling()
    tokens_output_max: int | None = None
    choices: int = 1
    logprobs: int | None = None
    verbosity: str = ""
    user: str = ""
    metadata: dict[str, str] = {}


# -- answers -----------------------------------------------------------------------------------------------------------

StopReason = Literal["stop", "length", "tool_calls", "content_filter", "stop_sequence", "pause"]
"""stop: the model was done. pause: the provider wants to be called again. content_filter: withheld or refused."""


class Alternative(msgspec.Struct, frozen=True):
    """A token that could have been drawn."""

    token: str
    logprob: float


class TokenLogprob(msgspec.Struct, frozen=True):
    """A drawn token and its alternatives."""

    token: str
    logprob: float
    top: tuple[Alternative, ...] = ()


class Choice(msgspec.Struct, frozen=True):
    """One of the answers asked for. Parts are text, thinking, tool calls and refusals."""

    parts: tuple[Part, ...]
    stop: StopReason
    stop_sequence: str = ""
    logprobs: tuple[TokenLogprob, ...] = ()


class Answer(msgspec.Struct, frozen=True):
    """A whole answer. `created_s` 0: the provider does not say."""

    id: str
    model: str
    choices: tuple[Choice, ...]
    usage: Usage | None = None
    created_s: int = 0


# -- streams -----------------------------------------------------------------------------------------------------------


class Started(msgspec.Struct, frozen=True):
    """The answer begins."""

    id: str
    model: str
    created_s: int = 0


class Opened(msgspec.Struct, frozen=True):
    """Part `number` of choice `choice` begins as `part`, its text empty. Parts are numbered from 0 without gaps."""

    choice: int
    number: int
    part: Text | Thinking | ToolCall | Refused


class Added(msgspec.Struct, frozen=True):
    """More of an open part: text, thought, arguments or refusal, by the part's kind."""

    choice: int
    number: int
    text: str
    logprobs: tuple[TokenLogprob, ...] = ()


class Signed(msgspec.Struct, frozen=True):
    """The signature of an open thinking part."""

    choice: int
    number: int
    signature: Signature


class Closed(msgspec.Struct, frozen=True):
    """A part is complete. At most one part of a choice is open at a time."""

    choice: int
    number: int


class Stopped(msgspec.Struct, frozen=True):
    """A choice is complete."""

    choice: int
    stop: StopReason
    stop_sequence: str = ""


class Counted(msgspec.Struct, frozen=True):
    """Usage as known now; a later one replaces it."""

    usage: Usage
    notes: tuple[str, ...] = ()


class Failed(msgspec.Struct, frozen=True):
    """The provider reported an error inside its stream. `status`: the HTTP status that it names there, 0 if none."""

    message: str
    kind: str = ""
    code: str = ""
    status: int = 0


class Ended(msgspec.Struct, frozen=True):
    """The provider ended the stream in good order."""


Event = Started | Opened | Added | Signed | Closed | Stopped | Counted | Failed | Ended
