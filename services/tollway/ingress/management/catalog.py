"""Looking around: which models the account may call, and whether a custom provider answers."""

from typing import Final

from fastapi import APIRouter

from tollway.dialects.providers import listed_params, surface_dialects
from tollway.ingress.management.caller import AtDesk, Desk
from tollway.ingress.management.errors import Refused
from tollway.ingress.management.resources import ERRORS, MISSING
from tollway.ingress.management.shapes import Shown
from tollway.wire import subjects
from tollway.wire.access import CustomProvider, Principal
from tollway.wire.management import DescribeAccess, GetResource, Provider, Resource
from tollway.wire.money import dollars
from tollway.wire.plan import Candidate, DialectName, ListModels, ModelCard, ModelList
from tollway.wire.probe import Probed, ProbeProvider
from tollway.wire.refusals import refuse

MODELS_TIMEOUT_S: Final = 5.0
PROBE_TIMEOUT_S: Final = 30.0
CHATTING: Final[tuple[DialectName, ...]] = ("openai_chat", "openai_responses", "anthropic_messages", "gemini")


class ModelShown(Shown):
    """A model. Prices in dollars per million tokens; null: it has none and needs the account's own provider key."""

    id: str
    provider: str
    name: str
    context_window: int | None
    max_output_tokens: int | None
    input_price: str | None
    output_price: str | None


class ModelListShown(Shown):
    """In catalog order."""

    models: list[ModelShown]


class ProbeShown(Shown):
    """What came of trying a provider out."""

    reachable: bool
    status_code: int | None
    duration_ms: int
    problem: str | None


def catalog_router() -> APIRouter:
    """The two addresses."""
    router = APIRouter(responses=ERRORS)
    router.add_api_route("/models", list_models, methods=["GET"], response_model=ModelListShown, tags=["Models"])
    router.add_api_route(
        "/providers/{id}/test",
        probe,
        methods=["POST"],
        response_model=ProbeShown,
        responses=MISSING,
        tags=["Custom providers"],
    )
    return router


async def list_models(desk: AtDesk) -> ModelListShown:
    """What an access key without a configuration could call now."""
    principal = await desk.manage(DescribeAccess(desk.by), Principal)
    found = await desk.ask(subjects.ROUTE_MODELS, ListModels(principal), ModelList, MODELS_TIMEOUT_S)
    return ModelListShown(models=list(map(_model, found.models)))


def _model(card: ModelCard) -> ModelShown:
    return ModelShown(
        id=card.id,
        provider=card.provider,
        name=card.name,
        context_window=card.tokens_window or None,
        max_output_tokens=card.tokens_output_max or None,
        input_price=dollars(card.price.input) if card.price else None,
        output_price=dollars(card.price.output) if card.price else None,
    )


async def probe(desk: AtDesk, id: str) -> ProbeShown:  # noqa: A002  the API's own word
    """Try the provider out with its first model and newest key: one token, billed to nobody here."""
    face = (await desk.manage(GetResource(desk.by, "provider", id), Resource)).face
    if not isinstance(face, Provider):
        raise Refused(refuse("internal_error"))
    candidate = await _candidate(desk, face)
    question = ProbeProvider(desk.by.account_id, candidate)
    found = await desk.ask(subjects.probe(face.pool), question, Probed, PROBE_TIMEOUT_S)
    return ProbeShown(
        reachable=found.is_reachable,
        status_code=found.status,
        duration_ms=found.duration_ms,
        problem=found.problem or None,
    )


async def _candidate(desk: Desk, face: Provider) -> Candidate:
    principal = await desk.manage(DescribeAccess(desk.by), Principal)
    provider = next(custom for custom in principal.providers if custom.provider == face.provider_id)
    key = next((ref for ref in principal.provider_keys if ref.provider == face.provider_id), None)
    model = provider.models[0] if provider.models else "unknown"
    dialect = _dialect(provider)
    return Candidate(
        provider=provider.provider,
        provider_name=provider.name,
        model=model,
        model_name=model,
        model_sent=model,
        dialect=dialect,
        credential_id=key.id if key else "",
        is_managed=False,
        base_url=provider.base_url,
        pool=provider.pool,
        is_private_address_allowed=provider.is_private_address_allowed,
        supported_params=listed_params(provider.surfaces, dialect),
    )


def _dialect(provider: CustomProvider) -> DialectName:
    """The one to ask in: OpenAI's chat if it is spoken, else another that chats."""
    spoken = frozenset(surface_dialects((each.format, each.surface) for each in provider.surfaces).values())
    chatting: list[DialectName] = [dialect for dialect in CHATTING if dialect in spoken]
    return chatting[0] if chatting else "openai_chat"
