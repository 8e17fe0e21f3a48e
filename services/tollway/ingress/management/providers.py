"""Custom providers."""

from typing import Annotated, Any, Final

from pydantic import Field

from tollway.ingress.management.caller import Desk
from tollway.ingress.management.shapes import Asked, Id, Listed, Metadata, NameRequired, Shown
from tollway.ingress.management.stamps import Stamped, stamps
from tollway.wire.access import ApiSurface
from tollway.wire.management import Provider, ProviderChanges, ProviderDraft

PROVIDERS: Final = "/providers"
BaseUrl = Annotated[str, Field(min_length=1, max_length=2048, examples=["https://models.example.com/v1"])]
ProviderId = Annotated[
    str, Field(min_length=1, max_length=255, pattern=r"^[A-Za-z0-9][A-Za-z0-9._\-]*$", examples=["my-ollama"])
]
Word = Annotated[str, Field(min_length=1, max_length=64)]
Pool = Annotated[str, Field(min_length=1, max_length=63)]


class AskedParam(Asked):
    """A parameter that the provider takes."""

    name: Annotated[str, Field(min_length=1, max_length=255)]


class AskedSurface(Asked):
    """`openai`/`chat-completions` and the like. Without `supportedParams` every parameter is passed on.

    With it, others are left out and named in `tollway-dropped`; a request whose answer would not be the same without
    them (tools, response formats, stop sequences, …) is refused, or goes to the next candidate. Model, conversation,
    streaming and the output limit always go.
    """

    format: Word
    surface: Word
    supported_params: Annotated[list[AskedParam], Field(max_length=200)] | None = None


class AskedModel(Asked):
    """`id` is ours: taken so that what was read can be sent back, and not looked at."""

    model_id: NameRequired
    id: Id | None = None


class ProviderCreate(Asked):
    """A model server of the account's own."""

    provider_id: ProviderId
    name: NameRequired
    base_url: BaseUrl
    metadata: Metadata | None = None
    supported_api_surfaces: Annotated[list[AskedSurface], Field(max_length=20)] | None = None
    models: Annotated[list[AskedModel], Field(max_length=2000)] | None = None
    pool: Pool = "default"


class ProviderPatch(Asked):
    """Absent leaves, null clears; `models` replaces the set."""

    name: NameRequired = ""
    base_url: BaseUrl = ""
    metadata: Metadata | None = None
    supported_api_surfaces: Annotated[list[AskedSurface], Field(max_length=20)] | None = None
    models: Annotated[list[AskedModel], Field(max_length=2000)] | None = None
    pool: Pool = "default"


class ShownParam(Shown):
    """A parameter that the provider takes."""

    name: str


class ShownSurface(Shown):
    """See AskedSurface."""

    format: str
    surface: str
    supported_params: list[ShownParam] | None = Field(default=None, exclude_if=lambda value: value is None)


class ShownModel(Shown):
    """A model."""

    id: str
    model_id: str


class ProviderShown(Stamped):
    """A custom provider."""

    provider_id: str
    name: str
    base_url: str
    supported_api_surfaces: list[ShownSurface]
    models: list[ShownModel]
    pool: str


class ProviderList(Listed):
    """Newest first."""

    aiGatewayProviders: list[ProviderShown]  # noqa: N815  the wrapper's own spelling


def provider_draft(asked: ProviderCreate) -> ProviderDraft:
    """Body to command."""
    return ProviderDraft(
        provider_id=asked.provider_id,
        name=asked.name,
        base_url=asked.base_url,
        metadata=asked.metadata,
        surfaces=_surfaces(asked.supported_api_surfaces),
        models=_models(asked.models),
        pool=asked.pool,
    )


def provider_changes(asked: ProviderPatch) -> ProviderChanges:
    """Body to command."""
    fields: dict[str, Any] = {
        name: value for name, value in asked.given().items() if name not in ("supported_api_surfaces", "models")
    }
    if "supported_api_surfaces" in asked.model_fields_set:
        fields["surfaces"] = _surfaces(asked.supported_api_surfaces)
    if "models" in asked.model_fields_set:
        fields["models"] = _models(asked.models)
    return ProviderChanges(**fields)


def _surfaces(asked: list[AskedSurface] | None) -> tuple[ApiSurface, ...]:
    return tuple(ApiSurface(surface.format, surface.surface, _params(surface)) for surface in asked or ())


def _params(asked: AskedSurface) -> tuple[str, ...] | None:
    return None if asked.supported_params is None else tuple(param.name for param in asked.supported_params)


def _models(asked: list[AskedModel] | None) -> tuple[str, ...]:
    return tuple(model.model_id for model in asked or ())


def show_provider(face: Provider, desk: Desk) -> ProviderShown:
    """Face to body."""
    return ProviderShown(
        **stamps(face, PROVIDERS, desk.uris),
        provider_id=face.provider_id,
        name=face.name,
        base_url=face.base_url,
        supported_api_surfaces=list(map(_show_surface, face.surfaces)),
        models=[ShownModel(id=model.id, model_id=model.model_id) for model in face.models],
        pool=face.pool,
    )


def _show_surface(surface: ApiSurface) -> ShownSurface:
    params = surface.supported_params
    shown = None if params is None else [ShownParam(name=name) for name in params]
    return ShownSurface(format=surface.format, surface=surface.surface, supported_params=shown)
