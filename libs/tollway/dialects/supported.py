"""What a provider does not take, left out of its request by name: what its row says it refuses, and what the list of an
account's own provider does not have. Where the answer would not be to what was asked, the request is refused instead.
"""

from collections.abc import Iterable, Mapping
from typing import Final, TypeVar

import msgspec

from tollway.dialects import bodies
from tollway.dialects.bodies import Fields
from tollway.dialects.dialect import Dialect, Passing, Target
from tollway.dialects.features import MANNER, NOT_LISTED, Use, as_named, judge, top_of
from tollway.dialects.reading import top_level_uses
from tollway.wire.refusals import Refusal

V = TypeVar("V")

_OURS: Final = frozenset({"model", "models", "stream", "stream_options"})
"""Fields of every dialect that Tollway sets or takes out itself."""
_USUAL_CHOICES: Final = frozenset({'"auto"', '{"type":"auto"}', '{"functionCallingConfig":{"mode":"AUTO"}}'})
"""Of tools: what is meant without it."""
_NO_TOOLS: Final = msgspec.Raw(b"[]")


def strip_refused(fields: dict[str, V], target: Target) -> tuple[str, ...]:
    """Take out what the row says that its provider refuses and that is harmless to drop; its names."""
    dropped = tuple(name for name in fields if name in target.refused_params)
    for name in dropped:
        del fields[name]
    return dropped


def strip_unlisted(
    fields: Fields, dialect: Passing, target: Target, *, asked: Iterable[Use] = ()
) -> Refusal | tuple[str, ...]:
    """Take out what the account's list for its provider does not have; its names.

    `fields` are of the provider's dialect. `asked`: uses of the client's request, where it was another; a refusal then
    has the client's path. What no request can be without, the output limit included, stays.
    """
    listed = target.row.supported_params
    if listed is None:
        return ()
    taken = _OURS.union(listed, dialect.needed)
    uses = _uses(fields, dialect)
    if isinstance(uses, Refusal):
        return uses
    paths = {use.feature: use.path for use in reversed(tuple(asked))}
    lost = [
        Use(use.feature, paths.get(use.feature, use.path))
        for use in uses
        if _param(use.path, dialect, listed) not in taken and not _is_free(use, fields)
    ]
    refusal = judge(lost, (), (), hints=MANNER, sentence=NOT_LISTED)
    if isinstance(refusal, Refusal):
        return refusal
    dropped = tuple(name for name in fields if name not in taken)
    for name in dropped:
        del fields[name]
    return as_named((*dropped, *_strip_envelope(fields, dialect, taken, listed)))


def _uses(fields: Fields, dialect: Passing) -> Iterable[Use] | Refusal:
    if not isinstance(dialect, Dialect):
        return top_level_uses(fields, dialect.top)
    reading = dialect.read_request(bodies.join_fields(fields), fields)
    return reading if isinstance(reading, Refusal) else reading.uses


def _param(path: str, dialect: Passing, listed: Iterable[str]) -> str:
    """The parameter that a path belongs to: its top-level field, or one inside the dialect's envelope of them."""
    name, _, inside = path.partition(".")
    if name == dialect.envelope and name not in listed:
        return top_of(inside)
    return top_of(path)


def _is_free(use: Use, fields: Mapping[str, msgspec.Raw]) -> bool:
    """Whether a use is no reason to refuse: a field that nobody but the list knows, or what is meant without it."""
    if use.feature == "unknown_field":
        return use.path in fields
    if use.feature != "tool_choice":
        return False
    is_offering = bytes(fields.get("tools", _NO_TOOLS)) not in (b"[]", b"null")
    return not is_offering or bodies.compact(fields[top_of(use.path)]) in _USUAL_CHOICES


_CONFIGS: Final[msgspec.json.Decoder[Fields | None]] = msgspec.json.Decoder(Fields | None)


def _strip_envelope(fields: Fields, dialect: Passing, taken: Iterable[str], listed: Iterable[str]) -> tuple[str, ...]:
    name = dialect.envelope
    if name not in fields or name in listed:
        return ()
    config = _CONFIGS.decode(fields[name]) or {}
    kept = {inner: value for inner, value in config.items() if inner in taken}
    fields[name] = msgspec.Raw(msgspec.json.encode(kept))
    if not kept:
        del fields[name]
    return tuple(f"{name}.{inner}" for inner in config if inner not in kept)
