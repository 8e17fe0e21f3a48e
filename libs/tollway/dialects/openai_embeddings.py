"""OpenAI embeddings, `POST /v1/embeddings`.

Source: OpenAI API reference "Embeddings" and the types of the `openai` Python package 3.52, read 2026-11.
"""

from array import array
from base64 import b64encode
from collections.abc import Mapping
from sys import byteorder
from typing import Annotated, Final, Literal

import msgspec

from tollway.dialects import bodies, classify, openai_errors
from tollway.dialects.bodies import Fields
from tollway.dialects.dialect import Passing, Tally, Target
from tollway.dialects.embedding import Asked, Embedded
from tollway.dialects.exchange import CONTENT_TYPE_JSON, Intake
from tollway.dialects.features import Use
from tollway.dialects.reading import TopLevel, Uses, is_given, present, top_level_uses
from tollway.dialects.sse import Frame
from tollway.dialects.usage import read_figures
from tollway.wire.plan import Surface
from tollway.wire.refusals import Refusal
from tollway.wire.usage import Usage

# -- shapes ------------------------------------------------------------------------------------------------------------

_NULL: Final = msgspec.Raw(b"null")
_INPUTS_MAX: Final = 10_000


class Request(msgspec.Struct):
    """The body of a request; fields it does not name pass through untouched in the same dialect."""

    model: str
    input: str | list[str | int | list[int]]
    models: list[str] | None = None
    encoding_format: Literal["float", "base64"] | None = None
    dimensions: Annotated[int, msgspec.Meta(ge=1)] | None = None


class Answer(msgspec.Struct):
    """A whole answer."""

    model: str | None = None
    data: list[msgspec.Raw] | None = None
    usage: msgspec.Raw = _NULL
    error: msgspec.Raw = _NULL


_REQUESTS: Final = msgspec.json.Decoder(Request)
_ANSWERS: Final = msgspec.json.Decoder(Answer)
_FIGURES: Final = {"tokens_input": ("prompt_tokens",), "tokens_cache_read": ("prompt_tokens_details", "cached_tokens")}

# -- intake ------------------------------------------------------------------------------------------------------------


def intake(body: bytes, fields: Fields, surface: Surface) -> Intake | Refusal:
    """Strict reading of what the gateway must know. Nothing is generated, so the output limit is 0."""
    del fields, surface
    request = bodies.decode(_REQUESTS, body)
    if isinstance(request, Refusal):
        return request
    if not request.model:
        return bodies.invalid("The model must be named.", "model")
    misfit = _misfit(request.input)
    if misfit is not None:
        return misfit
    return Intake(model=request.model, models=tuple(request.models or ()), tokens_output_wanted=0, text_bytes=len(body))


def _misfit(given: str | list[str | int | list[int]]) -> Refusal | None:
    if not given:
        return bodies.invalid("There must be some input.", "input")
    if isinstance(given, str):
        return None
    if len({type(one) for one in given}) > 1:
        return bodies.invalid("Texts, tokens and lists of tokens cannot be mixed.", "input")
    if not isinstance(given[0], int) and len(given) > _INPUTS_MAX:
        return bodies.invalid(f"At most {_INPUTS_MAX} inputs are accepted.", "input")
    empty = next((number for number, one in enumerate(given) if one in ("", [])), None)
    return bodies.invalid("An input is empty.", f"input[{empty}]") if empty is not None else None


# -- fields that Tollway owns ------------------------------------------------------------------------------------------


def own(fields: Fields, target: Target) -> None:
    """Set the model."""
    for name in ("models", "stream"):
        fields.pop(name, None)
    fields["model"] = msgspec.Raw(msgspec.json.encode(target.model_sent))


def path(_target: Target) -> str:
    """The same for every model."""
    return "/embeddings"


def headers(caller: Mapping[str, str]) -> dict[str, str]:
    """Of the outgoing call; nothing of the caller's is needed."""
    del caller
    return {"content-type": CONTENT_TYPE_JSON}


# -- reading a request, writing an answer ------------------------------------------------------------------------------

_TOP: Final[TopLevel] = {
    "model": None,
    "models": None,
    "input": None,
    "encoding_format": "packed_vectors",
    "dimensions": "dimensions",
    "user": "user",
}


def read_request(body: bytes, fields: Fields) -> tuple[Asked, Uses] | Refusal:
    """The texts to embed; lists of tokens are named as what only this dialect has."""
    request = bodies.decode(_REQUESTS, body)
    if isinstance(request, Refusal):
        return request
    uses = top_level_uses(fields, _TOP)
    given = [request.input] if isinstance(request.input, str) else request.input
    texts = tuple(one for one in given if isinstance(one, str))
    if len(texts) < len(given):
        uses.append(Use("token_input", "input"))
    return Asked(texts, request.dimensions, request.encoding_format == "base64"), uses


def write_answer(embedded: Embedded, asked: Asked) -> bytes:
    """Vectors as numbers, or as base64 of little-endian 32-bit floats."""
    data = [
        {"object": "embedding", "index": number, "embedding": _write_base64(one) if asked.is_base64 else one}
        for number, one in enumerate(embedded.vectors)
    ]
    tokens = embedded.usage.tokens_input if embedded.usage is not None else None
    usage = {"prompt_tokens": tokens or 0, "total_tokens": tokens or 0}
    return msgspec.json.encode(present(object="list", data=data, model=embedded.model, usage=usage))


def _write_base64(vector: tuple[float, ...]) -> str:
    floats = array("f", vector)
    if byteorder == "big":
        floats.byteswap()
    return b64encode(floats.tobytes()).decode()


# -- in passing --------------------------------------------------------------------------------------------------------


def tap_answer(body: bytes, tally: Tally) -> None:
    """Look at a whole answer."""
    answer = _ANSWERS.decode(body)
    if is_given(answer.error):
        tally.said = classify.said_in({"error": msgspec.json.decode(answer.error)})
    elif not answer.data:
        tally.broken = "it has no vectors"
    tally.model_answered = answer.model or ""
    if is_given(answer.usage):
        usage, tally.notes = read_figures(answer.usage, _FIGURES)
        tally.usage = msgspec.structs.replace(usage or Usage(), tokens_output=0)
    tally.is_begun = tally.is_complete = tally.is_terminal = tally.has_content = True


def tap_frame(frame: Frame, tally: Tally, is_usage_asked: bool) -> bool:
    """There are no streams of embeddings."""
    del frame, is_usage_asked
    tally.broken = "embeddings do not stream"
    return False


DIALECT: Final = Passing(
    name="openai_embeddings",
    intake=intake,
    own=own,
    path=path,
    headers=headers,
    tap_answer=tap_answer,
    tap_frame=tap_frame,
    top=_TOP,
    needed=frozenset({"input"}),
    is_own_error=openai_errors.is_own_error,
    write_error=openai_errors.write_error,
    write_error_event=openai_errors.write_error_event,
)
