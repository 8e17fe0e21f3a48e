"""Providers' usage figures, not believed blindly: absurd ones become unknown and are named in notes."""

import json
from collections.abc import Mapping
from typing import Any, Final, cast

import msgspec

from tollway.wire.pricing import TOKENS_SANE_MAX
from tollway.wire.usage import Usage

_any: Final = msgspec.json.Decoder()

Figures = Mapping[str, tuple[str, ...]]
"""Field of `Usage` to the path of its figure in a provider's usage object."""


def read_figures(raw: bytes | msgspec.Raw, paths: Figures) -> tuple[Usage | None, tuple[str, ...]]:
    """Usage by a dialect's table of paths. None: there is no usage object at all."""
    found = _decoded(raw)
    if not isinstance(found, dict):
        return None, () if found is None else ("usage is not an object",)
    notes: list[str] = []
    figures = {field: _figure(cast("dict[str, Any]", found), path, notes) for field, path in paths.items()}
    return Usage(**figures), tuple(notes)  # pyright: ignore[reportArgumentType]  the tables name counts only


SERVICE_CHARS_MAX: Final = 32


def served_as(usage: Usage | None, service: str | None) -> Usage | None:
    """Usage with the provider's word for the service that it gave."""
    if usage is None or not service:
        return usage
    return msgspec.structs.replace(usage, service=service[:SERVICE_CHARS_MAX])


def _decoded(raw: bytes | msgspec.Raw) -> Any:
    try:
        return _any.decode(raw)
    except msgspec.DecodeError:  # a number beyond every range, which the standard library reads as infinite
        return json.loads(bytes(raw))


def _figure(found: dict[str, Any], path: tuple[str, ...], notes: list[str]) -> int | None:
    value: Any = found
    for name in path:
        value = cast("dict[str, Any]", value).get(name) if isinstance(value, dict) else None
    if value is None:
        return None
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= TOKENS_SANE_MAX:
        return value
    notes.append(f"usage.{'.'.join(path)} is absurd")
    return None
