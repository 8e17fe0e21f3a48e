"""The management plane: what may be kept about an account, and the commands that change it.

One resource has up to three forms: its *face* (what everybody may see of it; also what auth stores), its *draft* (what
a caller gives to create it) and its *changes* (what a caller patches: UNSET leaves a field, None clears it).
Secrets appear in drafts and in `Created.token` only, and never in a face.

Every command carries `by`: the API key that asks, as `auth.check_api` told ingress. An id of another account is
answered as one that does not exist.
"""

from typing import Annotated, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType

from tollway.wire.access import Access, ApiPrincipal, ApiSurface, KeyLimits

Kind = Literal[
    "account", "api_key", "access_key", "configuration", "provider_key", "provider", "settings", "managed_credential"
]
Strategy = Literal["ordered"]
StepType = Literal["managed", "user"]
RetrySame = Literal["never", "retry-after", "transient"]

Name = Annotated[str, Meta(max_length=255)]
NameRequired = Annotated[str, Meta(min_length=1, max_length=255)]
Description = Annotated[str, Meta(max_length=255)]
Metadata = Annotated[str, Meta(max_length=4_096)]
Secret = Annotated[str, Meta(min_length=1, max_length=8_192)]
Seconds = Annotated[float, Meta(gt=0, le=86_400)]
Count = Annotated[int, Meta(ge=1, le=2**53)]

PLATFORM = "platform"
"""The account id under which the operator's own credentials and defaults are kept."""


# -- faces


class Face(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag_field="kind"):
    """What every resource has. `created_by` and `updated_by` are ids of API keys."""

    id: str
    account_id: str
    created_at_ms: int
    updated_at_ms: int
    created_by: str
    updated_by: str
    metadata: Metadata | None = None


class Account(Face, frozen=True, kw_only=True, omit_defaults=True, tag="account"):
    """Who pays. `handle`: the readable part of its keys. A disabled account's keys are refused."""

    name: NameRequired
    handle: str
    description: Description | None = None
    is_enabled: bool = True


class ApiKey(Face, frozen=True, kw_only=True, omit_defaults=True, tag="api_key"):
    """Manages one account; an operator's manages the platform too."""

    key_redacted: str
    role: Literal["operator", "admin"] = "admin"
    name: Name | None = None
    description: Description | None = None
    last_used_ms: int | None = None


class AccessKey(Face, frozen=True, kw_only=True, omit_defaults=True, tag="access_key"):
    """Asks for models. `configuration_name` is filled in when it is shown."""

    key_redacted: str
    name: Name | None = None
    description: Description | None = None
    configuration_id: str | None = None
    configuration_name: str | None = None
    is_enabled: bool = True
    expires_at_ms: int | None = None
    limits: KeyLimits = KeyLimits()
    last_used_ms: int | None = None


class StepKey(msgspec.Struct, frozen=True, omit_defaults=True):
    """A provider key in a step; name and redacted form are filled in when it is shown."""

    id: str
    name: str | None = None
    key_redacted: str | None = None


class RouteStep(msgspec.Struct, frozen=True, omit_defaults=True):
    """`managed`: the operator's credential. `user`: these keys in order (none: a custom provider without one)."""

    type: StepType
    keys: tuple[StepKey, ...] = ()
    key_selection_strategy: Strategy = "ordered"


class RouteRule(msgspec.Struct, frozen=True, omit_defaults=True):
    """Scoped by provider, model or both."""

    steps: tuple[RouteStep, ...]
    provider: str | None = None
    model: str | None = None


class Configuration(Face, frozen=True, kw_only=True, omit_defaults=True, tag="configuration"):
    """What the access keys that use it may call, and with which credentials. `rules` None: no router."""

    name: NameRequired
    description: Description | None = None
    access: Access | None = None
    rules: tuple[RouteRule, ...] | None = None


class ProviderKey(Face, frozen=True, kw_only=True, omit_defaults=True, tag="provider_key"):
    """Opens a provider, lent by the account. `version` rises with every rotation."""

    provider_id: str
    key_redacted: str
    name: Name | None = None
    description: Description | None = None
    version: int = 1
    last_used_ms: int | None = None


class ProviderModel(msgspec.Struct, frozen=True):
    """A model of a custom provider."""

    id: str
    model_id: str


class Provider(Face, frozen=True, kw_only=True, omit_defaults=True, tag="provider"):
    """A custom provider of the account."""

    provider_id: str
    name: NameRequired
    base_url: str
    surfaces: tuple[ApiSurface, ...] = ()
    models: tuple[ProviderModel, ...] = ()
    pool: str = "default"


class GatewaySettings(Face, frozen=True, kw_only=True, omit_defaults=True, tag="settings"):
    """An account's limits. None: the platform's default holds. Of the token caps UNSET means that, None no cap.

    The platform's own (account PLATFORM) are those defaults.
    """

    total_timeout_s: float | None = None
    attempt_timeout_s: float | None = None
    first_token_timeout_s: float | None = None
    chunk_gap_timeout_s: float | None = None
    connect_timeout_s: float | None = None
    tokens_input_max: int | UnsetType | None = UNSET
    tokens_output_max: int | UnsetType | None = UNSET
    retry_same_candidate: RetrySame | None = None
    is_rescue_allowed: bool | None = None
    strategy: str | None = None


class ManagedCredential(Face, frozen=True, kw_only=True, omit_defaults=True, tag="managed_credential"):
    """The operator's own credential of a provider, kept sealed (besides those in the adapters' environment)."""

    provider_id: str
    key_redacted: str
    version: int = 1


AnyFace = Account | ApiKey | AccessKey | Configuration | ProviderKey | Provider | GatewaySettings | ManagedCredential


# -- drafts


class AccountDraft(msgspec.Struct, frozen=True, omit_defaults=True, tag_field="kind", tag="account"):
    """Operators only. The reply carries the token of the new account's first API key."""

    name: NameRequired
    description: Description | None = None
    metadata: Metadata | None = None


class ApiKeyDraft(msgspec.Struct, frozen=True, omit_defaults=True, tag_field="kind", tag="api_key"):
    """`account_id`, for operators: another account's key. The role is `admin` unless an operator asks for more."""

    name: Name | None = None
    description: Description | None = None
    metadata: Metadata | None = None
    role: Literal["operator", "admin"] = "admin"
    account_id: str | None = None


class AccessKeyDraft(msgspec.Struct, frozen=True, omit_defaults=True, tag_field="kind", tag="access_key"):
    """No configuration: everything the account may call."""

    name: Name | None = None
    description: Description | None = None
    metadata: Metadata | None = None
    configuration_id: str | None = None
    is_enabled: bool = True
    expires_at_ms: int | None = None
    limits: KeyLimits = KeyLimits()


class StepKeyDraft(msgspec.Struct, frozen=True, omit_defaults=True):
    """Either a key of the account (`id`) or a new one (`name`, `value`), created together with the configuration."""

    id: str | None = None
    name: Name | None = None
    value: Secret | None = None

    def __repr__(self) -> str:
        """Without the value."""
        return f"StepKeyDraft(id={self.id!r}, name={self.name!r})"


class StepDraft(msgspec.Struct, frozen=True, omit_defaults=True):
    """See RouteStep."""

    type: StepType
    keys: tuple[StepKeyDraft, ...] = ()
    key_selection_strategy: Strategy = "ordered"


class RuleDraft(msgspec.Struct, frozen=True, omit_defaults=True):
    """See RouteRule."""

    steps: tuple[StepDraft, ...]
    provider: str | None = None
    model: str | None = None


class ConfigurationDraft(msgspec.Struct, frozen=True, omit_defaults=True, tag_field="kind", tag="configuration"):
    """See Configuration."""

    name: NameRequired
    description: Description | None = None
    metadata: Metadata | None = None
    access: Access | None = None
    rules: tuple[RuleDraft, ...] | None = None


class ProviderKeyDraft(msgspec.Struct, frozen=True, omit_defaults=True, tag_field="kind", tag="provider_key"):
    """`value` is sealed on arrival and is never seen again outside an adapter."""

    provider_id: NameRequired
    value: Secret
    name: Name | None = None
    description: Description | None = None
    metadata: Metadata | None = None

    def __repr__(self) -> str:
        """Without the value."""
        return f"ProviderKeyDraft(provider_id={self.provider_id!r})"


class ProviderDraft(msgspec.Struct, frozen=True, omit_defaults=True, tag_field="kind", tag="provider"):
    """See Provider. `models` are model ids."""

    provider_id: NameRequired
    name: NameRequired
    base_url: str
    metadata: Metadata | None = None
    surfaces: tuple[ApiSurface, ...] = ()
    models: tuple[NameRequired, ...] = ()
    pool: str = "default"


class ManagedCredentialDraft(
    msgspec.Struct, frozen=True, omit_defaults=True, tag_field="kind", tag="managed_credential"
):
    """Operators only. Setting it again replaces it and keeps its id."""

    provider_id: NameRequired
    value: Secret
    metadata: Metadata | None = None

    def __repr__(self) -> str:
        """Without the value."""
        return f"ManagedCredentialDraft(provider_id={self.provider_id!r})"


AnyDraft = (
    AccountDraft
    | ApiKeyDraft
    | AccessKeyDraft
    | ConfigurationDraft
    | ProviderKeyDraft
    | ProviderDraft
    | ManagedCredentialDraft
)


# -- changes


class AccountChanges(msgspec.Struct, frozen=True, tag_field="kind", tag="account"):
    """Operators only."""

    name: NameRequired | UnsetType = UNSET
    description: Description | UnsetType | None = UNSET
    metadata: Metadata | UnsetType | None = UNSET
    is_enabled: bool | UnsetType = UNSET


class ApiKeyChanges(msgspec.Struct, frozen=True, tag_field="kind", tag="api_key"):
    """What may be said about a key; never the key."""

    name: Name | UnsetType | None = UNSET
    description: Description | UnsetType | None = UNSET
    metadata: Metadata | UnsetType | None = UNSET


class LimitChanges(msgspec.Struct, frozen=True):
    """Each limit by itself, so that two callers do not lose one another's."""

    requests_per_minute: Count | UnsetType | None = UNSET
    tokens_per_minute: Count | UnsetType | None = UNSET
    spend_day_nusd: Count | UnsetType | None = UNSET
    spend_month_nusd: Count | UnsetType | None = UNSET
    addresses: tuple[str, ...] | UnsetType | None = UNSET


class AccessKeyChanges(msgspec.Struct, frozen=True, tag_field="kind", tag="access_key"):
    """See AccessKey. A configuration of None: everything the account may call."""

    name: Name | UnsetType | None = UNSET
    description: Description | UnsetType | None = UNSET
    metadata: Metadata | UnsetType | None = UNSET
    configuration_id: str | UnsetType | None = UNSET
    is_enabled: bool | UnsetType = UNSET
    expires_at_ms: int | UnsetType | None = UNSET
    limits: LimitChanges | UnsetType = UNSET


class ConfigurationChanges(msgspec.Struct, frozen=True, tag_field="kind", tag="configuration"):
    """`access` and `rules` are replaced whole."""

    name: NameRequired | UnsetType = UNSET
    description: Description | UnsetType | None = UNSET
    metadata: Metadata | UnsetType | None = UNSET
    access: Access | UnsetType | None = UNSET
    rules: tuple[RuleDraft, ...] | UnsetType | None = UNSET


class ProviderKeyChanges(msgspec.Struct, frozen=True, tag_field="kind", tag="provider_key"):
    """Not the value: that is RotateProviderKey."""

    name: Name | UnsetType | None = UNSET
    description: Description | UnsetType | None = UNSET
    metadata: Metadata | UnsetType | None = UNSET


class ProviderChanges(msgspec.Struct, frozen=True, tag_field="kind", tag="provider"):
    """`surfaces` and `models` are replaced whole; a model that stays keeps its id."""

    name: NameRequired | UnsetType = UNSET
    base_url: str | UnsetType = UNSET
    metadata: Metadata | UnsetType | None = UNSET
    surfaces: tuple[ApiSurface, ...] | UnsetType | None = UNSET
    models: tuple[NameRequired, ...] | UnsetType | None = UNSET
    pool: str | UnsetType = UNSET


class SettingsChanges(msgspec.Struct, frozen=True, tag_field="kind", tag="settings"):
    """None goes back to the platform's default; of the token caps it means no cap."""

    total_timeout_s: Seconds | UnsetType | None = UNSET
    attempt_timeout_s: Seconds | UnsetType | None = UNSET
    first_token_timeout_s: Seconds | UnsetType | None = UNSET
    chunk_gap_timeout_s: Seconds | UnsetType | None = UNSET
    connect_timeout_s: Seconds | UnsetType | None = UNSET
    tokens_input_max: Count | UnsetType | None = UNSET
    tokens_output_max: Count | UnsetType | None = UNSET
    retry_same_candidate: RetrySame | UnsetType | None = UNSET
    is_rescue_allowed: bool | UnsetType | None = UNSET
    strategy: str | UnsetType | None = UNSET
    metadata: Metadata | UnsetType | None = UNSET


AnyChanges = (
    AccountChanges
    | ApiKeyChanges
    | AccessKeyChanges
    | ConfigurationChanges
    | ProviderKeyChanges
    | ProviderChanges
    | SettingsChanges
)


# -- commands and replies (subject auth.manage)


class CreateResource(msgspec.Struct, frozen=True):
    """Refusals: `validation`, `conflict`, `forbidden`. Repeating it creates another."""

    by: ApiPrincipal
    draft: AnyDraft


class UpdateResource(msgspec.Struct, frozen=True):
    """Refusals: `resource_missing`, `validation`, `forbidden`. Repeating it changes nothing more."""

    by: ApiPrincipal
    id: str
    changes: AnyChanges


class DeleteResource(msgspec.Struct, frozen=True):
    """Refusals: `resource_missing` (also on repeat), `in_use`, `forbidden`."""

    by: ApiPrincipal
    kind: Kind
    id: str


class GetResource(msgspec.Struct, frozen=True):
    """Refusals: `resource_missing`."""

    by: ApiPrincipal
    kind: Kind
    id: str


class ListResources(msgspec.Struct, frozen=True, omit_defaults=True):
    """Newest first by id, those before `before_id`. `provider_id` filters provider keys."""

    by: ApiPrincipal
    kind: Kind
    limit: Annotated[int, Meta(ge=1, le=100)] = 100
    before_id: str = ""
    provider_id: str = ""


class DescribeAccess(msgspec.Struct, frozen=True, omit_defaults=True):
    """What an access key may do, as a Principal; without an id: what one without a configuration could.
    Refusals: `resource_missing`."""

    by: ApiPrincipal
    access_key_id: str = ""


class RotateProviderKey(msgspec.Struct, frozen=True, omit_defaults=True):
    """A new value under the same id. Refusals: `resource_missing`, `validation`."""

    by: ApiPrincipal
    id: str
    value: Secret
    name: Name | UnsetType | None = UNSET

    def __repr__(self) -> str:
        """Without the value."""
        return f"RotateProviderKey(id={self.id!r})"


class Resource(msgspec.Struct, frozen=True):
    """One face."""

    face: AnyFace


class Created(msgspec.Struct, frozen=True, omit_defaults=True):
    """The new face, and the key's token: the only time anybody sees it. `api_key` comes with a new account."""

    face: AnyFace
    token: str = ""
    api_key: ApiKey | None = None

    def __repr__(self) -> str:
        """Without the token."""
        return f"Created({self.face.id!r})"


class Deleted(msgspec.Struct, frozen=True):
    """It is gone."""

    id: str


class Page(msgspec.Struct, frozen=True):
    """Faces, newest first; `has_more`: ask again with the last id."""

    faces: tuple[AnyFace, ...]
    has_more: bool


# -- sealed values (operators, and adapters for managed credentials)


class ListWrapped(msgspec.Struct, frozen=True, omit_defaults=True):
    """Operators: provider keys whose data key is wrapped by a master key other than `kek_version`, by id."""

    by: ApiPrincipal
    kek_version: int
    limit: Annotated[int, Meta(ge=1, le=100)] = 100


class Wrapped(msgspec.Struct, frozen=True):
    """A wrapped data key and all that it is bound to; useless without the master key."""

    account_id: str
    provider: str
    credential_id: str
    version: int
    kek_version: int
    wrapped_key: bytes


class WrappedPage(msgspec.Struct, frozen=True):
    """At most `limit` of them."""

    items: tuple[Wrapped, ...]


class Rewrap(msgspec.Struct, frozen=True):
    """The same data keys under another master key. An entry whose key was rotated meanwhile is passed over."""

    by: ApiPrincipal
    items: tuple[Wrapped, ...]


class Rewrapped(msgspec.Struct, frozen=True):
    """How many were replaced."""

    count: int
