"""What every request reader needs: naming the features that a body uses, and the fields that nobody reads."""

from collections.abc import Iterable, Mapping
from typing import Any, Final, cast

import msgspec

from tollway.dialects.bodies import Fields
from tollway.dialects.features import Feature, Use
from tollway.wire.chat import Cache, Conversation

Uses = list[Use]


class Reading(msgspec.Struct, frozen=True):
    """A request that was read: the conversation and what it uses, with the caller's paths."""

    conversation: Conversation
    uses: tuple[Use, ...]


TopLevel = Mapping[str, Feature | None]
"""A dialect's top-level fields. None: structure, or named by the reader that looks inside."""

_NEUTRAL: Final = frozenset({b"null", b"[]", b"{}", b'""', b"false"})
_NEUTRAL_OF: Final[Mapping[Feature, frozenset[bytes]]] = {
    "presence_penalty": frozenset({b"0", b"0.0"}),
    "frequency_penalty": frozenset({b"0", b"0.0"}),
    "choices": frozenset({b"1"}),
    "logprobs": frozenset({b"0"}),
    "other_tools": frozenset({b'"none"'}),
    "verbosity": frozenset({b'"medium"'}),
    "packed_vectors": frozenset({b'"float"'}),
    "stored_state": frozenset({b'"disabled"'}),
}
"""Values that ask for nothing."""


def top_level_uses(fields: Fields, top: TopLevel) -> Uses:
    """Uses that a field's presence shows."""
    return [
        Use(feature, name)
        for name, raw in fields.items()
        if (feature := top.get(name, "unknown_field")) is not None and not is_neutral(feature, bytes(raw))
    ]


def is_neutral(feature: Feature, raw: bytes) -> bool:
    """Whether this value is what is meant without it."""
    if feature == "other_tools" and raw == b"{}":
        return False  # `web_search_options: {}` asks for a search
    return raw in _NEUTRAL or raw in _NEUTRAL_OF.get(feature, ())


def unread_fields(body: bytes, request: msgspec.Struct) -> Uses:
    """Fields inside messages, tools and other known objects that the reader has no place for."""
    found = msgspec.json.decode(body)
    uses: Uses = []
    for name in request.__struct_fields__:
        _unread(found.get(name), getattr(request, name), name, uses)
    return uses


def _unread(found: Any, read: Any, path: str, uses: Uses) -> None:
    if isinstance(read, msgspec.Struct) and isinstance(found, dict):
        _unread_of_object(cast("dict[str, Any]", found), read, path, uses)
    elif isinstance(read, list) and isinstance(found, list):
        for number, (raw, item) in enumerate(zip(cast("list[Any]", found), cast("list[Any]", read), strict=True)):
            _unread(raw, item, f"{path}[{number}]", uses)


def _unread_of_object(found: dict[str, Any], read: msgspec.Struct, path: str, uses: Uses) -> None:
    known = dict(zip(read.__struct_encode_fields__, read.__struct_fields__, strict=True))
    for name, value in found.items():
        if name in known:
            _unread(value, getattr(read, known[name]), f"{path}.{name}", uses)
        elif value not in (None, [], {}, "", False):
            uses.append(Use("unread_field", f"{path}.{name}"))


class _CacheControl(msgspec.Struct):
    ttl: str | None = None


_CACHES: Final = msgspec.json.Decoder(_CacheControl | None)


def read_cache(raw: msgspec.Raw, path: str, uses: Uses) -> Cache | None:
    """A breakpoint: `{"type": "ephemeral", "ttl": …}`. Anything that is not an object is none."""
    if not bytes(raw).startswith(b"{"):
        return None
    uses.append(Use("cache_control", path))
    try:
        found = _CACHES.decode(raw)
    except msgspec.DecodeError:
        return Cache()
    return Cache(found.ttl or "") if found is not None else None


def is_given(raw: msgspec.Raw) -> bool:
    """Whether a raw field is there and not null."""
    return len(raw) > 0 and bytes(raw) != b"null"


def present(**fields: object) -> dict[str, object]:
    """An object without the fields that are None."""
    return {name: value for name, value in fields.items() if value is not None}


_NO_PARAMETERS: Final = msgspec.Raw(b'{"type":"object","properties":{}}')
_SCHEMAS: Final = msgspec.json.Decoder(Fields)


def object_schema(parameters: msgspec.Raw) -> msgspec.Raw:
    """A function's parameters for a provider that wants a schema, and the type said that clients may leave out."""
    if not is_given(parameters):
        return _NO_PARAMETERS
    try:
        found = _SCHEMAS.decode(parameters)
    except msgspec.DecodeError:
        return parameters
    if "type" in found:
        return parameters
    return msgspec.Raw(msgspec.json.encode({"type": "object", "properties": {}, **found}))


def read_verbosity(word: str | None) -> str:
    """`medium` is what is meant without it."""
    return "" if word in (None, "medium") else word


def use_stops(stops: Iterable[str], path: str, uses: Uses) -> tuple[str, ...]:
    """Stop sequences; those that one cannot see are named apart."""
    given = tuple(stops)
    if not all(map(str.strip, given)):
        uses.append(Use("stop_space", path))
    return given
