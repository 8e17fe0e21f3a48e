"""Service tiers: fields by which a caller asks a provider for another service at another price.

On the operator's credential a request is served only at a price that its hold covers: a service with a price in the
catalog passes and is charged at it, any other is dropped by name and the request is served as usual. Where the data
are processed is no matter of price alone, so it is refused instead. On the account's own key everything passes.
"""

from collections.abc import Collection
from typing import Final

import msgspec

from tollway.dialects import bodies
from tollway.dialects.bodies import Fields
from tollway.wire.refusals import Refusal, refuse

SERVICE_FIELDS: Final = ("service_tier", "speed")
"""OpenAI's and Anthropic's words for it."""
STANDARD: Final = frozenset({"auto", "default", "standard", "standard_only"})
"""Values that ask for what is served anyway."""
REGION: Final = "inference_geo"
ANYWHERE: Final = frozenset({"global"})
_MARKS: Final = tuple(f'"{name}"'.encode() for name in (*SERVICE_FIELDS, REGION))


class Fitted(msgspec.Struct, frozen=True):
    """A body that asks for nothing that has no price. `dropped` names what was taken out."""

    body: bytes
    dropped: tuple[str, ...] = ()


def asked(fields: Fields) -> str:
    """The service that a request asks for besides the standard one; "" if it asks for none."""
    return next((word for name in SERVICE_FIELDS if (word := _word(fields, name)) and word not in STANDARD), "")


def fitted(body: bytes, priced: Collection[str]) -> Fitted | Refusal:
    """For the operator's credential: without services other than those `priced`. Refusals: `unsupported_parameter`."""
    if not any(mark in body for mark in _MARKS):
        return Fitted(body)
    fields = bodies.read_fields(body)
    if isinstance(fields, Refusal):
        return fields
    if _word(fields, REGION) not in ("", *ANYWHERE):
        return refuse("unsupported_parameter", _NO_REGION, param=REGION)
    dropped = tuple(name for name in SERVICE_FIELDS if _is_unpriced(fields, name, priced))
    kept = {name: value for name, value in fields.items() if name not in dropped}
    return Fitted(bodies.join_fields(kept), dropped) if dropped else Fitted(body)


_NO_REGION: Final = f"{REGION}: a region costs extra, and the catalog has no price for it; use your own provider key."


def _is_unpriced(fields: Fields, name: str, priced: Collection[str]) -> bool:
    word = _word(fields, name)
    return bool(word) and word not in STANDARD and word not in priced


def _word(fields: Fields, name: str) -> str:
    """The field as a word; what is no string is not one that a provider would take, and counts as unpriced."""
    raw = fields.get(name)
    if raw is None or bytes(raw) == b"null":
        return ""
    value = msgspec.json.decode(raw)
    return value if isinstance(value, str) else "?"
