"""Access keys, API keys and provider keys: shapes, and the way from a body to a command and from a face to a body."""

from typing import Annotated, Any, Final

from pydantic import Field

from tollway.ingress.management.caller import Desk
from tollway.ingress.management.shapes import (
    Asked,
    Count,
    Description,
    Dollars,
    Id,
    Instant,
    Listed,
    Metadata,
    Moment,
    Name,
    ProviderId,
    Ref,
    Secret,
    Shown,
    instant_ms,
    maybe_rfc3339,
)
from tollway.ingress.management.stamps import Stamped, stamps
from tollway.wire.access import KeyLimits
from tollway.wire.management import (
    AccessKey,
    AccessKeyChanges,
    AccessKeyDraft,
    ApiKey,
    ApiKeyChanges,
    ApiKeyDraft,
    LimitChanges,
    ProviderKey,
    ProviderKeyChanges,
    ProviderKeyDraft,
)
from tollway.wire.money import dollars, nusd_of_dollars

ACCESS_KEYS: Final = "/access-keys"
API_KEYS: Final = "/api-keys"
PROVIDER_KEYS: Final = "/provider-keys"
CONFIGURATIONS: Final = "/access-key-configurations"


# -- access keys


class AskedLimits(Asked):
    """Limits of one key; null: none. Money as decimal dollars."""

    requests_per_minute: Count | None = None
    tokens_per_minute: Count | None = None
    spend_per_day: Dollars | None = None
    spend_per_month: Dollars | None = None
    addresses: Annotated[list[Annotated[str, Field(max_length=64)]], Field(max_length=100)] | None = None


class ShownLimits(Shown):
    """Limits of one key; null: none."""

    requests_per_minute: int | None
    tokens_per_minute: int | None
    spend_per_day: str | None
    spend_per_month: str | None
    addresses: list[str] | None


class ConfigurationRef(Ref):
    """The configuration of an access key."""

    name: str


class AccessKeyCreate(Asked):
    """Without a configuration the key may call everything that its account may."""

    name: Name | None = None
    description: Description | None = None
    metadata: Metadata | None = None
    access_key_configuration_id: Id | None = None
    enabled: bool = True
    expires_at: Instant | None = None
    limits: AskedLimits | None = None


class AccessKeyPatch(Asked):
    """Absent leaves, null clears."""

    name: Name | None = None
    description: Description | None = None
    metadata: Metadata | None = None
    access_key_configuration_id: Id | None = None
    enabled: bool = True
    expires_at: Instant | None = None
    limits: AskedLimits | None = None


class AccessKeyShown(Stamped):
    """An access key; its token is shown once, when it is created."""

    name: str | None
    description: str | None
    key_redacted: str
    last_used: Moment | None
    access_key_configuration: ConfigurationRef | None
    enabled: bool
    expires_at: Moment | None
    limits: ShownLimits


class AccessKeyCreated(AccessKeyShown):
    """With the token."""

    token: str


class AccessKeyList(Listed):
    """Newest first."""

    aiGatewayAccessKeys: list[AccessKeyShown]  # noqa: N815  the wrapper's own spelling


def access_key_draft(asked: AccessKeyCreate) -> AccessKeyDraft:
    """Body to command."""
    limits = _limit_fields(asked.limits) if asked.limits else {}
    return AccessKeyDraft(
        name=asked.name,
        description=asked.description,
        metadata=asked.metadata,
        configuration_id=asked.access_key_configuration_id,
        is_enabled=asked.enabled,
        expires_at_ms=instant_ms(asked.expires_at) if asked.expires_at else None,
        limits=KeyLimits(**{name: value for name, value in limits.items() if value is not None}),
    )


_ACCESS_KEY_FIELDS: Final = {"access_key_configuration_id": "configuration_id", "enabled": "is_enabled"}
_LIMIT_FIELDS: Final = {"spend_per_day": "spend_day_nusd", "spend_per_month": "spend_month_nusd"}


def access_key_changes(asked: AccessKeyPatch) -> AccessKeyChanges:
    """Body to command."""
    given = asked.given()
    fields: dict[str, Any] = {
        _ACCESS_KEY_FIELDS.get(name, name): value
        for name, value in given.items()
        if name not in ("limits", "expires_at")
    }
    if "expires_at" in given:
        fields["expires_at_ms"] = instant_ms(asked.expires_at) if asked.expires_at else None
    if "limits" in given:
        fields["limits"] = LimitChanges(**(_limit_fields(asked.limits) if asked.limits else _NO_LIMITS))
    return AccessKeyChanges(**fields)


_NO_LIMITS: Final[dict[str, Any]] = dict.fromkeys(LimitChanges.__struct_fields__)


def _limit_fields(asked: AskedLimits) -> dict[str, Any]:
    fields = asked.given()
    for name in ("spend_per_day", "spend_per_month"):
        if fields.get(name) is not None:
            fields[name] = nusd_of_dollars(fields[name])
    if fields.get("addresses") is not None:
        fields["addresses"] = tuple(fields["addresses"])
    return {_LIMIT_FIELDS.get(name, name): value for name, value in fields.items()}


def show_access_key(face: AccessKey, desk: Desk) -> AccessKeyShown:
    """Face to body."""
    return AccessKeyShown(
        **stamps(face, ACCESS_KEYS, desk.uris),
        name=face.name,
        description=face.description,
        key_redacted=face.key_redacted,
        last_used=maybe_rfc3339(face.last_used_ms),
        access_key_configuration=_configuration_ref(face, desk),
        enabled=face.is_enabled,
        expires_at=maybe_rfc3339(face.expires_at_ms),
        limits=_show_limits(face.limits),
    )


def _configuration_ref(face: AccessKey, desk: Desk) -> ConfigurationRef | None:
    if face.configuration_id is None:
        return None
    uri = desk.uris.to(f"{CONFIGURATIONS}/{face.configuration_id}")
    return ConfigurationRef(id=face.configuration_id, uri=uri, name=face.configuration_name or "")


def _show_limits(limits: KeyLimits) -> ShownLimits:
    return ShownLimits(
        requests_per_minute=limits.requests_per_minute,
        tokens_per_minute=limits.tokens_per_minute,
        spend_per_day=_maybe_dollars(limits.spend_day_nusd),
        spend_per_month=_maybe_dollars(limits.spend_month_nusd),
        addresses=None if limits.addresses is None else list(limits.addresses),
    )


def _maybe_dollars(nusd: int | None) -> str | None:
    return None if nusd is None else dollars(nusd)


# -- API keys


class ApiKeyCreate(Asked):
    """`role` and `accountId` are the operator's to give."""

    name: Name | None = None
    description: Description | None = None
    metadata: Metadata | None = None
    role: Annotated[str, Field(pattern="^(operator|admin)$")] = "admin"
    account_id: Id | None = None


class ApiKeyPatch(Asked):
    """Absent leaves, null clears."""

    name: Name | None = None
    description: Description | None = None
    metadata: Metadata | None = None


class ApiKeyShown(Stamped):
    """An API key; its token is shown once, when it is created."""

    name: str | None
    description: str | None
    key_redacted: str
    last_used: Moment | None
    role: str


class ApiKeyCreated(ApiKeyShown):
    """With the token."""

    token: str


class ApiKeyList(Listed):
    """Newest first."""

    aiGatewayApiKeys: list[ApiKeyShown]  # noqa: N815


def api_key_draft(asked: ApiKeyCreate) -> ApiKeyDraft:
    """Body to command."""
    return ApiKeyDraft(
        name=asked.name,
        description=asked.description,
        metadata=asked.metadata,
        role="operator" if asked.role == "operator" else "admin",
        account_id=asked.account_id,
    )


def api_key_changes(asked: ApiKeyPatch) -> ApiKeyChanges:
    """Body to command."""
    return ApiKeyChanges(**asked.given())


def show_api_key(face: ApiKey, desk: Desk) -> ApiKeyShown:
    """Face to body."""
    return ApiKeyShown(
        **stamps(face, API_KEYS, desk.uris),
        name=face.name,
        description=face.description,
        key_redacted=face.key_redacted,
        last_used=maybe_rfc3339(face.last_used_ms),
        role=face.role,
    )


# -- provider keys


class ProviderKeyCreate(Asked):
    """`value` is sealed on arrival and never shown again."""

    provider_id: ProviderId
    value: Secret
    name: Name | None = None
    description: Description | None = None
    metadata: Metadata | None = None


class ProviderKeyPatch(Asked):
    """Absent leaves, null clears. The value changes by rotation."""

    name: Name | None = None
    description: Description | None = None
    metadata: Metadata | None = None


class ProviderKeyRotate(Asked):
    """A new value under the same id."""

    value: Secret
    name: Name | None = None


class ProviderKeyShown(Stamped):
    """A provider key, as much of it as may be seen."""

    provider_id: str
    name: str | None
    description: str | None
    key_redacted: str
    last_used: Moment | None


class ProviderKeyList(Listed):
    """Newest first."""

    aiGatewayProviderKeys: list[ProviderKeyShown]  # noqa: N815


def provider_key_draft(asked: ProviderKeyCreate) -> ProviderKeyDraft:
    """Body to command."""
    return ProviderKeyDraft(
        provider_id=asked.provider_id,
        value=asked.value,
        name=asked.name,
        description=asked.description,
        metadata=asked.metadata,
    )


def provider_key_changes(asked: ProviderKeyPatch) -> ProviderKeyChanges:
    """Body to command."""
    return ProviderKeyChanges(**asked.given())


def show_provider_key(face: ProviderKey, desk: Desk) -> ProviderKeyShown:
    """Face to body."""
    return ProviderKeyShown(
        **stamps(face, PROVIDER_KEYS, desk.uris),
        provider_id=face.provider_id,
        name=face.name,
        description=face.description,
        key_redacted=face.key_redacted,
        last_used=maybe_rfc3339(face.last_used_ms),
    )
