"""What a request would be tried on and would hold, and how providers are doing. Nothing is called by asking."""

from collections.abc import Mapping
from typing import Annotated, Any, Final, Literal

import msgspec
from fastapi import APIRouter, Header, Query, Request
from pydantic import ConfigDict, Field

from tollway.dialects.bodies import join_fields
from tollway.dialects.bridge import Intake, read_intake
from tollway.ingress import domain
from tollway.ingress.counting import counted
from tollway.ingress.management.caller import AtDesk, Desk
from tollway.ingress.management.errors import Refused
from tollway.ingress.management.resources import ERRORS, MISSING
from tollway.ingress.management.shapes import Asked, Id, Moment, Shown, maybe_rfc3339
from tollway.ingress.management.usage import KEY_SOURCES, SkippedShown, key_source_of, own_key_of, show_skipped
from tollway.ingress.surfaces import DOORS, Door
from tollway.wire import subjects
from tollway.wire.access import Principal
from tollway.wire.management import DescribeAccess
from tollway.wire.money import dollars
from tollway.wire.plan import (
    AskHealth,
    Candidate,
    HealthReport,
    HealthState,
    Plan,
    PlanRoute,
    Price,
    Skipped,
    health_id,
)
from tollway.wire.plan import TargetHealth as Target
from tollway.wire.queries import Balance, GetBalance
from tollway.wire.refusals import Refusal, refuse

HEALTH: Final = "/providers/health"
ROUTE_TIMEOUT_S: Final = 5.0
KeySource = Literal["ngrok", "user"]
Surface = Literal["chat", "responses", "completions", "embeddings", "messages"]
Strategy = Annotated[
    str, Header(alias="tollway-strategy", max_length=1024, description="The request's own strategy, as when calling.")
]


class ExplainAsked(Asked):
    """The body of an inference request, as it would be sent, and two fields that say what would be called and by whom.

    Without `accessKeyId`: what an access key without a configuration may do.
    """

    model_config = ConfigDict(extra="allow")

    model: Annotated[str, Field(examples=["gpt-4o"])]
    models: list[str] | None = None
    surface: Surface = "chat"
    access_key_id: Id | None = None


class PriceTierShown(Shown):
    """Prices for inputs longer than `aboveInputTokens`."""

    above_input_tokens: int
    input: str
    output: str


class ServicePriceShown(Shown):
    """Prices of the service that the request asks for, if it is served by it."""

    service: str
    input: str
    output: str


class PriceShown(Shown):
    """Dollars per million tokens; null: billed as input. `perRequest` is dollars."""

    input: str
    output: str
    cache_read: str | None
    cache_write: str | None
    per_request: str
    tiers: list[PriceTierShown]
    services: list[ServicePriceShown]


class CandidateShown(Shown):
    """A candidate, in the order in which it would be tried.

    `maxCost`: the most that it could be charged within the hold's limits. `heldBack`: it would have come earlier, but
    its health is such. `price` null: none is known, so only the account's own key is used, for the fee alone.
    """

    provider: str
    provider_display_name: str
    model: str
    model_display_name: str
    key_source: KeySource
    provider_key_id: str | None
    provider_key_display_name: str | None
    dialect: str
    step: int
    context_window: int | None
    max_output_tokens: int | None
    price: PriceShown | None
    max_cost: str
    reason: str
    held_back: str | None


class HoldShown(Shown):
    """What would be set aside, in dollars, and what it covers. A stream holds its first slice and is extended up to
    `outputTokensWanted`. `available` is the balance that is not held by other requests now."""

    amount: str
    input_tokens: int
    output_tokens: int
    output_tokens_wanted: int
    available: str


class RefusalShown(Shown):
    """The refusal that the request would get, before any provider is called."""

    code: str
    status_code: int
    message: str
    param: str | None


class ExplainedShown(Shown):
    """What would happen now. With a `refusal`, nothing would be tried."""

    surface: Surface
    strategy: str | None
    price_version: str | None
    health_version: int | None
    candidates: list[CandidateShown]
    skipped: list[SkippedShown]
    hold: HoldShown | None
    refusal: RefusalShown | None


class TargetShown(Shown):
    """A provider, one of its models, or one of its credentials, lately (10 to 20 s).

    `closed`: in use. `open`: tried last until `until`. `half_open`: one request may try whether it is back. `reason` is
    the class of error that took it out.
    """

    provider: str
    model: str | None
    key_source: KeySource | None
    provider_key_id: str | None
    state: HealthState
    until: Moment | None
    reason: str | None
    successes: int
    failures: int
    time_to_first_token_ms: int | None


class HealthShown(Shown):
    """Those in trouble first."""

    uri: str
    version: int
    targets: list[TargetShown]


def routing_router() -> APIRouter:
    """The two addresses. To be mounted before `/providers/{id}`."""
    router = APIRouter(responses=ERRORS, tags=["Routing"])
    router.add_api_route(
        "/route/explain",
        explain,
        methods=["POST"],
        response_model=ExplainedShown,
        responses=MISSING,
        operation_id="explainRoute",
        summary="What a request would be tried on, and what it would hold",
    )
    router.add_api_route(
        HEALTH,
        get_health,
        methods=["GET"],
        response_model=HealthShown,
        operation_id="getProviderHealth",
        summary="How providers, models and credentials are doing",
    )
    return router


# -- explain


class DryRun(msgspec.Struct, frozen=True):
    """How far a request would come."""

    plan: Plan | None = None
    intake: Intake | None = None
    sizing: domain.Sizing | None = None
    available_nusd: int = 0
    refusal: Refusal | None = None


_DOOR_OF: Final[Mapping[str, Door]] = {door.surface: door for door in DOORS.values()}
_OWN_FIELDS: Final = ("surface", "accessKeyId")
_fields: Final = msgspec.json.Decoder(dict[str, msgspec.Raw])


async def explain(desk: AtDesk, request: Request, asked: ExplainAsked, strategy: Strategy = "") -> ExplainedShown:
    """A dry run: no provider is called, nothing is held or written, and no probe of an ailing provider is used up."""
    principal = await desk.manage(DescribeAccess(desk.by, asked.access_key_id or ""), Principal)
    body = inference_body(await request.body())
    return _explained(asked.surface, await _dry_run(desk, principal, _DOOR_OF[asked.surface], body, strategy))


def inference_body(body: bytes) -> bytes:
    """Without the fields that are not the inference request's; the others byte for byte, since bytes are counted."""
    return join_fields({name: value for name, value in _fields.decode(body).items() if name not in _OWN_FIELDS})


async def _dry_run(desk: Desk, principal: Principal, door: Door, body: bytes, strategy: str) -> DryRun:
    intake = read_intake(door.dialect, body, surface=door.surface)
    if isinstance(intake, Refusal):
        return DryRun(refusal=intake)
    question = PlanRoute(
        principal,
        (intake.model, *intake.models),
        door.surface,
        intake.needs,
        strategy=strategy,
        is_explained=True,
        tokens_input=domain.tokens_input_least(intake),
        is_searching=intake.searches > 0,
        billed_tools=intake.billed_tools,
    )
    plan = await desk.bus.ask(subjects.ROUTE_EXPLAIN, question, Plan, timeout_s=ROUTE_TIMEOUT_S)
    if isinstance(plan, Refusal):
        return DryRun(refusal=_of_the_route(plan))
    plan = domain.with_service(plan, intake.service, door.dialect)
    return await _afforded(desk, principal, door, body, DryRun(plan, intake))


def _of_the_route(refusal: Refusal) -> Refusal:
    """A refusal that the request would get too; a router that does not answer ends the endpoint."""
    if refusal.code == "gateway_unavailable":
        raise Refused(refusal)
    return refusal


async def _afforded(desk: Desk, principal: Principal, door: Door, body: bytes, dry: DryRun) -> DryRun:
    """Sized as `life` does: by the cheap bound of the input, and by a count where that makes a difference."""
    plan, intake = dry.plan, dry.intake
    assert plan is not None
    assert intake is not None
    tokens, cap = domain.tokens_input_bound(intake), principal.settings.tokens_input_max
    if cap is not None and tokens > cap:
        tokens = await counted(body, intake)
    too_large = domain.input_refusal(tokens, principal.settings)
    if too_large is not None:
        return msgspec.structs.replace(dry, refusal=too_large)
    available = (await desk.query(GetBalance(desk.by.account_id), Balance)).available_nusd
    sizing = domain.size(plan.candidates, intake, principal.settings, door.surface, tokens_input=tokens)
    if sizing.amount_nusd > available:
        fewer = await counted(body, intake)
        sizing = domain.size(plan.candidates, intake, principal.settings, door.surface, tokens_input=fewer)
    is_poor = sizing.amount_nusd > available
    refusal = _insufficient(sizing, available, is_stream=intake.is_stream) if is_poor else None
    return DryRun(plan, intake, sizing, available, refusal)


def _insufficient(sizing: domain.Sizing, available_nusd: int, *, is_stream: bool) -> Refusal:
    said = refuse("insufficient_credits", details={"availableNusd": str(available_nusd)})
    return domain.credit_refusal(said, sizing, is_stream=is_stream)


def _explained(surface: Surface, dry: DryRun) -> ExplainedShown:
    plan = dry.plan
    held_back = _held_back(plan) if plan is not None else {}
    return ExplainedShown(
        surface=surface,
        strategy=plan.strategy if plan is not None else None,
        price_version=plan.price_version if plan is not None else None,
        health_version=plan.health_version if plan is not None else None,
        candidates=_candidates(plan, dry, held_back) if plan is not None else [],
        skipped=[show_skipped(each) for each in plan.skipped if _key_of(each) not in held_back] if plan else [],
        hold=_hold(dry.sizing, dry.available_nusd) if dry.sizing is not None else None,
        refusal=_refusal(dry.refusal) if dry.refusal is not None else None,
    )


_Key = tuple[str, str, str]


def _key_of(it: Candidate | Skipped) -> _Key:
    return it.provider, it.model, it.credential_id


def _held_back(plan: Plan) -> dict[_Key, str]:
    """Candidates that stay in the plan, though not in their place, and why."""
    planned = set(map(_key_of, plan.candidates))
    return {_key_of(each): each.reason for each in plan.skipped if _key_of(each) in planned}


def _candidates(plan: Plan, dry: DryRun, held_back: Mapping[_Key, str]) -> list[CandidateShown]:
    reasons = plan.reasons or ("",) * len(plan.candidates)
    pairs = zip(plan.candidates, reasons, strict=True)
    return [_candidate(each, why, _cost_max(each, dry), held_back.get(_key_of(each))) for each, why in pairs]


def _cost_max(candidate: Candidate, dry: DryRun) -> int:
    sizing, intake = dry.sizing, dry.intake
    if sizing is None or intake is None:
        return 0
    return domain.worst_case_of(
        candidate, intake, tokens_input=sizing.tokens_input_bound, tokens_output=sizing.tokens_output_cap
    )


def _candidate(candidate: Candidate, reason: str, cost_max_nusd: int, held_back: str | None) -> CandidateShown:
    is_user = not candidate.is_managed
    return CandidateShown(
        provider=candidate.provider,
        provider_display_name=candidate.provider_name,
        model=candidate.model,
        model_display_name=candidate.model_name,
        key_source=KEY_SOURCES["user" if is_user else "managed"],
        provider_key_id=(candidate.credential_id or None) if is_user else None,
        provider_key_display_name=(candidate.credential_name or None) if is_user else None,
        dialect=candidate.dialect,
        step=candidate.step,
        context_window=candidate.tokens_window or None,
        max_output_tokens=candidate.tokens_output_max or None,
        price=_price(candidate.price) if candidate.price is not None else None,
        max_cost=dollars(cost_max_nusd),
        reason=reason,
        held_back=held_back,
    )


def _price(price: Price) -> PriceShown:
    tiers = [
        PriceTierShown(
            above_input_tokens=tier.above_tokens_input, input=dollars(tier.input), output=dollars(tier.output)
        )
        for tier in price.tiers
    ]
    services = [
        ServicePriceShown(service=special.service, input=dollars(special.input), output=dollars(special.output))
        for special in price.services
    ]
    return PriceShown(
        input=dollars(price.input),
        output=dollars(price.output),
        cache_read=_maybe_dollars(price.cache_read),
        cache_write=_maybe_dollars(price.cache_write),
        per_request=dollars(price.per_request),
        tiers=tiers,
        services=services,
    )


def _maybe_dollars(nusd: int | None) -> str | None:
    return None if nusd is None else dollars(nusd)


def _hold(sizing: domain.Sizing, available_nusd: int) -> HoldShown:
    return HoldShown(
        amount=dollars(sizing.amount_nusd),
        input_tokens=sizing.tokens_input_bound,
        output_tokens=sizing.tokens_output_cap,
        output_tokens_wanted=sizing.tokens_output_wanted,
        available=dollars(available_nusd),
    )


def _refusal(refusal: Refusal) -> RefusalShown:
    return RefusalShown(
        code=refusal.code, status_code=refusal.rule.status, message=refusal.message, param=refusal.param
    )


# -- health


async def get_health(
    desk: AtDesk, provider: Annotated[str | None, Query(max_length=255, description="One provider's alone.")] = None
) -> Any:
    """Targets that were tried lately: the account's own credentials, the operator's, and providers as a whole."""
    principal = await desk.manage(DescribeAccess(desk.by), Principal)
    own = {key.id for key in principal.provider_keys} | {health_id("", it.base_url) for it in principal.providers}
    question = AskHealth(provider or "")
    report = await desk.ask(subjects.ROUTE_HEALTH, question, HealthReport, ROUTE_TIMEOUT_S)
    return HealthShown(
        uri=desk.uris.to(HEALTH, provider=provider),
        version=report.version,
        targets=[_target(each) for each in report.targets if _is_shown(each.credential_id, own)],
    )


def _is_shown(credential_id: str, own: set[str]) -> bool:
    """The account's own ways, the operator's, and a provider as a whole."""
    return credential_id in own or key_source_of(credential_id) != "user"


def _target(target: Target) -> TargetShown:
    return TargetShown(
        provider=target.provider,
        model=target.model or None,
        key_source=key_source_of(target.credential_id),
        provider_key_id=own_key_of(target.credential_id),
        state=target.state,
        until=maybe_rfc3339(target.until_ms or None),
        reason=target.reason or None,
        successes=target.successes,
        failures=target.failures,
        time_to_first_token_ms=target.ttft_ms or None,
    )
