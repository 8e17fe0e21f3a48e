"""What a request used, as an adapter saw it; and what the client got, as ingress saw it."""

from typing import Literal

import msgspec

from tollway.wire.plan import Price, Skipped

Certainty = Literal["reported", "counted", "estimated"]
"""reported: the provider's own figure. counted: a tokenizer over what it sent. estimated: derived from sizes."""

Outcome = Literal[
    "complete",
    "client_aborted",
    "failed_before_content",
    "failed_midstream",
    "gateway_failed",
    "credit_exhausted",
    "deadline",
    "content_filter",
]
RetryAction = Literal[
    "succeeded",
    "next_key",
    "next_quota_pool",
    "next_backend",
    "managed_fallback",
    "retry_same_backend",
    "fail_fast",
    "exhausted",
]
Completion = Literal["succeeded", "failed", "timed_out", "stream_failed", "unknown"]
KeySource = Literal["managed", "user"]


class Usage(msgspec.Struct, frozen=True, omit_defaults=True):
    """Tokens by class; None is unknown, never 0. Input includes cached input, output includes reasoning.

    `tokens_cache_write_hour`: those of `tokens_cache_write` that are kept for an hour, which costs more.
    `service`: the provider's own word for how it served (`priority`, `fast`): the price may depend on it.
    `searches`: web searches that the provider made and bills each (`Price.per_search`).
    """

    tokens_input: int | None = None
    tokens_output: int | None = None
    tokens_cache_read: int | None = None
    tokens_cache_write: int | None = None
    tokens_reasoning: int | None = None
    tokens_audio_input: int | None = None
    tokens_audio_output: int | None = None
    service: str | None = None
    tokens_cache_write_hour: int | None = None
    searches: int | None = None


class Attempt(msgspec.Struct, frozen=True, omit_defaults=True):
    """One try of a candidate, with all that a usage row shows. `id` is the span's id too (16 hex digits)."""

    id: str
    number: int
    provider: str
    provider_name: str
    model: str
    model_name: str
    key_source: KeySource
    started_at_ms: int
    duration_ms: int
    retry_action: RetryAction
    completion: Completion
    status: int | None = None
    ttft_ms: int | None = None
    provider_key_id: str | None = None
    provider_key_name: str | None = None
    is_streaming: bool = False
    is_served: bool = False
    is_timed_out: bool = False
    error_class: str | None = None
    stop_reason: str | None = None
    usage: Usage = Usage()
    operator_cost_nusd: int = 0
    reason: str | None = None


class UsageFact(msgspec.Struct, frozen=True, omit_defaults=True):
    """The end of one request, written once by its adapter. The served attempt's price and usage make the charge.

    `is_managed`: whether the model's price is charged besides the fee. `price` None: only the fee. `strategy` and
    `skipped`: what the router decided, and what the adapter could not ask; they change no charge.
    """

    hold_id: str
    account_id: str
    access_key_id: str
    outbox: str
    outcome: Outcome
    certainty: Certainty
    usage: Usage
    attempts: list[Attempt]
    ended_at_ms: int
    is_managed: bool = False
    price: Price | None = None
    price_version: str = ""
    trace: str = ""
    strategy: str = "ordered"
    skipped: tuple[Skipped, ...] = ()


class UsageFacts(msgspec.Struct, frozen=True):
    """A batch of one journal's facts: JetStream syncs each message, so they travel together."""

    facts: list[UsageFact]


class Witness(msgspec.Struct, frozen=True, omit_defaults=True):
    """What ingress handed to the client. Used only when the adapter's fact never comes.

    `outcome` "gateway_failed": the client got an error, so the hold may be voided at once. `is_managed` and `price` of
    the candidate that served, as far as ingress knows: an estimate is charged from them.
    """

    hold_id: str
    account_id: str
    access_key_id: str
    outcome: Outcome
    bytes_out: int
    pieces_out: int
    ended_at_ms: int
    tokens_input_estimate: int = 0
    model: str = ""
    is_streaming: bool = False
    is_managed: bool = False
    price: Price | None = None


class Settled(msgspec.Struct, frozen=True):
    """The ledger has these facts in committed blocks (or had them before): the outbox may forget them."""

    hold_ids: list[str]
