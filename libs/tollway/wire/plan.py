"""What to try, in which order: prices, candidates, and the question that yields them."""

from hashlib import sha256
from typing import Final, Literal

import msgspec

from tollway.wire.access import Principal

DialectName = Literal[
    "openai_chat", "openai_responses", "openai_completions", "openai_embeddings", "anthropic_messages", "gemini"
]
Surface = Literal["chat", "responses", "completions", "embeddings", "messages", "count_tokens"]


class PriceTier(msgspec.Struct, frozen=True, omit_defaults=True):
    """Prices that replace the base ones when the input is longer than `above_tokens_input`."""

    above_tokens_input: int
    input: int
    output: int
    cache_read: int | None = None
    cache_write: int | None = None


class ServicePrice(msgspec.Struct, frozen=True, omit_defaults=True):
    """Prices that replace the base ones, whatever the input's length, for answers of one service (`Usage.service`)."""

    service: str
    input: int
    output: int
    cache_read: int | None = None
    cache_write: int | None = None


class Price(msgspec.Struct, frozen=True, omit_defaults=True):
    """Nano-dollars per million tokens. None: that class is billed at the input (or output) price.

    `per_request` and `per_search`: nano-dollars for each. `per_search` None: not known, so that on the operator's
    credential nobody may search. For Gemini a search is a prompt that was grounded, however often it searched.
    `services`: those that a request may be served by. The catalog has all of them; on its way through ingress a
    candidate keeps the one that the request asks for, so that the hold covers it.
    """

    input: int
    output: int
    cache_read: int | None = None
    cache_write: int | None = None
    reasoning: int | None = None
    audio_input: int | None = None
    audio_output: int | None = None
    per_request: int = 0
    tiers: tuple[PriceTier, ...] = ()
    services: tuple[ServicePrice, ...] = ()
    per_search: int | None = None


class Candidate(msgspec.Struct, frozen=True, omit_defaults=True):
    """One (provider, model, credential). `base_url` only for custom providers: the adapter knows the others.

    `credential_id` is an `aigpk_…` for the account's own key, `managed:<provider>` for the operator's, and "" where
    the account's own provider wants no key.
    `dialect` is what the provider speaks for the surface asked. `tokens_window`/`tokens_output_max`: 0 is unknown.
    `pool` names the adapters that may serve it. `supported_params`: those that the account's own provider takes, in the
    words of `dialect`; None: all. `is_reasoning` False: the catalog says that the model does not.
    """

    provider: str
    provider_name: str
    model: str
    model_name: str
    model_sent: str
    dialect: DialectName
    credential_id: str
    is_managed: bool
    credential_name: str = ""
    base_url: str = ""
    pool: str = "default"
    price: Price | None = None
    tokens_window: int = 0
    tokens_output_max: int = 0
    is_output_cap_with_reasoning: bool = True
    step: int = 0
    is_private_address_allowed: bool = False
    supported_params: tuple[str, ...] | None = None
    is_reasoning: bool = True


KEYLESS: Final = "at:"


def health_id(credential_id: str, base_url: str) -> str:
    """What health is judged by where there is no credential: the address, as a digest, since several accounts may use
    one provider's name for different ones."""
    return credential_id or KEYLESS + sha256(base_url.encode()).hexdigest()[:16]


class PlanRoute(msgspec.Struct, frozen=True, omit_defaults=True):
    """Ask for candidates for `models_asked` (the model, then its fallbacks) on one surface.

    The answer depends on nothing else, so it may be remembered until the principal's version or health changes.
    `needs` are capabilities the body uses: "tools", "image", "audio", "file", "json_schema", "reasoning"; "stored"
    and "stored_file": what the provider keeps of other requests, and files that it keeps.
    `strategy` "" is the account's own. `tokens_input`: what the input surely has at least; 0: the window is unchecked.
    `is_searching`: the provider may search the web; `billed_tools`: other tools that it bills per use. On the
    operator's credential they need a price.
    """

    principal: Principal
    models_asked: tuple[str, ...]
    surface: Surface
    needs: tuple[str, ...] = ()
    strategy: str = ""
    is_explained: bool = False
    tokens_input: int = 0
    is_searching: bool = False
    billed_tools: tuple[str, ...] = ()


class Skipped(msgspec.Struct, frozen=True):
    """A candidate that was not taken, and why (for explain and the trace)."""

    provider: str
    model: str
    credential_id: str
    reason: str


class Plan(msgspec.Struct, frozen=True, omit_defaults=True):
    """Candidates in order. `price_version` names the price list, `health_version` the health they were judged by.

    `is_cacheable` False: made for one request only (it carries a probe, or it is a throw of the dice).
    `reasons`: only when explained, why each candidate stands where it does.
    """

    candidates: tuple[Candidate, ...]
    price_version: str
    health_version: int = 0
    skipped: tuple[Skipped, ...] = ()
    strategy: str = "ordered"
    is_cacheable: bool = True
    reasons: tuple[str, ...] = ()


class ListModels(msgspec.Struct, frozen=True, omit_defaults=True):
    """Ask which models a principal may call; `model_id` asks for one."""

    principal: Principal
    model_id: str = ""


class ModelCard(msgspec.Struct, frozen=True, omit_defaults=True):
    """One entry of `/v1/models`."""

    id: str
    provider: str
    name: str
    created_s: int = 0
    tokens_window: int = 0
    tokens_output_max: int = 0
    modalities_input: tuple[str, ...] = ("text",)
    modalities_output: tuple[str, ...] = ("text",)
    is_tool_capable: bool = False
    is_reasoning: bool = False
    price: Price | None = None


class ModelList(msgspec.Struct, frozen=True):
    """Models in catalog order."""

    models: tuple[ModelCard, ...]


class HealthSeen(msgspec.Struct, frozen=True, omit_defaults=True):
    """What attempts taught an adapter about a target since it last told: counts, and a cool-down if one was named.

    `error_class` is one of `tollway.dialects.faults`; faults of the caller are not told.
    """

    provider: str
    model: str
    credential_id: str
    successes: int = 0
    failures: int = 0
    ttft_ms_mean: int = 0
    error_class: str = ""
    cool_until_ms: int = 0


HealthState = Literal["closed", "open", "half_open"]
"""closed: in use. open: out until a time. half_open: one request may try whether it is back."""


class HealthChanged(msgspec.Struct, frozen=True, omit_defaults=True):
    """A target was taken out or came back. Plans older than `version` are forgotten.

    `provider` alone: all its models and credentials; with `credential_id` alone: that credential for every model; "*":
    what adapters offer has changed. `until_ms`: open: when it may be tried; half_open: until when a probe is under way
    (0: none is).
    """

    version: int
    provider: str
    model: str = ""
    credential_id: str = ""
    state: HealthState = "closed"
    until_ms: int = 0


class AskHealth(msgspec.Struct, frozen=True, omit_defaults=True):
    """Ask how targets are doing; `provider` narrows it down to one."""

    provider: str = ""


class TargetHealth(msgspec.Struct, frozen=True, omit_defaults=True):
    """A target lately (10 to 20 s): attempts by outcome and the mean time to the first token. `model` and
    `credential_id` may be empty, as in HealthChanged. `reason` is the error class that took it out."""

    provider: str
    model: str
    credential_id: str
    state: HealthState
    until_ms: int = 0
    reason: str = ""
    successes: int = 0
    failures: int = 0
    ttft_ms: int = 0


class HealthReport(msgspec.Struct, frozen=True):
    """Targets that were tried since the router started, those in trouble first."""

    version: int
    targets: tuple[TargetHealth, ...]
