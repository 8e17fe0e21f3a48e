"""A request in no dialect: what the caller wants, once its wire format is read."""

from collections.abc import Iterable
from typing import Any, Literal

from msgspec import Struct

BYTES_PER_TOKEN = 4
"""The simulator's tokenizer: a token is four bytes of UTF-8, a started one counts."""

BYTES_PER_MEDIA = 340
"""What an image, a sound or a file counts: 85 tokens, whatever its size."""


Shape = Literal["text", "json", "schema"]

OPENAI_SHAPES: dict[str, Shape] = {"json_schema": "schema", "json_object": "json"}
"""OpenAI's response formats; anything else is text."""


SEARCHES_UNLIMITED = 1_000
"""What a request allows that offers a search and sets no limit."""


class Ask(Struct, frozen=True, kw_only=True):
    """What is asked.

    `text` is the last user message; `results` are the tool results if the conversation ends with them;
    `input_bytes` is all text the caller sent as conversation. `inputs` are the texts or token lists to embed,
    `echoed` fields of the request that the answer repeats. `searches_max`: how many web searches it allows.
    """

    model: str
    text: str = ""
    results: tuple[str, ...] = ()
    input_bytes: int = 0
    stream: bool = False
    is_usage_asked: bool = False
    tokens_output_max: int | None = None
    tools: tuple[str, ...] = ()
    stops: tuple[str, ...] = ()
    shape: Shape = "text"
    schema: Any = None
    choices: int = 1
    is_logprobs_asked: bool = False
    inputs: tuple[str, ...] = ()
    is_base64: bool = False
    is_batch: bool = False
    dimensions: int | None = None
    echoed: dict[str, Any] | None = None
    searches_max: int = 0


def size_bytes(text: str) -> int:
    """Length in UTF-8."""
    return len(text) if text.isascii() else len(text.encode("utf-8", "surrogatepass"))


def sizes_bytes(texts: Iterable[str]) -> int:
    return sum(map(size_bytes, texts))


def tokens(count_bytes: int) -> int:
    """Tokens in so many bytes, rounded up."""
    return -(-count_bytes // BYTES_PER_TOKEN)


def stop_list(stop: str | list[str] | None) -> tuple[str, ...]:
    """A `stop` field, which may be one string or several."""
    return tuple([stop] if isinstance(stop, str) else stop or ())
