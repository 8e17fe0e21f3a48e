"""OpenAI embeddings: strings or token lists in, floats or base64 out.

The vector of a text depends on nothing but the text and the dimensions, and has length 1.
"""

import math
import random
from array import array
from base64 import b64encode
from typing import Any
from zlib import crc32

import msgspec
from msgspec import Struct

from tollway.simulator.answer import Usage
from tollway.simulator.ask import BYTES_PER_TOKEN, Ask, size_bytes, tokens
from tollway.simulator.frames import Reply, encode

DIMENSIONS = 64


class _Body(Struct):
    model: str
    input: str | list[str | int | list[int]]
    encoding_format: str | None = None
    dimensions: int | None = None


_decode = msgspec.json.Decoder(_Body).decode


def read(body: bytes, _model: str = "") -> Ask:
    """Raises `msgspec.ValidationError` or `DecodeError` if the body is not an embeddings request."""
    asked = _decode(body)
    inputs = [asked.input] if _is_single(asked.input) else list(asked.input)
    return Ask(
        model=asked.model,
        inputs=tuple(item if isinstance(item, str) else repr(item) for item in inputs),
        input_bytes=sum(map(_tokens, inputs)) * BYTES_PER_TOKEN,
        is_base64=asked.encoding_format == "base64",
        dimensions=asked.dimensions,
    )


def _is_single(given: Any) -> bool:
    return isinstance(given, str) or (bool(given) and isinstance(given[0], int))


def _tokens(item: Any) -> int:
    return tokens(size_bytes(item)) if isinstance(item, str) else len(item)


def vector(text: str, dimensions: int) -> "array[float]":
    """The embedding of a text, as 32-bit floats."""
    draw = random.Random(crc32(text.encode("utf-8", "surrogatepass")))  # noqa: S311 - must repeat, guards nothing
    raw = [draw.random() - 0.5 for _ in range(dimensions)]
    length = math.sqrt(sum(value * value for value in raw)) or 1.0
    return array("f", [value / length for value in raw])


def whole(reply: Reply) -> bytes:
    rows = [_row(reply, index, text) for index, text in enumerate(reply.ask.inputs)]
    usage = {"usage": _usage(reply.answer.usage)} if reply.answer.usage else {}
    return encode({"object": "list", "data": rows, "model": reply.model, **usage})


def _row(reply: Reply, index: int, text: str) -> dict[str, Any]:
    values = vector(text, reply.ask.dimensions or DIMENSIONS)
    embedding = b64encode(values.tobytes()).decode() if reply.ask.is_base64 else values.tolist()
    return {"object": "embedding", "index": index, "embedding": embedding}


def _usage(usage: Usage) -> dict[str, Any]:
    return {"prompt_tokens": usage.input, "total_tokens": usage.input}
