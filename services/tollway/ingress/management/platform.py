"""The platform itself, for operators: its own credentials of providers, and the rewrapping of sealed keys."""

import base64
from typing import Annotated, Final

from fastapi import APIRouter, Query
from pydantic import Field

from tollway.ingress.management.caller import AtDesk, Desk
from tollway.ingress.management.errors import Refused
from tollway.ingress.management.resources import CONFLICT, ERRORS, MISSING, PAGE_MAX, BeforeId, Limit, page_uris
from tollway.ingress.management.shapes import Asked, Id, Listed, Metadata, ProviderId, Secret, Shown
from tollway.ingress.management.stamps import Stamped, stamps
from tollway.wire.management import (
    AnyFace,
    Created,
    CreateResource,
    Deleted,
    DeleteResource,
    GetResource,
    ListResources,
    ListWrapped,
    ManagedCredential,
    ManagedCredentialDraft,
    Page,
    Resource,
    Rewrap,
    Rewrapped,
    Wrapped,
    WrappedPage,
)
from tollway.wire.refusals import refuse

MANAGED: Final = "/managed-credentials"
WRAPPED: Final = "/sealed-keys"
KekVersion = Annotated[int, Query(alias="kekVersion", ge=1, le=2**31)]


class ManagedCreate(Asked):
    """The operator's own key of a built-in provider. Setting it again replaces it."""

    provider_id: ProviderId
    value: Secret
    metadata: Metadata | None = None


class ManagedShown(Stamped):
    """One of the operator's credentials kept with auth; those in the adapters' environment are not listed."""

    provider_id: str
    key_redacted: str


class ManagedList(Listed):
    """Newest first."""

    managed_credentials: list[ManagedShown]


class WrappedShape(Shown):
    """A wrapped data key (base64) and what it is bound to. Useless without the master key."""

    account_id: str
    provider: str
    credential_id: str
    version: int
    kek_version: int
    wrapped_key: str


class WrappedList(Shown):
    """At most a hundred."""

    sealed_keys: list[WrappedShape]


class AskedWrapped(Asked):
    """See WrappedShape."""

    account_id: Id
    provider: Id
    credential_id: Annotated[str, Field(min_length=1, max_length=320)]
    version: Annotated[int, Field(ge=1, le=2**53)]
    kek_version: Annotated[int, Field(ge=1, le=2**31)]
    wrapped_key: Annotated[str, Field(max_length=1024, pattern=r"^[A-Za-z0-9+/]+={0,2}$")]


class RewrapBody(Asked):
    """Data keys wrapped by another master key, made by whoever holds both."""

    sealed_keys: Annotated[list[AskedWrapped], Field(max_length=100)]


class RewrappedShown(Shown):
    """How many were replaced."""

    count: int


def platform_router() -> APIRouter:
    """Managed credentials and sealed keys."""
    router = APIRouter(responses=ERRORS, tags=["Operators"])
    add = router.add_api_route
    add(MANAGED, list_managed, methods=["GET"], response_model=ManagedList)
    add(MANAGED, set_managed, methods=["POST"], response_model=ManagedShown, status_code=201, responses=CONFLICT)
    add(f"{MANAGED}/{{id}}", get_managed, methods=["GET"], response_model=ManagedShown, responses=MISSING)
    add(f"{MANAGED}/{{id}}", delete_managed, methods=["DELETE"], status_code=204, responses=MISSING)
    add(WRAPPED, list_wrapped, methods=["GET"], response_model=WrappedList)
    add(f"{WRAPPED}/rewrap", rewrap, methods=["POST"], response_model=RewrappedShown)
    return router


# -- managed credentials


async def list_managed(desk: AtDesk, limit: Limit = PAGE_MAX, before_id: BeforeId = None) -> ManagedList:
    """Credentials of the operator that are kept with auth."""
    page = await desk.manage(ListResources(desk.by, "managed_credential", limit, before_id or ""), Page)
    uri, next_uri = page_uris(desk, MANAGED, page, limit, before_id)
    shown = [_managed(face, desk) for face in page.faces]
    return ManagedList(managed_credentials=shown, uri=uri, next_page_uri=next_uri)


async def set_managed(desk: AtDesk, body: ManagedCreate) -> ManagedShown:
    """Set or replace the credential of a built-in provider."""
    draft = ManagedCredentialDraft(body.provider_id, body.value, body.metadata)
    return _managed((await desk.manage(CreateResource(desk.by, draft), Created)).face, desk)


async def get_managed(desk: AtDesk, id: str) -> ManagedShown:  # noqa: A002
    """By id (`managed:openai`)."""
    return _managed((await desk.manage(GetResource(desk.by, "managed_credential", id), Resource)).face, desk)


async def delete_managed(desk: AtDesk, id: str) -> None:  # noqa: A002
    """Adapters forget it within a second."""
    await desk.manage(DeleteResource(desk.by, "managed_credential", id), Deleted)


def _managed(face: AnyFace, desk: Desk) -> ManagedShown:
    if not isinstance(face, ManagedCredential):
        raise Refused(refuse("internal_error"))
    return ManagedShown(
        **stamps(face, MANAGED, desk.uris), provider_id=face.provider_id, key_redacted=face.key_redacted
    )


# -- rewrapping


async def list_wrapped(desk: AtDesk, kek_version: KekVersion, limit: Limit = PAGE_MAX) -> WrappedList:
    """Sealed keys whose data key is wrapped by an older master key than `kekVersion`."""
    page = await desk.manage(ListWrapped(desk.by, kek_version, limit), WrappedPage)
    return WrappedList(sealed_keys=list(map(_wrapped, page.items)))


def _wrapped(item: Wrapped) -> WrappedShape:
    return WrappedShape(
        account_id=item.account_id,
        provider=item.provider,
        credential_id=item.credential_id,
        version=item.version,
        kek_version=item.kek_version,
        wrapped_key=base64.b64encode(item.wrapped_key).decode(),
    )


async def rewrap(desk: AtDesk, body: RewrapBody) -> RewrappedShown:
    """Replace wrapped data keys; `tollway keys rewrap` makes them. Safe to repeat."""
    items = tuple(map(_unshape, body.sealed_keys))
    return RewrappedShown(count=(await desk.manage(Rewrap(desk.by, items), Rewrapped)).count)


def _unshape(item: AskedWrapped) -> Wrapped:
    try:
        raw = base64.b64decode(item.wrapped_key, validate=True)
    except ValueError:
        raise Refused(refuse("validation", "wrappedKey: is not base64", param="wrappedKey")) from None
    return Wrapped(item.account_id, item.provider, item.credential_id, item.version, item.kek_version, raw)
