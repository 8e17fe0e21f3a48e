"""How a resource is shown: names beside ids, effective values, when a key was last seen. Pure."""

from collections.abc import Mapping
from typing import Any

from msgspec import structs

from tollway.auth.principal import settings_of
from tollway.auth.state import State
from tollway.wire.management import (
    AccessKey,
    AnyFace,
    ApiKey,
    Configuration,
    GatewaySettings,
    ProviderKey,
    RouteRule,
    RouteStep,
    StepKey,
)


def shown(state: State, face: AnyFace, uses: Mapping[str, int]) -> AnyFace:
    """A face as its owner sees it."""
    match face:
        case AccessKey():
            configuration = state.face(Configuration, face.configuration_id, face.account_id)
            name = configuration.name if configuration else None
            return structs.replace(face, last_used_ms=uses.get(face.id), configuration_name=name)
        case ApiKey() | ProviderKey():
            return structs.replace(face, last_used_ms=uses.get(face.id))
        case Configuration() if face.rules is not None:
            return structs.replace(face, rules=tuple(_rule(state, face, rule) for rule in face.rules))
        case GatewaySettings():
            return structs.replace(face, **_effective(state, face))
        case _:
            return face


def _rule(state: State, face: Configuration, rule: RouteRule) -> RouteRule:
    return structs.replace(rule, steps=tuple(_step(state, face, step) for step in rule.steps))


def _step(state: State, face: Configuration, step: RouteStep) -> RouteStep:
    return structs.replace(step, keys=tuple(_key(state, face, key) for key in step.keys))


def _key(state: State, face: Configuration, key: StepKey) -> StepKey:
    known = state.face(ProviderKey, key.id, face.account_id)
    return StepKey(key.id, known.name, known.key_redacted) if known else key


def _effective(state: State, face: GatewaySettings) -> dict[str, Any]:
    settings = settings_of(state, face.account_id)
    return {name: getattr(settings, name) for name in type(settings).__struct_fields__ if hasattr(face, name)}
