"""The verdict on a good key: what an access key may do, gathered from the account's state. Pure."""

from typing import Any

from msgspec import UNSET, structs

from tollway.auth.rules import SURFACES, Surroundings
from tollway.auth.state import State
from tollway.wire.access import (
    Access,
    ApiSurface,
    CustomProvider,
    Principal,
    ProviderKeyRef,
    Rule,
    Settings,
    Step,
)
from tollway.wire.management import (
    PLATFORM,
    AccessKey,
    Configuration,
    GatewaySettings,
    Provider,
    ProviderKey,
    RouteRule,
)

OPENAI_BY_DEFAULT = tuple(ApiSurface("openai", surface) for surface in ("chat", "completions", "embeddings"))
"""What a custom provider speaks when it does not say."""


def principal_of(state: State, key: AccessKey, around: Surroundings) -> Principal:
    """Everything the way in needs to know about a key."""
    configuration = state.face(Configuration, key.configuration_id, key.account_id)
    return Principal(
        account_id=key.account_id,
        access_key_id=key.id,
        version=state.version(key.account_id),
        access=(configuration.access if configuration else None) or Access(),
        rules=tuple(map(_rule, (configuration.rules if configuration else None) or ())),
        provider_keys=tuple(map(_key_ref, state.faces(ProviderKey, key.account_id))),
        providers=tuple(_provider(face, around) for face in state.faces(Provider, key.account_id)),
        settings=settings_of(state, key.account_id),
        limits=key.limits,
        expires_at_ms=key.expires_at_ms,
    )


def _rule(rule: RouteRule) -> Rule:
    steps = tuple(Step(step.type, tuple(key.id for key in step.keys)) for step in rule.steps)
    return Rule(steps, rule.provider, rule.model)


def _key_ref(face: ProviderKey) -> ProviderKeyRef:
    return ProviderKeyRef(face.id, face.provider_id, face.name or face.key_redacted)


def _provider(face: Provider, around: Surroundings) -> CustomProvider:
    return CustomProvider(
        provider=face.provider_id,
        name=face.name,
        base_url=face.base_url,
        surfaces=tuple(map(_surface, face.surfaces)) or OPENAI_BY_DEFAULT,
        models=tuple(model.model_id for model in face.models),
        is_private_address_allowed=bool(around.allow_cidrs),
        pool=face.pool,
    )


def _surface(surface: ApiSurface) -> ApiSurface:
    return structs.replace(surface, surface=SURFACES[surface.format, surface.surface])


def settings_of(state: State, account_id: str) -> Settings:
    """The account's limits where it set them, else the platform's, else ours."""
    ours = Settings()
    for owner in (PLATFORM, account_id):
        face = state.face(GatewaySettings, owner, owner)
        if face is not None:
            ours = structs.replace(ours, **_set_fields(face))
    return ours


def _set_fields(face: GatewaySettings) -> dict[str, Any]:
    fields = {name: getattr(face, name) for name in Settings.__struct_fields__ if hasattr(face, name)}
    caps = ("tokens_input_max", "tokens_output_max")
    return {name: value for name, value in fields.items() if value is not UNSET and (value is not None or name in caps)}
