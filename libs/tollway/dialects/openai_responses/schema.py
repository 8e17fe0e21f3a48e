"""The shapes of OpenAI responses, as far as anything here looks at them.

Source: OpenAI API reference "Responses" and "Streaming events", and the types of the `openai` Python package 3.52,
read 2026-11.
"""

from typing import Annotated, Any, Final

import msgspec

from tollway.dialects import bodies
from tollway.wire.plan import DialectName
from tollway.wire.refusals import Refusal

NAME: Final[DialectName] = "openai_responses"
NULL: Final = msgspec.Raw(b"null")
INCLUDE_REASONING: Final = "reasoning.encrypted_content"
INCLUDE_LOGPROBS: Final = "message.output_text.logprobs"
Positive = Annotated[int, msgspec.Meta(ge=1)]


class Content(msgspec.Struct):
    """A content part of a message, a tool output or a reasoning item; which field is filled depends on `type`."""

    type: str
    text: str | None = None
    image_url: str | None = None
    file_id: str | None = None
    file_url: str | None = None
    file_data: str | None = None
    filename: str | None = None
    detail: str | None = None
    refusal: str | None = None
    logprobs: msgspec.Raw = NULL
    prompt_cache_breakpoint: msgspec.Raw = NULL


class Item(msgspec.Struct):
    """An input or output item; without a type it is a message."""

    type: str | None = None
    role: str | None = None
    content: str | list[Content] | None = None
    id: str | None = None
    status: str | None = None
    phase: str | None = None
    call_id: str | None = None
    name: str | None = None
    arguments: str | None = None
    input: str | None = None
    output: str | list[Content] | None = None
    summary: list[Content] | None = None
    encrypted_content: str | None = None


class Tool(msgspec.Struct):
    """A tool on offer."""

    type: str
    name: str | None = None
    description: str | None = None
    parameters: msgspec.Raw = NULL
    strict: bool | None = None
    format: "CustomFormat | None" = None


class CustomFormat(msgspec.Struct):
    """What the text of a custom tool has to look like: `text` or `grammar`."""

    type: str
    syntax: str | None = None
    definition: str | None = None


class NamedTool(msgspec.Struct):
    """A tool by its name."""

    type: str
    name: str | None = None


class ToolChoice(NamedTool):
    """A named tool; or some, of which one may (`auto`) or must (`required`) be called."""

    mode: str | None = None
    tools: list[NamedTool] | None = None


class Reasoning(msgspec.Struct):
    """How much to think, and whether to show a summary of it."""

    effort: str | None = None
    summary: str | None = None
    generate_summary: str | None = None


class Format(msgspec.Struct):
    """`text`, `json_object` or `json_schema`."""

    type: str
    name: str | None = None
    description: str | None = None
    schema: msgspec.Raw = NULL
    strict: bool | None = None


class TextConfig(msgspec.Struct):
    """Format and length of the text."""

    format: Format | None = None
    verbosity: str | None = None


class Request(msgspec.Struct):
    """The body of a request; fields it does not name pass through untouched in the same dialect."""

    model: str
    input: str | list[Item] | None = None
    models: list[str] | None = None
    instructions: str | None = None
    stream: bool | None = None
    max_output_tokens: Positive | None = None
    temperature: float | None = None
    top_p: float | None = None
    top_logprobs: int | None = None
    tools: list[Tool] | None = None
    tool_choice: str | ToolChoice | None = None
    parallel_tool_calls: bool | None = None
    reasoning: Reasoning | None = None
    text: TextConfig | None = None
    include: list[str] | None = None
    metadata: dict[str, str] | None = None
    user: str | None = None


class IncompleteDetails(msgspec.Struct):
    """Why an answer is incomplete."""

    reason: str | None = None


class Answer(msgspec.Struct):
    """A whole response, or what an event shows of one."""

    id: str | None = None
    model: str | None = None
    created_at: float | None = None
    status: str | None = None
    output: list[Item] | None = None
    usage: msgspec.Raw = NULL
    error: msgspec.Raw = NULL
    incomplete_details: IncompleteDetails | None = None
    service_tier: str | None = None


class SearchItem(msgspec.Struct):
    """An output item, as far as searches are looked for. The type of its `action` says what it did: `search`,
    `open_page` or `find_in_page`."""

    type: Any = None
    action: Any = None


class Searched(msgspec.Struct):
    """A response, as far as searches are looked for."""

    output: list[SearchItem] | None = None


class SearchEvent(msgspec.Struct):
    """An event that shows an item, or the whole response."""

    item: SearchItem | None = None
    response: Searched | None = None


class Glimpse(msgspec.Struct):
    """A response as far as a passing stream is looked at: not its output."""

    model: str | None = None
    status: str | None = None
    usage: msgspec.Raw = NULL
    error: msgspec.Raw = NULL
    incomplete_details: IncompleteDetails | None = None
    service_tier: str | None = None


class TapEvent(msgspec.Struct):
    """One event of a stream that passes through."""

    type: str
    delta: Any = None
    response: Glimpse | None = None


class Event(msgspec.Struct):
    """One event of a stream that is read."""

    type: str
    output_index: int = 0
    content_index: int = 0
    summary_index: int = 0
    delta: Any = None
    item: Item | None = None
    part: Content | None = None
    logprobs: msgspec.Raw = NULL
    response: Answer | None = None


REQUESTS: Final = msgspec.json.Decoder(Request)
ANSWERS: Final = msgspec.json.Decoder(Answer)
TAP_EVENTS: Final = msgspec.json.Decoder(TapEvent)
EVENTS: Final = msgspec.json.Decoder(Event)
SEARCHED: Final = msgspec.json.Decoder(Searched)
SEARCH_EVENTS: Final = msgspec.json.Decoder(SearchEvent)

USAGE: Final = {
    "tokens_input": ("input_tokens",),
    "tokens_output": ("output_tokens",),
    "tokens_cache_read": ("input_tokens_details", "cached_tokens"),
    "tokens_cache_write": ("input_tokens_details", "cache_write_tokens"),
    "tokens_reasoning": ("output_tokens_details", "reasoning_tokens"),
}
"""Where the figures are: our field to the path in `usage`."""

KINDS: Final = frozenset(
    (
        "message",
        "function_call",
        "function_call_output",
        "custom_tool_call",
        "custom_tool_call_output",
        "reasoning",
        "input_text",
        "output_text",
        "text",
        "refusal",
        "input_image",
        "input_file",
        "input_audio",
        "summary_text",
        "reasoning_text",
    )
)
"""The parts that are read; others pass through as they are."""


def decode_request(body: bytes) -> Request | Refusal:
    """A request, or the refusal that names what does not fit."""
    return bodies.decode_turns(REQUESTS, body, turns="input", kinds=KINDS)
