"""The shapes of Gemini's generateContent, as far as anything here looks at them.

Source: Gemini API reference "Generating content", "Thought signatures" and "File input methods", and the types of the
`google-genai` Python package 3.4, read 2026-11. A client of this dialect names the model in the body's `model`, which
the dialect itself has in the address.
"""

from typing import Any, Final

import msgspec

from tollway.wire.plan import DialectName

NAME: Final[DialectName] = "gemini"
NULL: Final = msgspec.Raw(b"null")


class Blob(msgspec.Struct, rename="camel"):
    """Inline bytes as base64."""

    mime_type: str = ""
    data: str = ""


class FileData(msgspec.Struct, rename="camel"):
    """Bytes by address."""

    file_uri: str = ""
    mime_type: str | None = None


class FunctionCall(msgspec.Struct, rename="camel"):
    """A call; many answers give it no id."""

    name: str = ""
    id: str | None = None
    args: msgspec.Raw = NULL


class FunctionResponse(msgspec.Struct, rename="camel"):
    """What a function returned."""

    name: str = ""
    id: str | None = None
    response: msgspec.Raw = NULL
    parts: "list[Part] | None" = None


class Part(msgspec.Struct, rename="camel"):
    """One content part."""

    text: str | None = None
    thought: bool | None = None
    thought_signature: str | None = None
    inline_data: Blob | None = None
    file_data: FileData | None = None
    function_call: FunctionCall | None = None
    function_response: FunctionResponse | None = None


class Content(msgspec.Struct, rename="camel"):
    """One turn."""

    parts: list[Part] | None = None
    role: str | None = None


class FunctionDeclaration(msgspec.Struct, rename="camel"):
    """What a function takes, in Gemini's own schema or in JSON schema."""

    name: str
    description: str | None = None
    parameters: msgspec.Raw = NULL
    parameters_json_schema: msgspec.Raw = NULL


class Tool(msgspec.Struct, rename="camel"):
    """Functions on offer; hosted tools are other fields."""

    function_declarations: list[FunctionDeclaration] | None = None


class CallingConfig(msgspec.Struct, rename="camel"):
    """`AUTO`, `ANY`, `NONE` or `VALIDATED`."""

    mode: str | None = None
    allowed_function_names: list[str] | None = None


class ToolConfig(msgspec.Struct, rename="camel"):
    """Whether tools must be called."""

    function_calling_config: CallingConfig | None = None


class ThinkingConfig(msgspec.Struct, rename="camel"):
    """How much to think, and whether to show it."""

    include_thoughts: bool | None = None
    thinking_budget: int | None = None
    thinking_level: str | None = None


class GenerationConfig(msgspec.Struct, rename="camel"):
    """Sampling and output."""

    temperature: float | None = None
    top_p: float | None = None
    top_k: float | None = None
    candidate_count: int | None = None
    max_output_tokens: int | None = None
    stop_sequences: list[str] | None = None
    seed: int | None = None
    presence_penalty: float | None = None
    frequency_penalty: float | None = None
    response_mime_type: str | None = None
    response_schema: msgspec.Raw = NULL
    response_json_schema: msgspec.Raw = NULL
    response_logprobs: bool | None = None
    logprobs: int | None = None
    thinking_config: ThinkingConfig | None = None
    response_modalities: list[str] | None = None


class Request(msgspec.Struct, rename="camel"):
    """The body of a request; fields it does not name pass through untouched in the same dialect."""

    contents: list[Content]
    model: str = ""
    models: list[str] | None = None
    stream: bool | None = None
    system_instruction: Content | None = None
    tools: list[Tool] | None = None
    tool_config: ToolConfig | None = None
    generation_config: GenerationConfig | None = None


class Token(msgspec.Struct, rename="camel"):
    """A token and its log probability."""

    token: str = ""
    log_probability: float = 0.0


class TopTokens(msgspec.Struct, rename="camel"):
    """Alternatives of one token."""

    candidates: list[Token] | None = None


class LogprobsResult(msgspec.Struct, rename="camel"):
    """Chosen tokens and their alternatives, in step."""

    chosen_candidates: list[Token] | None = None
    top_candidates: list[TopTokens] | None = None


class Grounding(msgspec.Struct, rename="camel"):
    """What an answer rests on, as far as a search is looked for: other sources of it are not searches."""

    web_search_queries: Any = None
    search_entry_point: Any = None


class Candidate(msgspec.Struct, rename="camel"):
    """One of the answers."""

    content: Content | None = None
    finish_reason: str | None = None
    finish_message: str | None = None
    index: int = 0
    logprobs_result: LogprobsResult | None = None
    grounding_metadata: Grounding | None = None


class PromptFeedback(msgspec.Struct, rename="camel"):
    """Why the prompt itself was refused."""

    block_reason: str | None = None
    block_reason_message: str | None = None


class Answer(msgspec.Struct, rename="camel"):
    """A whole answer, or a chunk of one."""

    candidates: list[Candidate] | None = None
    usage_metadata: msgspec.Raw = NULL
    model_version: str | None = None
    response_id: str | None = None
    prompt_feedback: PromptFeedback | None = None
    error: Any = None
    total_tokens: int | None = None


REQUESTS: Final = msgspec.json.Decoder(Request)
ANSWERS: Final = msgspec.json.Decoder(Answer)
