"""Embeddings of Gemini, `models/{model}:batchEmbedContents`, for clients of another dialect.

Source: Gemini API reference "Embeddings", read 2026-11. The answer may come without usage.
"""

from typing import Any, Final

import msgspec

from tollway.dialects import classify
from tollway.dialects.classify import Said
from tollway.dialects.dialect import Target
from tollway.dialects.embedding import Asked, Embedded, EmbeddingProvider
from tollway.dialects.gemini.schema import NULL
from tollway.dialects.reading import is_given, present
from tollway.dialects.usage import read_figures
from tollway.wire.usage import Usage


class Vector(msgspec.Struct):
    """One embedding."""

    values: tuple[float, ...] = ()


class Answer(msgspec.Struct, rename="camel"):
    """A whole answer."""

    embeddings: list[Vector] | None = None
    usage_metadata: msgspec.Raw = NULL
    error: Any = None


_ANSWERS: Final = msgspec.json.Decoder(Answer)


def path(target: Target) -> str:
    """The model is in the address."""
    return f"/models/{target.model_sent}:batchEmbedContents"


def write_request(asked: Asked, target: Target) -> dict[str, object]:
    """One request for each text."""
    model = f"models/{target.model_sent}"
    requests = [
        present(model=model, content={"parts": [{"text": text}]}, outputDimensionality=asked.dimensions)
        for text in asked.texts
    ]
    return {"requests": requests}


def read_answer(body: bytes, model: str) -> Embedded | Said:
    """The vectors, or the error in it. Raises msgspec.DecodeError for what is neither."""
    answer = _ANSWERS.decode(body)
    if answer.error is not None:
        return classify.said_in({"error": answer.error}) or Said("error")
    usage = None
    if is_given(answer.usage_metadata):
        found = read_figures(answer.usage_metadata, {"tokens_input": ("promptTokenCount",)})[0]
        usage = msgspec.structs.replace(found or Usage(), tokens_output=0)
    return Embedded(tuple(vector.values for vector in answer.embeddings or ()), model, usage)


PROVIDER: Final = EmbeddingProvider(
    carries=frozenset({"dimensions", "packed_vectors"}), path=path, write_request=write_request, read_answer=read_answer
)
