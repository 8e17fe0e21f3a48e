"""Requests of Anthropic messages on their way through: intake, and the fields that Tollway owns."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Final

import msgspec

from tollway.dialects import bodies, media
from tollway.dialects.anthropic_messages.schema import NULL, Block, Request, decode_request
from tollway.dialects.bodies import Fields
from tollway.dialects.dialect import Target
from tollway.dialects.exchange import CONTENT_TYPE_JSON, Intake
from tollway.dialects.reading import is_given
from tollway.wire.plan import Surface
from tollway.wire.refusals import Refusal

# -- intake ------------------------------------------------------------------------------------------------------------

_NEEDS: Final = {"image": "image", "document": "file"}
_PART_FIELDS: Final = {
    "text": "text",
    "image": "source",
    "document": "source",
    "tool_use": "id",
    "tool_result": "tool_use_id",
    "thinking": "thinking",
    "redacted_thinking": "data",
}
"""Block types, and the field that each cannot be without."""


def intake(body: bytes, fields: Fields, surface: Surface) -> Intake | Refusal:
    """Strict reading of what the gateway must know. A count needs no output limit."""
    request = decode_request(body)
    if isinstance(request, Refusal):
        return request
    misfit = _misfit(request, surface)
    if misfit is not None:
        return misfit
    seen = [block for block in _blocks(request) if block.type in _NEEDS]
    inline = [block.source.data for block in seen if block.source is not None and _is_base64(block)]
    return Intake(
        model=request.model,
        models=tuple(request.models or ()),
        is_stream=bool(request.stream),
        is_usage_asked=True,
        tokens_output_wanted=request.max_tokens,
        needs=_needs(request, fields, seen),
        is_caching=b'"cache_control"' in body,
        text_bytes=len(body) - sum(len(data or "") for data in inline),
        media=len(seen),
        media_bytes=sum(media.decoded_bytes(data or "") for data in inline),
    )


def _misfit(request: Request, surface: Surface) -> Refusal | None:
    if not request.model:
        return bodies.invalid("The model must be named.", "model")
    if not request.messages:
        return bodies.invalid("There must be at least one message.", "messages")
    if len(request.messages) > bodies.MESSAGES_MAX:
        return bodies.invalid(f"At most {bodies.MESSAGES_MAX} messages are accepted.", "messages")
    if request.max_tokens is None and surface != "count_tokens":
        return bodies.invalid("This field is required.", "max_tokens")
    for number, message in enumerate(request.messages):
        if isinstance(message.content, list):
            empty = _empty_block(message.content)
            if empty is not None:
                return bodies.invalid("This field is required.", f"messages[{number}].{empty}")
    return None


def _empty_block(blocks: list[Block]) -> str | None:
    for number, block in enumerate(blocks):
        field = _PART_FIELDS.get(block.type)
        if field is not None and getattr(block, field) is None:
            return f"content[{number}].{field}"
    return None


def _blocks(request: Request) -> Iterator[Block]:
    """Every block of every turn, those inside tool results too."""
    for message in request.messages:
        if isinstance(message.content, list):
            for block in message.content:
                yield block
                if isinstance(block.content, list):
                    yield from block.content


def _is_base64(block: Block) -> bool:
    return block.source is not None and block.source.type == "base64"


def _needs(request: Request, fields: Fields, seen: Iterable[Block]) -> tuple[str, ...]:
    needs = {_NEEDS[block.type] for block in seen}
    if is_given(fields.get("container", NULL)):
        needs.add("stored")
    if any(block.source and block.source.file_id for block in seen):
        needs.add("stored_file")
    if request.tools:
        needs.add("tools")
    if request.output_format is not None or (request.output_config is not None and request.output_config.format):
        needs.add("json_schema")
    if request.thinking is not None and request.thinking.type != "disabled":
        needs.add("reasoning")
    return tuple(sorted(needs))


# -- fields that Tollway owns ------------------------------------------------------------------------------------------


def own(fields: Fields, target: Target) -> None:
    """Set model, stream and output limit."""
    fields.pop("models", None)
    fields["model"] = msgspec.Raw(msgspec.json.encode(target.model_sent))
    if target.surface != "count_tokens":
        if target.is_stream:
            fields["stream"] = msgspec.Raw(b"true")
        _own_limit(fields, target.tokens_output_cap)


def _own_limit(fields: Fields, cap: int | None) -> None:
    given = msgspec.json.decode(fields["max_tokens"], type=int | None) if "max_tokens" in fields else None
    if cap is not None and (given is None or given > cap):
        fields["max_tokens"] = msgspec.Raw(b"%d" % cap)


def path(target: Target) -> str:
    """The same for every model."""
    return "/messages/count_tokens" if target.surface == "count_tokens" else "/messages"


_PASSED_ON: Final = ("anthropic-version", "anthropic-beta")


def headers(caller: Mapping[str, str]) -> dict[str, str]:
    """Of the outgoing call: the version, and what betas the caller asked for."""
    passed = {name: caller[name] for name in _PASSED_ON if name in caller}
    return {"content-type": CONTENT_TYPE_JSON, "anthropic-version": "2023-06-01", **passed}
