"""Access key configurations: access lists and routing rules."""

from typing import Annotated, Any, Final, Literal

from pydantic import Field

from tollway.ingress.management.caller import Desk
from tollway.ingress.management.keys import CONFIGURATIONS
from tollway.ingress.management.shapes import (
    Asked,
    Description,
    Id,
    Listed,
    Metadata,
    Name,
    NameRequired,
    Secret,
    Shown,
)
from tollway.ingress.management.stamps import Stamped, stamps
from tollway.wire.access import Access
from tollway.wire.management import (
    Configuration,
    ConfigurationChanges,
    ConfigurationDraft,
    RouteRule,
    RouteStep,
    RuleDraft,
    StepDraft,
    StepKeyDraft,
    StepType,
)

StepWord = Literal["managed", "user", "ngrok"]
STEP_TYPES: Final[dict[str, StepType]] = {"managed": "managed", "ngrok": "managed", "user": "user"}
"""`ngrok` is the reference product's word for `managed`."""


class AskedAllow(Asked):
    """Nothing but these. Absent: no limit on this dimension. Empty: nothing."""

    allow: Annotated[list[Annotated[str, Field(min_length=1, max_length=512)]], Field(max_length=1000)] | None = None


class AskedAccess(Asked):
    """Which providers and models may be called."""

    providers: AskedAllow | None = None
    models: AskedAllow | None = None


class AskedStepKey(Asked):
    """A provider key by `id`, or a new one by `name` and `value`.

    With an id, `name` and `keyRedacted` are taken so that what was read can be sent back, and not looked at.
    """

    id: Id | None = None
    name: Name | None = None
    value: Secret | None = None
    key_redacted: Name | None = None


class AskedStep(Asked):
    """`managed`: the operator's credential. `user`: these keys, in order."""

    type: StepWord = "user"
    key_selection_strategy: Literal["ordered"] = "ordered"
    keys: Annotated[list[AskedStepKey], Field(max_length=50)] | None = None


class AskedRule(Asked):
    """For a provider, a model or both; a rule for a model wins over one for a provider."""

    provider: NameRequired | None = None
    model: Annotated[str, Field(min_length=1, max_length=512)] | None = None
    steps: Annotated[list[AskedStep], Field(min_length=1, max_length=20)]


class AskedRouter(Asked):
    """Routing rules."""

    rules: Annotated[list[AskedRule], Field(max_length=200)] = []


class ConfigurationCreate(Asked):
    """What the access keys that use it may call, and with which credentials."""

    name: NameRequired
    description: Description | None = None
    metadata: Metadata | None = None
    access: AskedAccess | None = None
    router: AskedRouter | None = None


class ConfigurationPatch(Asked):
    """Absent leaves, null clears; `access` and `router` are replaced whole."""

    name: NameRequired = ""
    description: Description | None = None
    metadata: Metadata | None = None
    access: AskedAccess | None = None
    router: AskedRouter | None = None


class ShownAllow(Shown):
    """Nothing but these."""

    allow: list[str]


class ShownAccess(Shown):
    """A dimension without a limit is absent."""

    providers: ShownAllow | None = Field(default=None, exclude_if=lambda value: value is None)
    models: ShownAllow | None = Field(default=None, exclude_if=lambda value: value is None)


class ShownStepKey(Shown):
    """A provider key in a step."""

    id: str
    name: str | None
    key_redacted: str | None


class ShownStep(Shown):
    """See AskedStep."""

    type: StepType
    key_selection_strategy: Literal["ordered"]
    keys: list[ShownStepKey]


class ShownRule(Shown):
    """See AskedRule."""

    provider: str | None = Field(default=None, exclude_if=lambda value: value is None)
    model: str | None = Field(default=None, exclude_if=lambda value: value is None)
    steps: list[ShownStep]


class ShownRouter(Shown):
    """Routing rules."""

    rules: list[ShownRule]


class ConfigurationShown(Stamped):
    """A configuration."""

    name: str
    description: str | None
    access: ShownAccess | None
    router: ShownRouter | None


class ConfigurationList(Listed):
    """Newest first."""

    aiGatewayAccessKeyConfigurations: list[ConfigurationShown]  # noqa: N815  the wrapper's own spelling


def configuration_draft(asked: ConfigurationCreate) -> ConfigurationDraft:
    """Body to command."""
    return ConfigurationDraft(
        name=asked.name,
        description=asked.description,
        metadata=asked.metadata,
        access=_access(asked.access),
        rules=_rules(asked.router),
    )


def configuration_changes(asked: ConfigurationPatch) -> ConfigurationChanges:
    """Body to command."""
    fields: dict[str, Any] = {name: value for name, value in asked.given().items() if name not in ("access", "router")}
    if "access" in asked.model_fields_set:
        fields["access"] = _access(asked.access)
    if "router" in asked.model_fields_set:
        fields["rules"] = _rules(asked.router)
    return ConfigurationChanges(**fields)


def _access(asked: AskedAccess | None) -> Access | None:
    return None if asked is None else Access(_allow(asked.providers), _allow(asked.models))


def _allow(asked: AskedAllow | None) -> tuple[str, ...] | None:
    return None if asked is None or asked.allow is None else tuple(asked.allow)


def _rules(asked: AskedRouter | None) -> tuple[RuleDraft, ...] | None:
    return None if asked is None else tuple(map(_rule, asked.rules))


def _rule(asked: AskedRule) -> RuleDraft:
    return RuleDraft(tuple(map(_step, asked.steps)), asked.provider, asked.model)


def _step(asked: AskedStep) -> StepDraft:
    return StepDraft(STEP_TYPES[asked.type], tuple(map(_step_key, asked.keys or ())), asked.key_selection_strategy)


def _step_key(asked: AskedStepKey) -> StepKeyDraft:
    return StepKeyDraft(asked.id, asked.name if asked.id is None else None, asked.value)


def show_configuration(face: Configuration, desk: Desk) -> ConfigurationShown:
    """Face to body."""
    return ConfigurationShown(
        **stamps(face, CONFIGURATIONS, desk.uris),
        name=face.name,
        description=face.description,
        access=_show_access(face.access),
        router=None if face.rules is None else ShownRouter(rules=list(map(_show_rule, face.rules))),
    )


def _show_access(access: Access | None) -> ShownAccess | None:
    if access is None:
        return None
    return ShownAccess(providers=_show_allow(access.providers), models=_show_allow(access.models))


def _show_allow(allow: tuple[str, ...] | None) -> ShownAllow | None:
    return None if allow is None else ShownAllow(allow=list(allow))


def _show_rule(rule: RouteRule) -> ShownRule:
    return ShownRule(provider=rule.provider, model=rule.model, steps=list(map(_show_step, rule.steps)))


def _show_step(step: RouteStep) -> ShownStep:
    keys = [ShownStepKey(id=key.id, name=key.name, key_redacted=key.key_redacted) for key in step.keys]
    return ShownStep(type=step.type, key_selection_strategy=step.key_selection_strategy, keys=keys)
