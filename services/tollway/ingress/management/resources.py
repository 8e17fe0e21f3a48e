"""The five calls of every resource, from one table: list, create, get, patch, delete."""

from collections.abc import Callable
from typing import Annotated, Any, Final

from fastapi import APIRouter, Query
from pydantic import BaseModel

from tollway.ingress.management import configurations, keys, providers
from tollway.ingress.management.caller import AtDesk, Desk
from tollway.ingress.management.errors import ErrorShape, Refused
from tollway.ingress.management.shapes import Shown
from tollway.wire.management import (
    Created,
    CreateResource,
    Deleted,
    DeleteResource,
    GetResource,
    Kind,
    ListResources,
    Page,
    ProviderKey,
    Resource,
    RotateProviderKey,
    UpdateResource,
)
from tollway.wire.refusals import refuse

PAGE_MAX: Final = 100
Limit = Annotated[int, Query(ge=1, le=PAGE_MAX, description="How many at most.")]
BeforeId = Annotated[str | None, Query(alias="beforeId", max_length=255, description="Those before this id.")]
ERRORS: Final[dict[int | str, dict[str, Any]]] = {
    status: {"model": ErrorShape, "description": words}
    for status, words in {
        400: "A field or parameter is not valid.",
        401: "No API key, or not a good one.",
        403: "This API key may not do that.",
        503: "A service behind does not answer.",
    }.items()
}
MISSING: Final[dict[int | str, dict[str, Any]]] = {404: {"model": ErrorShape, "description": "There is no such thing."}}
CONFLICT: Final[dict[int | str, dict[str, Any]]] = {
    409: {"model": ErrorShape, "description": "Its state does not allow this."},
    501: {"model": ErrorShape, "description": "The operator has not enabled this."},
}


class Table(BaseModel):
    """One resource: where it lives, its words, its shapes and the way between bodies and commands."""

    path: str
    kind: Kind
    tag: str
    noun: str
    wrapper: str
    listed: type[Shown]
    create: type[BaseModel]
    patch: type[BaseModel]
    shown: type[Shown]
    created: type[Shown]
    draft: Callable[[Any], Any]
    changes: Callable[[Any], Any]
    show: Callable[[Any, Desk], Shown]


TABLES: Final = (
    Table(
        path=keys.ACCESS_KEYS,
        kind="access_key",
        tag="Access keys",
        noun="AccessKey",
        wrapper="aiGatewayAccessKeys",
        listed=keys.AccessKeyList,
        create=keys.AccessKeyCreate,
        patch=keys.AccessKeyPatch,
        shown=keys.AccessKeyShown,
        created=keys.AccessKeyCreated,
        draft=keys.access_key_draft,
        changes=keys.access_key_changes,
        show=keys.show_access_key,
    ),
    Table(
        path=keys.CONFIGURATIONS,
        kind="configuration",
        tag="Access key configurations",
        noun="AccessKeyConfiguration",
        wrapper="aiGatewayAccessKeyConfigurations",
        listed=configurations.ConfigurationList,
        create=configurations.ConfigurationCreate,
        patch=configurations.ConfigurationPatch,
        shown=configurations.ConfigurationShown,
        created=configurations.ConfigurationShown,
        draft=configurations.configuration_draft,
        changes=configurations.configuration_changes,
        show=configurations.show_configuration,
    ),
    Table(
        path=keys.PROVIDER_KEYS,
        kind="provider_key",
        tag="Provider keys",
        noun="ProviderKey",
        wrapper="aiGatewayProviderKeys",
        listed=keys.ProviderKeyList,
        create=keys.ProviderKeyCreate,
        patch=keys.ProviderKeyPatch,
        shown=keys.ProviderKeyShown,
        created=keys.ProviderKeyShown,
        draft=keys.provider_key_draft,
        changes=keys.provider_key_changes,
        show=keys.show_provider_key,
    ),
    Table(
        path=providers.PROVIDERS,
        kind="provider",
        tag="Custom providers",
        noun="Provider",
        wrapper="aiGatewayProviders",
        listed=providers.ProviderList,
        create=providers.ProviderCreate,
        patch=providers.ProviderPatch,
        shown=providers.ProviderShown,
        created=providers.ProviderShown,
        draft=providers.provider_draft,
        changes=providers.provider_changes,
        show=providers.show_provider,
    ),
    Table(
        path=keys.API_KEYS,
        kind="api_key",
        tag="API keys",
        noun="ApiKey",
        wrapper="aiGatewayApiKeys",
        listed=keys.ApiKeyList,
        create=keys.ApiKeyCreate,
        patch=keys.ApiKeyPatch,
        shown=keys.ApiKeyShown,
        created=keys.ApiKeyCreated,
        draft=keys.api_key_draft,
        changes=keys.api_key_changes,
        show=keys.show_api_key,
    ),
)


def resource_router() -> APIRouter:
    """All of them."""
    router = APIRouter(responses=ERRORS)
    for table in TABLES:
        _add_list(router, table)
        _add_create(router, table)
        _add_get(router, table)
        _add_patch(router, table)
        _add_delete(router, table)
    router.add_api_route(
        f"{keys.PROVIDER_KEYS}/{{id}}/rotate",
        rotate_provider_key,
        methods=["POST"],
        tags=["Provider keys"],
        summary="Give a provider key a new value",
        response_model=keys.ProviderKeyShown,
        responses=MISSING | CONFLICT,
    )
    return router


def _add_list(router: APIRouter, table: Table) -> None:
    async def list_them(
        desk: AtDesk,
        limit: Limit = PAGE_MAX,
        before_id: BeforeId = None,
        provider: Annotated[str | None, Query(max_length=255)] = None,
    ) -> Any:
        command = ListResources(desk.by, table.kind, limit, before_id or "", provider or "")
        return page_body(table, await desk.manage(command, Page), desk, limit, before_id, provider)

    async def list_all(desk: AtDesk, limit: Limit = PAGE_MAX, before_id: BeforeId = None) -> Any:
        return await list_them(desk, limit, before_id)

    is_filtered = table.kind == "provider_key"
    router.add_api_route(
        table.path,
        list_them if is_filtered else list_all,
        methods=["GET"],
        tags=[table.tag],
        summary=f"List {table.tag.lower()}, newest first",
        operation_id=f"list{table.noun}s",
        response_model=table.listed,
    )


def page_body(
    table: Table, page: Page, desk: Desk, limit: int, before_id: str | None, provider: str | None = None
) -> Shown:
    """A list with its own address and that of the next page."""
    filters = {"limit": limit if limit != PAGE_MAX else None, "provider": provider}
    next_uri = desk.uris.to(table.path, **filters, beforeId=page.faces[-1].id) if page.has_more else None
    uri = desk.uris.to(table.path, **filters, beforeId=before_id)
    faces = [table.show(face, desk) for face in page.faces]
    return table.listed.model_validate({table.wrapper: faces, "uri": uri, "next_page_uri": next_uri})


def page_uris(desk: Desk, path: str, page: Page, limit: int, before_id: str | None) -> tuple[str, str | None]:
    """The address of a page, and of the next one."""
    sized = limit if limit != PAGE_MAX else None
    next_uri = desk.uris.to(path, limit=sized, beforeId=page.faces[-1].id) if page.has_more else None
    return desk.uris.to(path, limit=sized, beforeId=before_id), next_uri


def _add_create(router: APIRouter, table: Table) -> None:
    async def create(desk: AtDesk, body: Any) -> Any:
        made = await desk.manage(CreateResource(desk.by, table.draft(body)), Created)
        return created_body(table, made, desk)

    create.__annotations__["body"] = table.create
    router.add_api_route(
        table.path,
        create,
        methods=["POST"],
        tags=[table.tag],
        summary=f"Create one of the {table.tag.lower()}",
        operation_id=f"create{table.noun}",
        response_model=table.created,
        status_code=201,
        responses=CONFLICT,
    )


def created_body(table: Table, made: Created, desk: Desk) -> Shown:
    """The new resource; keys with their token."""
    shown = table.show(made.face, desk)
    if table.created is table.shown:
        return shown
    return table.created.model_validate({**dict(shown), "token": made.token})


def _add_get(router: APIRouter, table: Table) -> None:
    async def get(desk: AtDesk, id: str) -> Any:  # noqa: A002  the API's own word
        return await shown_by_id(table, desk, id)

    router.add_api_route(
        f"{table.path}/{{id}}",
        get,
        methods=["GET"],
        tags=[table.tag],
        summary=f"Get one of the {table.tag.lower()}",
        operation_id=f"get{table.noun}",
        response_model=table.shown,
        responses=MISSING,
    )


async def shown_by_id(table: Table, desk: Desk, id_: str) -> Shown:
    """One resource of the caller's account."""
    return table.show((await desk.manage(GetResource(desk.by, table.kind, id_), Resource)).face, desk)


def _add_patch(router: APIRouter, table: Table) -> None:
    async def patch(desk: AtDesk, id: str, body: Any) -> Any:  # noqa: A002
        command = UpdateResource(desk.by, id, table.changes(body))
        return table.show((await desk.manage(command, Resource)).face, desk)

    patch.__annotations__["body"] = table.patch
    router.add_api_route(
        f"{table.path}/{{id}}",
        patch,
        methods=["PATCH"],
        tags=[table.tag],
        summary=f"Change one of the {table.tag.lower()}",
        operation_id=f"update{table.noun}",
        response_model=table.shown,
        responses=MISSING | CONFLICT,
    )


def _add_delete(router: APIRouter, table: Table) -> None:
    async def delete(desk: AtDesk, id: str) -> None:  # noqa: A002
        await desk.manage(DeleteResource(desk.by, table.kind, id), Deleted)

    router.add_api_route(
        f"{table.path}/{{id}}",
        delete,
        methods=["DELETE"],
        tags=[table.tag],
        summary=f"Delete one of the {table.tag.lower()}",
        operation_id=f"delete{table.noun}",
        status_code=204,
        responses=MISSING | CONFLICT,
    )


async def rotate_provider_key(desk: AtDesk, id: str, body: keys.ProviderKeyRotate) -> Any:  # noqa: A002
    """The id stays, so configurations that name it need no change."""
    given = {"name": body.name} if "name" in body.model_fields_set else {}
    command = RotateProviderKey(desk.by, id, body.value, **given)
    face = (await desk.manage(command, Resource)).face
    if not isinstance(face, ProviderKey):
        raise Refused(refuse("internal_error"))
    return keys.show_provider_key(face, desk)
