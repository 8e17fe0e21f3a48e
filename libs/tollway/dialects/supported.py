"""What a provider does not take, left out of its request by name."""

from typing import TypeVar

from tollway.dialects.dialect import Target

V = TypeVar("V")


def strip_refused(fields: dict[str, V], target: Target) -> tuple[str, ...]:
    """Take out what the row says that its provider refuses and that is harmless to drop; its names."""
    dropped = tuple(name for name in fields if name in target.refused_params)
    for name in dropped:
        del fields[name]
    return dropped
