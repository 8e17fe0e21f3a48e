"""The shapes of Anthropic messages, as far as anything here looks at them.

Source: Anthropic API reference "Messages", "Streaming messages" and "Errors", and the types of the `anthropic` Python
package 2.11, read 2026-11.
"""

from typing import Annotated, Final

import msgspec

from tollway.dialects import bodies
from tollway.wire.plan import DialectName
from tollway.wire.refusals import Refusal

NAME: Final[DialectName] = "anthropic_messages"
NULL: Final = msgspec.Raw(b"null")
Positive = Annotated[int, msgspec.Meta(ge=1)]


class Source(msgspec.Struct):
    """Where an image or a document is: `base64`, `url`, `file`, `text` or `content`."""

    type: str
    media_type: str | None = None
    data: str | None = None
    url: str | None = None
    file_id: str | None = None
    content: msgspec.Raw = NULL


class Block(msgspec.Struct):
    """One content block of a request; which fields are filled depends on `type`."""

    type: str
    text: str | None = None
    source: Source | None = None
    title: str | None = None
    context: str | None = None
    id: str | None = None
    name: str | None = None
    input: msgspec.Raw = NULL
    tool_use_id: str | None = None
    content: "str | list[Block] | None" = None
    is_error: bool | None = None
    thinking: str | None = None
    signature: str | None = None
    data: str | None = None
    cache_control: msgspec.Raw = NULL


class Message(msgspec.Struct):
    """One turn."""

    role: str
    content: str | list[Block]


class Tool(msgspec.Struct):
    """A tool on offer: ours to run if `type` is absent or `custom`, else one that Anthropic defines."""

    name: str | None = None
    type: str | None = None
    description: str | None = None
    input_schema: msgspec.Raw = NULL
    strict: bool | None = None
    cache_control: msgspec.Raw = NULL


class ToolChoice(msgspec.Struct):
    """`auto`, `any`, `tool` or `none`."""

    type: str
    name: str | None = None
    disable_parallel_tool_use: bool | None = None


class Thinking(msgspec.Struct):
    """`enabled` with a budget, `adaptive` or `disabled`."""

    type: str
    budget_tokens: int | None = None
    display: str | None = None


class OutputFormat(msgspec.Struct):
    """Structured output."""

    type: str
    schema: msgspec.Raw = NULL


class OutputConfig(msgspec.Struct):
    """Effort and format of the output."""

    effort: str | None = None
    format: OutputFormat | None = None


class Metadata(msgspec.Struct):
    """About the request."""

    user_id: str | None = None


class Request(msgspec.Struct):
    """The body of a request; fields it does not name pass through untouched in the same dialect."""

    model: str
    messages: list[Message]
    models: list[str] | None = None
    max_tokens: Positive | None = None
    system: str | list[Block] | None = None
    stream: bool | None = None
    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    stop_sequences: list[str] | None = None
    tools: list[Tool] | None = None
    tool_choice: ToolChoice | None = None
    thinking: Thinking | None = None
    output_config: OutputConfig | None = None
    output_format: OutputFormat | None = None
    metadata: Metadata | None = None
    cache_control: msgspec.Raw = NULL


class AnswerBlock(msgspec.Struct):
    """One content block of an answer. `content` is what a hosted tool found: a list, or an object where it failed."""

    type: str
    text: str | None = None
    id: str | None = None
    name: str | None = None
    input: msgspec.Raw = NULL
    thinking: str | None = None
    signature: str | None = None
    data: str | None = None
    content: msgspec.Raw = NULL


class Answer(msgspec.Struct):
    """A whole answer; `input_tokens` alone is the answer to a count."""

    id: str | None = None
    model: str | None = None
    content: list[AnswerBlock] | None = None
    stop_reason: str | None = None
    stop_sequence: str | None = None
    usage: msgspec.Raw = NULL
    error: msgspec.Raw = NULL
    input_tokens: int | None = None


class Delta(msgspec.Struct):
    """What an event adds: to a block, or to the message."""

    type: str | None = None
    text: str | None = None
    partial_json: str | None = None
    thinking: str | None = None
    signature: str | None = None
    stop_reason: str | None = None
    stop_sequence: str | None = None


class Event(msgspec.Struct):
    """One event of a stream."""

    type: str
    index: int = 0
    message: Answer | None = None
    content_block: AnswerBlock | None = None
    delta: Delta | None = None
    usage: msgspec.Raw = NULL
    error: msgspec.Raw = NULL


REQUESTS: Final = msgspec.json.Decoder(Request)
ANSWERS: Final = msgspec.json.Decoder(Answer)
EVENTS: Final = msgspec.json.Decoder(Event)

KINDS: Final = frozenset(
    (
        "text",
        "image",
        "document",
        "tool_use",
        "tool_result",
        "thinking",
        "redacted_thinking",
        "base64",
        "url",
        "file",
        "content",
    )
)
"""The parts that are read; others pass through as they are."""


def decode_request(body: bytes) -> Request | Refusal:
    """A request, or the refusal that names what does not fit."""
    return bodies.decode_turns(REQUESTS, body, turns="messages", kinds=KINDS)
