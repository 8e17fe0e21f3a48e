"""What auth remembers: three events that carry whole records, so that reading the log needs no history of its own.

A record is a face (see `tollway.wire.management`) and, apart from it, the secret that must not leave auth: the keyed
hash of a key, or a sealed provider key. `type_of` gives an event its word in the log: `access_key.created`.
"""

import msgspec

from tollway.wire.access import SealedCredential
from tollway.wire.management import AnyFace, Kind


class Proof(msgspec.Struct, frozen=True):
    """What is kept of a key: HMAC-SHA-256 of its secret under the pepper of that version, found by `key_id`."""

    key_id: str
    digest: bytes
    pepper_version: int


class Record(msgspec.Struct, frozen=True, omit_defaults=True):
    """A resource with its secret."""

    face: AnyFace
    proof: Proof | None = None
    sealed: SealedCredential | None = None


class ResourceCreated(msgspec.Struct, frozen=True, tag="created"):
    """It exists."""

    record: Record


class ResourceChanged(msgspec.Struct, frozen=True, tag="changed"):
    """It is now this."""

    record: Record


class ResourceDeleted(msgspec.Struct, frozen=True, tag="deleted"):
    """It is gone; its key opens nothing any more."""

    kind: Kind
    account_id: str
    id: str
    at_ms: int
    by: str


Event = ResourceCreated | ResourceChanged | ResourceDeleted


def kind_of(face: AnyFace) -> Kind:
    """The word for what a face is of."""
    kind: Kind = type(face).__struct_config__.tag  # pyright: ignore[reportAssignmentType]  the tag is a Kind
    return kind


def type_of(event: Event) -> str:
    """The event's name in the log."""
    kind = event.kind if isinstance(event, ResourceDeleted) else kind_of(event.record.face)
    return f"{kind}.{type(event).__struct_config__.tag}"


def account_of(event: Event) -> str:
    """Whose it is."""
    return event.account_id if isinstance(event, ResourceDeleted) else event.record.face.account_id


def resource_of(event: Event) -> tuple[Kind, str]:
    """What it is about."""
    if isinstance(event, ResourceDeleted):
        return event.kind, event.id
    return kind_of(event.record.face), event.record.face.id


def moment_of(event: Event) -> tuple[int, str]:
    """When, and by which API key."""
    if isinstance(event, ResourceDeleted):
        return event.at_ms, event.by
    return event.record.face.updated_at_ms, event.record.face.updated_by
