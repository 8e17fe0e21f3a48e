"""What every resource shows: id, address, when and by whom it was made and changed."""

from typing import Any

from tollway.ingress.management.shapes import Moment, Ref, Shown, rfc3339
from tollway.ingress.management.uris import Uris
from tollway.wire.management import Face


class Stamped(Shown):
    """The common part of every resource."""

    id: str
    uri: str
    created_at: Moment
    updated_at: Moment
    created_by: Ref
    last_updated_by: Ref
    metadata: str | None = None


def stamps(face: Face, path: str, uris: Uris) -> dict[str, Any]:
    """The fields of Stamped, for a face whose resource lives at `path`."""
    return {
        "id": face.id,
        "uri": uris.to(f"{path}/{face.id}"),
        "created_at": rfc3339(face.created_at_ms),
        "updated_at": rfc3339(face.updated_at_ms),
        "created_by": key_ref(face.created_by, uris),
        "last_updated_by": key_ref(face.updated_by, uris),
        "metadata": face.metadata,
    }


def key_ref(api_key_id: str, uris: Uris) -> Ref:
    """Who did it: an API key."""
    return Ref(id=api_key_id, uri=uris.to(f"/api-keys/{api_key_id}"))
