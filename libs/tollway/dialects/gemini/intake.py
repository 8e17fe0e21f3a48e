"""Requests of Gemini on their way through: intake, and the fields that Tollway owns."""

from collections.abc import Iterator, Mapping
from typing import Final

import msgspec

from tollway.dialects import bodies, media
from tollway.dialects.bodies import Fields
from tollway.dialects.dialect import Target
from tollway.dialects.exchange import CONTENT_TYPE_JSON, Intake
from tollway.dialects.gemini.schema import REQUESTS, Part, Request
from tollway.wire.plan import Surface
from tollway.wire.refusals import Refusal

# -- intake ------------------------------------------------------------------------------------------------------------


def intake(body: bytes, fields: Fields, surface: Surface) -> Intake | Refusal:
    """Strict reading of what the gateway must know. Model and stream are in the address, or here."""
    del fields, surface
    request = bodies.decode(REQUESTS, body)
    if isinstance(request, Refusal):
        return request
    if not request.contents:
        return bodies.invalid("There must be at least one turn.", "contents")
    if len(request.contents) > bodies.MESSAGES_MAX:
        return bodies.invalid(f"At most {bodies.MESSAGES_MAX} turns are accepted.", "contents")
    seen = [part for part in _parts(request) if part.inline_data is not None or part.file_data is not None]
    inline = [part.inline_data.data for part in seen if part.inline_data is not None]
    config = request.generation_config
    return Intake(
        model=request.model,
        models=tuple(request.models or ()),
        is_stream=bool(request.stream),
        is_usage_asked=True,
        tokens_output_wanted=config.max_output_tokens if config is not None else None,
        choices=(config.candidate_count if config is not None else None) or 1,
        needs=_needs(request, seen),
        text_bytes=len(body) - sum(map(len, inline)),
        media=len(seen),
        media_bytes=sum(map(media.decoded_bytes, inline)),
    )


def _parts(request: Request) -> Iterator[Part]:
    """Every part of every turn, those of function responses too."""
    for content in request.contents:
        for part in content.parts or ():
            yield part
            if part.function_response is not None:
                yield from part.function_response.parts or ()


def _needs(request: Request, seen: list[Part]) -> tuple[str, ...]:
    needs = {media.kind_of(_mime_type(part)) for part in seen}
    config = request.generation_config
    if request.tools:
        needs.add("tools")
    if config is not None and config.response_mime_type == "application/json":
        needs.add("json_schema")
    if config is not None and config.thinking_config is not None:
        needs.add("reasoning")
    return tuple(sorted(needs))


def _mime_type(part: Part) -> str:
    blob, file = part.inline_data, part.file_data
    return blob.mime_type if blob is not None else (file.mime_type or "") if file is not None else ""


# -- fields that Tollway owns ------------------------------------------------------------------------------------------

_NOT_OF_THE_DIALECT: Final = ("model", "models", "stream")


def own(fields: Fields, target: Target) -> None:
    """Take out what the address says, set the output limit."""
    for name in _NOT_OF_THE_DIALECT:
        fields.pop(name, None)
    cap = target.tokens_output_cap
    if cap is not None and target.surface != "count_tokens":
        _own_limit(fields, cap)


_CONFIGS: Final[msgspec.json.Decoder[Fields | None]] = msgspec.json.Decoder(Fields | None)


def _own_limit(fields: Fields, cap: int) -> None:
    raw = fields.get("generationConfig")
    config = (_CONFIGS.decode(raw) if raw is not None else None) or {}
    limit = config.get("maxOutputTokens")
    given = msgspec.json.decode(limit, type=int | None) if limit is not None else None
    if given is None or given > cap:
        limited: Fields = {**config, "maxOutputTokens": msgspec.Raw(b"%d" % cap)}
        fields["generationConfig"] = msgspec.Raw(msgspec.json.encode(limited))


def path(target: Target) -> str:
    """The model and the manner are in the address."""
    if target.surface == "count_tokens":
        return f"/models/{target.model_sent}:countTokens"
    manner = "streamGenerateContent?alt=sse" if target.is_stream else "generateContent"
    return f"/models/{target.model_sent}:{manner}"


def headers(caller: Mapping[str, str]) -> dict[str, str]:
    """Of the outgoing call; nothing of the caller's is needed."""
    del caller
    return {"content-type": CONTENT_TYPE_JSON}
