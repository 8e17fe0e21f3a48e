"""What a request may use beyond plain text, and what becomes of it where the provider's dialect has no such thing.

Readers name what a request uses, with the caller's path of it. Each dialect lists what its writer carries. The rest is
refused by path, or dropped by name where it is only a hint. `docs/dialects.md` shows this table.
"""

import re
from collections.abc import Collection, Iterable
from typing import Final, Literal

import msgspec

from tollway.wire.refusals import Refusal, refuse

Feature = Literal[
    # content
    "system",
    "developer",
    "message_name",
    "image_url",
    "image_data",
    "image_file_id",
    "image_detail",
    "audio_input",
    "file_data",
    "file_url",
    "file_id",
    "stored_file",
    "assistant_refusal",
    "thinking",
    "thinking_signature",
    "cache_control",
    "token_input",
    "surrounding",
    "unknown_part",
    # tools
    "tools",
    "tool_strict",
    "tool_choice",
    "tool_choice_named",
    "one_tool_call_at_a_time",
    "one_call_of_one_tool",
    "tool_result_media",
    "tool_result_error",
    "custom_tools",
    "other_tools",
    # sampling
    "temperature",
    "temperature_above_1",
    "top_p",
    "top_k",
    "presence_penalty",
    "frequency_penalty",
    "seed",
    "stop",
    "stop_space",
    "choices",
    "logprobs",
    # output
    "json_object",
    "json_schema",
    "reasoning_effort",
    "reasoning_budget",
    "verbosity",
    "audio_output",
    "dimensions",
    "packed_vectors",
    # hints to the provider
    "user",
    "metadata",
    "hint",
    # what one dialect alone knows
    "stored_state",
    "unknown_field",
    "unread_field",
]

Fate = Literal["refused", "dropped"]


class Described(msgspec.Struct, frozen=True):
    """A feature's line in the table: what it is, its fate where it is not carried, and what to do instead of it."""

    fate: Fate
    what: str
    instead: str = "Leave it out, or choose a model of a provider that has it."


FEATURES: Final[dict[Feature, Described]] = {
    "system": Described("refused", "system prompt"),
    "developer": Described("refused", "developer messages (a system prompt where there is no such role)"),
    "message_name": Described("dropped", "the name of a message's author"),
    "image_url": Described("refused", "images by address"),
    "image_data": Described("refused", "images as base64"),
    "image_file_id": Described("refused", "images stored at OpenAI", "Send the image as a data URL."),
    "image_detail": Described("dropped", "the wished resolution of an image"),
    "audio_input": Described("refused", "sound as base64"),
    "file_data": Described("refused", "documents as base64 or text"),
    "file_url": Described("refused", "documents by address", "Send the document itself, as base64."),
    "file_id": Described("refused", "documents stored at OpenAI", "Send the document itself, as base64."),
    "stored_file": Described(
        "refused", "images and documents stored at Anthropic", "Send the document itself, as base64."
    ),
    "assistant_refusal": Described("refused", "earlier refusals of the model"),
    "thinking": Described("dropped", "earlier reasoning of the model"),
    "thinking_signature": Described(
        "dropped", "signatures of earlier reasoning (kept for the provider that issued them)"
    ),
    "cache_control": Described("dropped", "prompt-cache breakpoints"),
    "token_input": Described("refused", "inputs of embeddings as lists of tokens", "Send the text."),
    "surrounding": Described("refused", "text around a completion (suffix, echo)"),
    "unknown_part": Described(
        "refused",
        "content parts of other kinds",
        "Leave it out, or call the provider in its own dialect, where every part passes.",
    ),
    "tools": Described("refused", "function tools, calls and results, in parallel too"),
    "tool_strict": Described("dropped", "strict tool arguments"),
    "tool_choice": Described("refused", "tool choice: auto, none, required"),
    "tool_choice_named": Described("refused", "tool choice: one named function"),
    "one_tool_call_at_a_time": Described("refused", "no parallel tool calls"),
    "one_call_of_one_tool": Described("dropped", "no parallel calls of the one function that must be called"),
    "tool_result_media": Described("refused", "images and files in tool results"),
    "tool_result_error": Described("dropped", "the error mark of a tool result (its text stays)"),
    "custom_tools": Described(
        "refused",
        "custom tools, calls and results (free text instead of JSON)",
        "Offer a function with one string parameter.",
    ),
    "other_tools": Described(
        "refused",
        "hosted and deprecated tools",
        "Offer a function, or call the provider that hosts the tool in its own dialect.",
    ),
    "temperature": Described("refused", "temperature up to 1"),
    "temperature_above_1": Described("refused", "temperature above 1", "Lower it to 1 or less."),
    "top_p": Described("refused", "top_p"),
    "top_k": Described("refused", "top_k"),
    "presence_penalty": Described("refused", "presence penalty"),
    "frequency_penalty": Described("refused", "frequency penalty"),
    "seed": Described("dropped", "seed (providers give no guarantee for it)"),
    "stop": Described("refused", "stop sequences"),
    "stop_space": Described(
        "refused", "stop sequences of white space alone", "Add a visible character, or leave it out."
    ),
    "choices": Described("refused", "several choices (n)", "Send the request several times."),
    "logprobs": Described("refused", "log probabilities"),
    "json_object": Described("refused", "JSON without a schema"),
    "json_schema": Described("refused", "structured output by JSON schema"),
    "reasoning_effort": Described("refused", "reasoning effort in words"),
    "reasoning_budget": Described("refused", "reasoning budget in tokens"),
    "verbosity": Described("dropped", "verbosity"),
    "audio_output": Described("refused", "answers as sound", "Call the provider in its own dialect."),
    "dimensions": Described("refused", "vectors of another length"),
    "packed_vectors": Described("refused", "vectors as base64", "Ask for numbers (encoding_format: float)."),
    "user": Described("dropped", "the end user's id"),
    "metadata": Described("dropped", "metadata of the request"),
    "hint": Described("dropped", "storage, service tier, cache keys and other hints"),
    "stored_state": Described(
        "refused", "conversations stored at the provider", "Send the whole conversation with each request."
    ),
    "unknown_field": Described(
        "refused",
        "top-level fields that no reader knows",
        "Leave it out, or call the provider in its own dialect, where every field passes.",
    ),
    "unread_field": Described("dropped", "fields inside messages and tools that no reader knows"),
}


class Use(msgspec.Struct, frozen=True):
    """A request uses a feature at this path of the caller's body."""

    feature: Feature
    path: str


def one_call(path: str, *, is_of_one_tool: bool) -> Use:
    """Parallel calls are forbidden. Where one function must be called it is how clients ask for structured output, and
    a hint: models answer that with one call.
    """
    return Use("one_call_of_one_tool" if is_of_one_tool else "one_tool_call_at_a_time", path)


_INDEX: Final = re.compile(r"\[\d+\]")
"""What is dropped is named without its positions: a long conversation would make a long header."""


REASONING: Final[frozenset[Feature]] = frozenset(("reasoning_effort", "reasoning_budget"))
"""Wishes that a model cannot fulfil that does not reason: there they are hints."""

MANNER: Final[frozenset[Feature]] = REASONING.union(
    ("temperature", "temperature_above_1", "top_p", "top_k", "presence_penalty", "frequency_penalty")
)
"""How a model is to answer. Without it an answer is still one to what was asked, so that a provider whose owner lists
the parameters that it takes may be asked without."""


NAMES_MAX: Final = 32
NAME_CHARS_MAX: Final = 100
"""Of what is dropped: it goes into a header."""


NO_PLACE: Final = "{path}: this provider's dialect has no place for {what}. {instead}"
NOT_LISTED: Final = (
    "{path}: the supportedParams of this provider have no place for {what}."
    " Leave it out, add it there, or choose a model of a provider that has it."
)


def top_of(path: str) -> str:
    """The top-level field that a path begins with."""
    return path.partition(".")[0].partition("[")[0]


def judge(
    uses: Iterable[Use],
    carries: Collection[Feature],
    harmless: Collection[str],
    *,
    hints: Collection[Feature] = (),
    sentence: str = NO_PLACE,
) -> Refusal | tuple[str, ...]:
    """The refusal of the first use that cannot be carried, or the paths that are dropped.

    `harmless`: top-level fields that the provider's row says may be dropped. `hints`: features that may be, for this
    model. `sentence`: what is said of a use that is refused.
    """
    dropped: dict[str, None] = {}
    for use in uses:
        if use.feature in carries:
            continue
        described = FEATURES[use.feature]
        is_refused = described.fate == "refused" and use.feature not in hints
        if is_refused and top_of(use.path) not in harmless:
            said = sentence.format(path=use.path, what=described.what, instead=described.instead)
            return refuse("unsupported_parameter", said, param=use.path)
        dropped[_INDEX.sub("[]", use.path)[:NAME_CHARS_MAX]] = None
    return as_named(dropped)


def as_named(dropped: Iterable[str]) -> tuple[str, ...]:
    """What is dropped, as much of it as a header has room for."""
    names = tuple(name[:NAME_CHARS_MAX] for name in dropped)
    return names if len(names) <= NAMES_MAX else (*names[:NAMES_MAX], f"and {len(names) - NAMES_MAX} more")
