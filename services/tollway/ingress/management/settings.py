"""`/gateway-config`: timeouts and token caps of the account."""

from typing import Any, Final, Literal

from fastapi import APIRouter
from msgspec import UNSET

from tollway.ingress.management.caller import AtDesk, Desk
from tollway.ingress.management.durations import read_duration, write_duration
from tollway.ingress.management.errors import Refused
from tollway.ingress.management.resources import ERRORS
from tollway.ingress.management.shapes import Asked, Count, Duration, Metadata, Shown
from tollway.wire.access import Settings
from tollway.wire.management import (
    PLATFORM,
    AnyFace,
    GatewaySettings,
    GetResource,
    Resource,
    SettingsChanges,
    UpdateResource,
)
from tollway.wire.refusals import refuse

GATEWAY_CONFIG: Final = "/gateway-config"
PLATFORM_CONFIG: Final = "/platform-config"
_NAMES: Final = {
    "total_timeout": "total_timeout_s",
    "per_request_timeout": "attempt_timeout_s",
    "first_token_timeout": "first_token_timeout_s",
    "chunk_gap_timeout": "chunk_gap_timeout_s",
    "connect_timeout": "connect_timeout_s",
    "max_input_tokens": "tokens_input_max",
    "max_output_tokens": "tokens_output_max",
    "metadata": "metadata",
    "retry_same_candidate": "retry_same_candidate",
    "rescue_streams": "is_rescue_allowed",
    "strategy": "strategy",
}
"""The API's words and the bus's."""
RetrySame = Literal["never", "retry-after", "transient"]


class GatewayConfigPatch(Asked):
    """Absent leaves. null: of a timeout, word or switch, back to the platform's default; of a cap, no cap."""

    total_timeout: Duration | None = None
    per_request_timeout: Duration | None = None
    max_input_tokens: Count | None = None
    max_output_tokens: Count | None = None
    metadata: Metadata | None = None
    first_token_timeout: Duration | None = None
    chunk_gap_timeout: Duration | None = None
    connect_timeout: Duration | None = None
    retry_same_candidate: RetrySame | None = None
    rescue_streams: bool | None = None
    strategy: Literal["ordered", "cheapest", "fastest", "weighted", "least-errors"] | None = None


class GatewayConfigShown(Shown):
    """The values in force; timeouts as Go durations."""

    account_id: str
    uri: str
    total_timeout: str
    per_request_timeout: str
    max_input_tokens: int | None
    max_output_tokens: int | None
    metadata: str | None
    first_token_timeout: str
    chunk_gap_timeout: str
    connect_timeout: str
    retry_same_candidate: RetrySame
    rescue_streams: bool
    strategy: str


def settings_router() -> APIRouter:
    """The account's, and the operator's defaults for all."""
    router = APIRouter(responses=ERRORS, tags=["Gateway configuration"])
    for path, get, patch, name in (
        (GATEWAY_CONFIG, get_gateway_config, patch_gateway_config, "GatewayConfig"),
        (PLATFORM_CONFIG, get_platform_config, patch_platform_config, "PlatformConfig"),
    ):
        common: dict[str, Any] = {"response_model": GatewayConfigShown}
        router.add_api_route(path, get, methods=["GET"], operation_id=f"get{name}", **common)
        router.add_api_route(path, patch, methods=["PATCH"], operation_id=f"update{name}", **common)
    return router


async def get_gateway_config(desk: AtDesk) -> GatewayConfigShown:
    """The account's settings as they are in force."""
    return await _get(desk, desk.by.account_id, GATEWAY_CONFIG)


async def patch_gateway_config(desk: AtDesk, body: GatewayConfigPatch) -> GatewayConfigShown:
    """Change what is given."""
    return await _patch(desk, desk.by.account_id, body, GATEWAY_CONFIG)


async def get_platform_config(desk: AtDesk) -> GatewayConfigShown:
    """Operators: the defaults of every account."""
    desk.must_operate()
    return await _get(desk, PLATFORM, PLATFORM_CONFIG)


async def patch_platform_config(desk: AtDesk, body: GatewayConfigPatch) -> GatewayConfigShown:
    """Operators: change the defaults of every account."""
    desk.must_operate()
    return await _patch(desk, PLATFORM, body, PLATFORM_CONFIG)


async def _get(desk: Desk, account_id: str, path: str) -> GatewayConfigShown:
    return _show((await desk.manage(GetResource(desk.by, "settings", account_id), Resource)).face, desk, path)


async def _patch(desk: Desk, account_id: str, body: GatewayConfigPatch, path: str) -> GatewayConfigShown:
    fields: dict[str, Any] = {_NAMES[name]: value for name, value in body.given().items()}
    fields = {name: _seconds(value) if name.endswith("_s") else value for name, value in fields.items()}
    command = UpdateResource(desk.by, account_id, SettingsChanges(**fields))
    return _show((await desk.manage(command, Resource)).face, desk, path)


def _seconds(text: str | None) -> float | None:
    return None if text is None else read_duration(text)


_OURS: Final = Settings()


def _show(face: AnyFace, desk: Desk, path: str) -> GatewayConfigShown:
    """auth filled in what is in force; the fallbacks are for the type checker's peace and an older auth."""
    if not isinstance(face, GatewaySettings):
        raise Refused(refuse("internal_error"))
    return GatewayConfigShown(
        account_id=face.account_id,
        uri=desk.uris.to(path),
        total_timeout=write_duration(face.total_timeout_s or _OURS.total_timeout_s),
        per_request_timeout=write_duration(face.attempt_timeout_s or _OURS.attempt_timeout_s),
        max_input_tokens=None if face.tokens_input_max is UNSET else face.tokens_input_max,
        max_output_tokens=None if face.tokens_output_max is UNSET else face.tokens_output_max,
        metadata=face.metadata,
        first_token_timeout=write_duration(face.first_token_timeout_s or _OURS.first_token_timeout_s),
        chunk_gap_timeout=write_duration(face.chunk_gap_timeout_s or _OURS.chunk_gap_timeout_s),
        connect_timeout=write_duration(face.connect_timeout_s or _OURS.connect_timeout_s),
        retry_same_candidate=face.retry_same_candidate or _OURS.retry_same_candidate,
        rescue_streams=bool(face.is_rescue_allowed),
        strategy=face.strategy or _OURS.strategy,
    )
