"""Requests of OpenAI chat completions on their way through: intake, and the fields that Tollway owns."""

from collections.abc import Mapping
from typing import Final

import msgspec

from tollway.dialects import bodies, media
from tollway.dialects.bodies import Fields
from tollway.dialects.dialect import Target
from tollway.dialects.exchange import CONTENT_TYPE_JSON, Intake
from tollway.dialects.openai_chat.schema import Part, Request, decode_request
from tollway.dialects.reading import is_given
from tollway.wire.plan import Surface
from tollway.wire.refusals import Refusal

_PART_FIELDS: Final = ("text", "image_url", "input_audio", "file", "refusal")
"""Part types whose content is in the field of the same name."""

_NEEDS: Final = {"image_url": "image", "input_audio": "audio", "file": "file"}

# -- intake ------------------------------------------------------------------------------------------------------------


def intake(body: bytes, fields: Fields, surface: Surface) -> Intake | Refusal:
    """Strict reading of what the gateway must know."""
    del fields, surface
    request = decode_request(body)
    if isinstance(request, Refusal):
        return request
    misfit = _misfit(request)
    if misfit is not None:
        return misfit
    parts = _media_parts(request)
    inline = [_inline(part) for part in parts]
    return Intake(
        model=request.model,
        models=tuple(request.models or ()),
        is_stream=bool(request.stream),
        is_usage_asked=request.stream_options is not None and bool(request.stream_options.include_usage),
        tokens_output_wanted=_output_wanted(request),
        choices=request.n or 1,
        needs=_needs(request, parts),
        is_caching=b'"cache_control"' in body,
        text_bytes=len(body) - sum(map(len, inline)),
        media=len(parts),
        media_bytes=sum(map(media.decoded_bytes, inline)),
    )


def _misfit(request: Request) -> Refusal | None:
    if not request.model:
        return bodies.invalid("The model must be named.", "model")
    if not request.messages:
        return bodies.invalid("There must be at least one message.", "messages")
    if len(request.messages) > bodies.MESSAGES_MAX:
        return bodies.invalid(f"At most {bodies.MESSAGES_MAX} messages are accepted.", "messages")
    for number, message in enumerate(request.messages):
        if isinstance(message.content, list):
            empty = _empty_part(message.content)
            if empty is not None:
                return bodies.invalid("This field is required.", f"messages[{number}].{empty}")
    return None


def _empty_part(parts: list[Part]) -> str | None:
    for number, part in enumerate(parts):
        if part.type in _PART_FIELDS and getattr(part, part.type) is None:
            return f"content[{number}].{part.type}"
    return None


def _media_parts(request: Request) -> list[Part]:
    return [
        part
        for message in request.messages
        if isinstance(message.content, list)
        for part in message.content
        if part.type in _NEEDS
    ]


def _inline(part: Part) -> str:
    """The base64 text in a part; it costs tokens by what it shows, not by its length."""
    if part.input_audio is not None:
        return part.input_audio.data
    url = part.image_url.url if part.image_url is not None else part.file.file_data if part.file is not None else None
    found = media.data_url(url or "")
    return found.data if found is not None else ""


def _output_wanted(request: Request) -> int | None:
    limits = [limit for limit in (request.max_tokens, request.max_completion_tokens) if limit is not None]
    return min(limits, default=None)


def _needs(request: Request, parts: list[Part]) -> tuple[str, ...]:
    needs = {_NEEDS[part.type] for part in parts}
    if request.tools:
        needs.add("tools")
    if any(part.file is not None and part.file.file_id is not None for part in parts):
        needs.add("stored_file")
    if any(is_given(message.audio) for message in request.messages):
        needs.add("stored")
    if request.modalities and "audio" in request.modalities:
        needs.add("audio")
    if request.response_format is not None and request.response_format.type == "json_schema":
        needs.add("json_schema")
    if request.reasoning_effort not in (None, "none") or request.reasoning is not None:
        needs.add("reasoning")
    return tuple(sorted(needs))


# -- fields that Tollway owns ------------------------------------------------------------------------------------------

_LIMITS: Final = ("max_tokens", "max_completion_tokens")
_TRUE: Final = msgspec.Raw(b"true")
_ASK_USAGE: Final = msgspec.Raw(b'{"include_usage":true}')


def own(fields: Fields, target: Target) -> None:
    """Set model, stream, usage request and output limit."""
    fields.pop("models", None)
    fields["model"] = msgspec.Raw(msgspec.json.encode(target.model_sent))
    if target.is_stream:
        fields["stream"] = _TRUE
        own_stream_options(fields, target)
    else:
        fields.pop("stream_options", None)
    _own_limit(fields, target)


def own_stream_options(fields: Fields, target: Target) -> None:
    """Ask for usage where the row allows; other options stay."""
    if target.row.usage_in_stream != "ask":
        fields.pop("stream_options", None)
        return
    given = fields.get("stream_options")
    options = msgspec.json.decode(given, type=Fields | None) if given is not None else None
    fields["stream_options"] = (
        msgspec.Raw(msgspec.json.encode({**options, "include_usage": _TRUE})) if options else _ASK_USAGE
    )


def _own_limit(fields: Fields, target: Target) -> None:
    given = [limit for name in _LIMITS if (limit := _integer(fields.get(name))) is not None]
    cap = target.tokens_output_cap
    limits = given if cap is None else [*given, cap]
    name = target.output_limit_param or (next((name for name in _LIMITS if name in fields), _LIMITS[0]))
    if not limits or ([min(limits)] == given and name in fields):
        return
    for other in _LIMITS:
        fields.pop(other, None)
    fields[name] = msgspec.Raw(b"%d" % min(limits))


def _integer(raw: msgspec.Raw | None) -> int | None:
    return msgspec.json.decode(raw, type=int | None) if raw is not None else None


def path(_target: Target) -> str:
    """The same for every model."""
    return "/chat/completions"


_PASSED_ON: Final = ("openai-beta", "http-referer", "x-title")


def headers(caller: Mapping[str, str]) -> dict[str, str]:
    """Of the outgoing call: the betas that the caller asked for, and OpenRouter's name of the application."""
    return {"content-type": CONTENT_TYPE_JSON, **{name: caller[name] for name in _PASSED_ON if name in caller}}
