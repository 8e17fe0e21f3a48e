"""Who may ask for what: the verdict on a key, and the snapshot of the account that goes with it."""

from typing import Literal

import msgspec


class CheckAccessKey(msgspec.Struct, frozen=True, omit_defaults=True):
    """Ask for the verdict on an access key that passed the offline checks. `proof`: HMAC under each known pepper is
    computed by auth; the secret crosses the loopback or TLS bus once per cache life, never a log or a stream.

    `seen_version` here and below: the newest ConfigChanged that the asker heard. An auth process that is behind it
    reads the log first, so that nothing is remembered that is older than the event that made it be forgotten."""

    token: str
    seen_version: int = 0


class Access(msgspec.Struct, frozen=True, omit_defaults=True):
    """Allow-lists. None: no limit on that dimension. Empty: nothing."""

    providers: tuple[str, ...] | None = None
    models: tuple[str, ...] | None = None


class Step(msgspec.Struct, frozen=True, omit_defaults=True):
    """`managed` uses the operator's credential, `user` the listed provider keys in order."""

    type: Literal["managed", "user"]
    key_ids: tuple[str, ...] = ()


class Rule(msgspec.Struct, frozen=True, omit_defaults=True):
    """A routing rule, scoped by provider, model or both."""

    steps: tuple[Step, ...]
    provider: str | None = None
    model: str | None = None


class ProviderKeyRef(msgspec.Struct, frozen=True):
    """A provider key as others may see it: never its value."""

    id: str
    provider: str
    name: str


class ApiSurface(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a custom provider speaks: format (`openai`, `anthropic`), surface (`chat`, …), parameters it takes."""

    format: str
    surface: str
    supported_params: tuple[str, ...] | None = None


class CustomProvider(msgspec.Struct, frozen=True, omit_defaults=True):
    """A provider of the account's own."""

    provider: str
    name: str
    base_url: str
    surfaces: tuple[ApiSurface, ...] = ()
    models: tuple[str, ...] = ()
    is_private_address_allowed: bool = False
    pool: str = "default"


class Settings(msgspec.Struct, frozen=True, omit_defaults=True):
    """The account's limits; None: the platform's default."""

    total_timeout_s: float = 120.0
    attempt_timeout_s: float = 60.0
    first_token_timeout_s: float = 60.0
    chunk_gap_timeout_s: float = 60.0
    connect_timeout_s: float = 5.0
    tokens_input_max: int | None = None
    tokens_output_max: int | None = None
    retry_same_candidate: Literal["never", "retry-after", "transient"] = "retry-after"
    is_rescue_allowed: bool = False
    strategy: str = "ordered"


class KeyLimits(msgspec.Struct, frozen=True, omit_defaults=True):
    """Limits of one access key; None: unlimited. Money is counted by the ledger, rates by ingress."""

    requests_per_minute: int | None = None
    tokens_per_minute: int | None = None
    spend_day_nusd: int | None = None
    spend_month_nusd: int | None = None
    addresses: tuple[str, ...] | None = None


class Principal(msgspec.Struct, frozen=True, omit_defaults=True):
    """The verdict on a good access key: everything the way in needs, so that the router and ledger keep no accounts.

    `version` rises with every change of the account's configuration; a remembered plan is keyed by it.
    `provider_keys` newest first.
    """

    account_id: str
    access_key_id: str
    version: int
    access: Access = Access()
    rules: tuple[Rule, ...] = ()
    provider_keys: tuple[ProviderKeyRef, ...] = ()
    providers: tuple[CustomProvider, ...] = ()
    settings: Settings = Settings()
    limits: KeyLimits = KeyLimits()
    expires_at_ms: int | None = None


class CheckApiKey(msgspec.Struct, frozen=True):
    """Ask for the verdict on a management key."""

    token: str


class ApiPrincipal(msgspec.Struct, frozen=True):
    """Who manages. `operator` may create accounts, grant credit and set managed credentials; `admin` one account."""

    account_id: str
    api_key_id: str
    role: Literal["operator", "admin"]


class FetchSealed(msgspec.Struct, frozen=True, omit_defaults=True):
    """An adapter asks for a provider key's ciphertext. `seen_version`: see CheckAccessKey."""

    account_id: str
    credential_id: str
    seen_version: int = 0


class ListManaged(msgspec.Struct, frozen=True, omit_defaults=True):
    """An adapter asks which credentials the operator keeps with auth, besides those in the adapters' environment.
    `seen_version`: see CheckAccessKey."""

    seen_version: int = 0


class SealedCredential(msgspec.Struct, frozen=True):
    """A provider key as stored: only the holder of the master key can open it.

    AES-256-GCM under a data key of its own, wrapped by master key `kek_version`; the associated data binds
    account, provider, id and version.
    """

    account_id: str
    provider: str
    credential_id: str
    version: int
    kek_version: int
    wrapped_key: bytes
    nonce: bytes
    ciphertext: bytes


class ManagedList(msgspec.Struct, frozen=True):
    """Sealed like provider keys, with the account id `platform` and the credential id `managed:<provider>`.
    ConfigChanged of kind `managed_credential` says when to ask again."""

    items: tuple[SealedCredential, ...]


class ConfigChanged(msgspec.Struct, frozen=True, omit_defaults=True):
    """Something of an account changed: drop what was remembered about it. `account_id` "*" means everybody. `version`
    is the number of the event in auth's log, over all accounts."""

    account_id: str
    version: int
    kind: str
    id: str = ""
