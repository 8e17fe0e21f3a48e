"""The shapes of OpenAI chat completions, as far as anything here looks at them.

Source: OpenAI API reference "Chat completions" and the types of the `openai` Python package 3.52, read 2025-11;
`reasoning_content` (DeepSeek, Moonshot, Z.ai, vLLM) and `reasoning` (OpenRouter, Groq) from their references.
"""

from typing import Annotated, Any, Final

import msgspec

from tollway.dialects import bodies
from tollway.wire.plan import DialectName
from tollway.wire.refusals import Refusal

NAME: Final[DialectName] = "openai_chat"
NULL: Final = msgspec.Raw(b"null")
Positive = Annotated[int, msgspec.Meta(ge=1)]


class ImageUrl(msgspec.Struct):
    """An address or a data URL."""

    url: str
    detail: str | None = None


class InputAudio(msgspec.Struct):
    """Base64 sound."""

    data: str
    format: str


class FileRef(msgspec.Struct):
    """A document: inline as a data URL, or stored at the provider."""

    file_data: str | None = None
    file_id: str | None = None
    filename: str | None = None


class Part(msgspec.Struct):
    """One content part; which field is filled depends on `type`."""

    type: str
    text: str | None = None
    image_url: ImageUrl | None = None
    input_audio: InputAudio | None = None
    file: FileRef | None = None
    refusal: str | None = None
    cache_control: msgspec.Raw = NULL
    prompt_cache_breakpoint: msgspec.Raw = NULL


class Function(msgspec.Struct):
    """A call's function. `arguments` is JSON in a string; some providers send the object itself."""

    name: str | None = None
    arguments: Any = None


class CustomCall(msgspec.Struct):
    """A call's custom tool, and its text."""

    name: str | None = None
    input: str | None = None


class Call(msgspec.Struct):
    """A tool call, whole or a delta of one."""

    id: str | None = None
    type: str | None = None
    function: Function | None = None
    index: int | None = None
    custom: CustomCall | None = None
    extra_content: msgspec.Raw = NULL


class Message(msgspec.Struct):
    """One turn."""

    role: str
    content: str | list[Part] | None = None
    name: str | None = None
    refusal: str | None = None
    tool_calls: list[Call] | None = None
    tool_call_id: str | None = None
    reasoning_content: str | None = None
    reasoning: str | None = None
    reasoning_details: msgspec.Raw = NULL
    audio: msgspec.Raw = NULL
    function_call: msgspec.Raw = NULL
    cache_control: msgspec.Raw = NULL


class FunctionSpec(msgspec.Struct):
    """What a function takes."""

    name: str
    description: str | None = None
    parameters: msgspec.Raw = NULL
    strict: bool | None = None


class Grammar(msgspec.Struct):
    """What a custom tool's text has to look like."""

    syntax: str
    definition: str


class CustomFormat(msgspec.Struct):
    """`text` or `grammar`."""

    type: str
    grammar: Grammar | None = None


class CustomSpec(msgspec.Struct):
    """What a custom tool takes."""

    name: str
    description: str | None = None
    format: CustomFormat | None = None


class Tool(msgspec.Struct):
    """A tool on offer."""

    type: str
    function: FunctionSpec | None = None
    custom: CustomSpec | None = None
    cache_control: msgspec.Raw = NULL


class ToolName(msgspec.Struct):
    """The name of a tool that must or may be called."""

    name: str


class NamedTool(msgspec.Struct):
    """A tool by its name."""

    type: str
    function: ToolName | None = None
    custom: ToolName | None = None

    @property
    def name(self) -> str:
        """The tool's; "" for tools of other types."""
        named = self.function or self.custom
        return named.name if named is not None else ""


class AllowedTools(msgspec.Struct):
    """Some of the tools, of which one may (`auto`) or must (`required`) be called."""

    mode: str
    tools: list[NamedTool]


class ToolChoice(NamedTool):
    """A named tool, or some of them."""

    allowed_tools: AllowedTools | None = None


class JsonSchema(msgspec.Struct):
    """Structured output."""

    name: str
    description: str | None = None
    schema: msgspec.Raw = NULL
    strict: bool | None = None


class ResponseFormat(msgspec.Struct):
    """`text`, `json_object` or `json_schema`."""

    type: str
    json_schema: JsonSchema | None = None


class StreamOptions(msgspec.Struct):
    """`include_usage` asks for a last chunk with the usage."""

    include_usage: bool | None = None


class Reasoning(msgspec.Struct):
    """OpenRouter's form of the reasoning settings."""

    effort: str | None = None
    max_tokens: int | None = None
    exclude: bool | None = None
    enabled: bool | None = None


class Request(msgspec.Struct):
    """The body of a request; fields it does not name pass through untouched in the same dialect."""

    model: str
    messages: list[Message]
    models: list[str] | None = None
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    max_tokens: Positive | None = None
    max_completion_tokens: Positive | None = None
    n: Annotated[int, msgspec.Meta(ge=1, le=128)] | None = None
    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    presence_penalty: float | None = None
    frequency_penalty: float | None = None
    logit_bias: dict[str, float] | None = None
    logprobs: bool | None = None
    top_logprobs: int | None = None
    seed: int | None = None
    stop: str | list[str] | None = None
    tools: list[Tool] | None = None
    tool_choice: str | ToolChoice | None = None
    parallel_tool_calls: bool | None = None
    response_format: ResponseFormat | None = None
    reasoning_effort: str | None = None
    reasoning: Reasoning | None = None
    verbosity: str | None = None
    modalities: list[str] | None = None
    audio: msgspec.Raw = NULL
    user: str | None = None
    metadata: dict[str, str] | None = None
    service_tier: str | None = None
    store: bool | None = None


class Delta(msgspec.Struct):
    """What a chunk adds to a message, or a whole message of an answer."""

    role: str | None = None
    content: str | list[Any] | None = None
    refusal: str | None = None
    reasoning_content: str | None = None
    reasoning: str | None = None
    reasoning_details: msgspec.Raw = NULL
    tool_calls: list[Call] | None = None
    audio: msgspec.Raw = NULL
    annotations: msgspec.Raw = NULL
    function_call: msgspec.Raw = NULL


class Choice(msgspec.Struct):
    """One choice of an answer (`message`) or of a chunk (`delta`)."""

    index: int = 0
    delta: Delta | None = None
    message: Delta | None = None
    finish_reason: str | None = None
    logprobs: msgspec.Raw = NULL
    error: msgspec.Raw = NULL


class Answer(msgspec.Struct):
    """A whole answer, or a chunk of one."""

    id: str | None = None
    model: str | None = None
    created: float | None = None
    choices: list[Choice] | None = None
    usage: msgspec.Raw = NULL
    error: msgspec.Raw = NULL
    system_fingerprint: str | None = None
    service_tier: str | None = None


REQUESTS: Final = msgspec.json.Decoder(Request)
ANSWERS: Final = msgspec.json.Decoder(Answer)

USAGE: Final = {
    "tokens_input": ("prompt_tokens",),
    "tokens_output": ("completion_tokens",),
    "tokens_cache_read": ("prompt_tokens_details", "cached_tokens"),
    "tokens_cache_write": ("prompt_tokens_details", "cache_write_tokens"),
    "tokens_reasoning": ("completion_tokens_details", "reasoning_tokens"),
    "tokens_audio_input": ("prompt_tokens_details", "audio_tokens"),
    "tokens_audio_output": ("completion_tokens_details", "audio_tokens"),
}
"""Where the figures are: our field to the path in `usage`."""

KINDS: Final = frozenset(("text", "image_url", "input_audio", "file", "refusal", "function", "custom"))
"""The parts that are read; others pass through as they are."""


def decode_request(body: bytes) -> Request | Refusal:
    """A request, or the refusal that names what does not fit."""
    return bodies.decode_turns(REQUESTS, body, turns="messages", kinds=KINDS)
