"""Requests of OpenAI responses on their way through: intake, and the fields that Tollway owns."""

from collections.abc import Iterator, Mapping
from typing import Final

import msgspec

from tollway.dialects import bodies, media
from tollway.dialects.bodies import Fields
from tollway.dialects.dialect import Target
from tollway.dialects.exchange import CONTENT_TYPE_JSON, Intake
from tollway.dialects.openai_responses.schema import Content, Item, Request, decode_request
from tollway.wire.plan import Surface
from tollway.wire.refusals import Refusal

# -- intake ------------------------------------------------------------------------------------------------------------

_NEEDS: Final = {"input_image": "image", "input_file": "file", "input_audio": "audio"}
_STORED: Final = ("previous_response_id", "conversation", "prompt", "background")
"""What is kept at the provider, before the answer or after it."""
_PART_FIELDS: Final = {
    "input_text": ("text",),
    "output_text": ("text",),
    "refusal": ("refusal",),
    "input_image": ("image_url", "file_id"),
    "input_file": ("file_data", "file_id", "file_url"),
}
"""Part types, and the fields of which each needs one."""

_ITEM_FIELDS: Final = {
    "message": ("role", "content"),
    "function_call": ("call_id", "name", "arguments"),
    "function_call_output": ("call_id", "output"),
    "custom_tool_call": ("call_id", "name", "input"),
    "custom_tool_call_output": ("call_id", "output"),
}
"""Item types, and the fields that each cannot be without."""


def intake(body: bytes, fields: Fields, surface: Surface) -> Intake | Refusal:
    """Strict reading of what the gateway must know."""
    del surface
    request = decode_request(body)
    if isinstance(request, Refusal):
        return request
    misfit = _misfit(request, fields)
    if misfit is not None:
        return misfit
    seen = [part for _, part in _parts(request) if part.type in _NEEDS]
    inline = [found.data for part in seen if (found := _inline(part)) is not None]
    return Intake(
        model=request.model,
        models=tuple(request.models or ()),
        is_stream=bool(request.stream),
        is_usage_asked=True,
        tokens_output_wanted=request.max_output_tokens,
        needs=_needs(request, fields, seen),
        is_caching=b'"prompt_cache_breakpoint"' in body,
        text_bytes=len(body) - sum(map(len, inline)),
        media=len(seen),
        media_bytes=sum(map(media.decoded_bytes, inline)),
    )


def _misfit(request: Request, fields: Fields) -> Refusal | None:
    if not request.model:
        return bodies.invalid("The model must be named.", "model")
    if not request.input and not fields.keys() & {"prompt", "previous_response_id", "conversation"}:
        return bodies.invalid("There must be some input.", "input")
    if isinstance(request.input, list):
        if len(request.input) > bodies.MESSAGES_MAX:
            return bodies.invalid(f"At most {bodies.MESSAGES_MAX} items are accepted.", "input")
        empty = _empty_item(request.input) or _empty_part(request)
        if empty is not None:
            return bodies.invalid("This field is required.", empty)
    return None


def _empty_item(items: list[Item]) -> str | None:
    for number, item in enumerate(items):
        for field in _ITEM_FIELDS.get(item.type or "message", ()):
            if getattr(item, field) is None:
                return f"input[{number}].{field}"
    return None


def _empty_part(request: Request) -> str | None:
    for path, part in _parts(request):
        needed = _PART_FIELDS.get(part.type)
        if needed is not None and all(getattr(part, field) is None for field in needed):
            return f"{path}.{needed[0]}"
    return None


def _parts(request: Request) -> Iterator[tuple[str, Content]]:
    """Every content part with its path, those of tool outputs too."""
    for number, item in enumerate(request.input if isinstance(request.input, list) else ()):
        for name, content in (("content", item.content), ("output", item.output)):
            if isinstance(content, list):
                yield from ((f"input[{number}].{name}[{i}]", part) for i, part in enumerate(content))


def _inline(part: Content) -> media.DataUrl | None:
    return media.data_url(part.image_url or part.file_data or "")


def _needs(request: Request, fields: Fields, seen: list[Content]) -> tuple[str, ...]:
    needs = {_NEEDS[part.type] for part in seen}
    if _is_stored(request, fields):
        needs.add("stored")
    if any(part.file_id is not None for part in seen):
        needs.add("stored_file")
    if request.tools:
        needs.add("tools")
    if request.text is not None and request.text.format is not None and request.text.format.type == "json_schema":
        needs.add("json_schema")
    if request.reasoning is not None and request.reasoning.effort not in (None, "none"):
        needs.add("reasoning")
    return tuple(sorted(needs))


def _is_stored(request: Request, fields: Fields) -> bool:
    items = request.input if isinstance(request.input, list) else ()
    is_named = any(name in fields and bytes(fields[name]) not in (b"null", b"false") for name in _STORED)
    return is_named or any(item.type == "item_reference" for item in items)


# -- fields that Tollway owns ------------------------------------------------------------------------------------------


def own(fields: Fields, target: Target) -> None:
    """Set model, stream and output limit."""
    fields.pop("models", None)
    fields["model"] = msgspec.Raw(msgspec.json.encode(target.model_sent))
    if target.is_stream:
        fields["stream"] = msgspec.Raw(b"true")
    raw = fields.get("max_output_tokens")
    given = msgspec.json.decode(raw, type=int | None) if raw is not None else None
    cap = target.tokens_output_cap
    if cap is not None and (given is None or given > cap):
        fields["max_output_tokens"] = msgspec.Raw(b"%d" % cap)


def path(_target: Target) -> str:
    """The same for every model."""
    return "/responses"


_PASSED_ON: Final = ("openai-beta",)


def headers(caller: Mapping[str, str]) -> dict[str, str]:
    """Of the outgoing call: the betas that the caller asked for."""
    return {"content-type": CONTENT_TYPE_JSON, **{name: caller[name] for name in _PASSED_ON if name in caller}}
