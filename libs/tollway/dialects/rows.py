"""What a provider is to a dialect: a row of data. The rows themselves are in `providers`."""

from fnmatch import fnmatchcase
from typing import Literal

import msgspec

from tollway.dialects.features import Feature
from tollway.wire.chat import Effort
from tollway.wire.plan import DialectName, Surface

AuthStyle = Literal["bearer", "x-api-key", "api-key", "x-goog-api-key", "query-key", "none"]
"""bearer: `Authorization: Bearer`. api-key: Azure's header. query-key: `?key=`. none: no credential is sent."""

UsageInStream = Literal["ask", "always", "never"]
"""ask: `stream_options.include_usage` must be set. always: comes unasked (and asking is refused). never: not at all."""


class ModelRule(msgspec.Struct, frozen=True, omit_defaults=True):
    """What is special about the models of a provider whose sent name matches `pattern` (shell style, lower case).

    The first rule that matches is the only one that counts. `dialect`: the only one that serves these models.
    `efforts`: the words of reasoning effort that they know, from little to much; empty: all of the dialect's.
    `tokens_output_least`: the smallest output limit that they take.
    """

    pattern: str
    refused_params: tuple[str, ...] = ()
    output_limit_param: str = ""
    dialect: DialectName | None = None
    features: tuple[Feature, ...] = ()
    efforts: tuple[Effort, ...] = ()
    tokens_output_least: int = 0


class ProviderRow(msgspec.Struct, frozen=True, omit_defaults=True):
    """A provider's facts.

    `base_url` ends where the dialect's own path begins, without a slash: `https://api.openai.com/v1`,
    `https://api.anthropic.com/v1`, `https://generativelanguage.googleapis.com/v1beta`.
    `dialects`: what it speaks for each surface asked; a surface that is missing is reached through another dialect.
    `env`: variables whose first present one is the operator's credential.
    `refused_params`: top-level fields the provider refuses and that are harmless to drop; named in `tollway-dropped`.
    `supported_params`: the only ones that it takes, as the account says of its own provider; None: all.
    `output_limit_param`: "" is the dialect's own name. `query`: put after every path (`?api-version=…`).
    `is_done_marker_sent`: its chat streams end with `[DONE]`; False accepts an end after the finish reason.
    `features`: what it carries beyond its dialect (`features.Feature`): "thinking", "cache_control", "top_k", …
    `cancel_stops_billing`: whether hanging up on a stream ends the bill.
    `is_output_cap_with_reasoning`: whether the output limit bounds reasoning tokens too, as the provider documents it.
    `call_id_letters`: its tool calls have ids of just so many letters and digits; 0: any id.
    `prefills`: patterns of the models that go on with an assistant's message that comes last, and the field of that
    message that asks for it ("": none is needed).
    """

    id: str
    name: str
    base_url: str
    dialects: dict[Surface, DialectName]
    auth: AuthStyle = "bearer"
    env: tuple[str, ...] = ()
    refused_params: tuple[str, ...] = ()
    output_limit_param: str = ""
    usage_in_stream: UsageInStream = "ask"
    is_done_marker_sent: bool = True
    cancel_stops_billing: bool = False
    query: str = ""
    headers: dict[str, str] = {}
    features: tuple[Feature, ...] = ()
    model_rules: tuple[ModelRule, ...] = ()
    is_output_cap_with_reasoning: bool = True
    prefills: dict[str, str] = {}
    call_id_letters: int = 0
    supported_params: tuple[str, ...] | None = None


def refused_params(row: ProviderRow, model_sent: str) -> frozenset[str]:
    """Fields to drop for this model."""
    rule = rule_for(row, model_sent)
    return frozenset(row.refused_params if rule is None else (*row.refused_params, *rule.refused_params))


def output_limit_param(row: ProviderRow, model_sent: str) -> str:
    """What this model calls its output limit; "" is the dialect's own name."""
    rule = rule_for(row, model_sent)
    return (rule.output_limit_param if rule is not None else "") or row.output_limit_param


def extra_features(row: ProviderRow, model_sent: str) -> tuple[Feature, ...]:
    """What this model carries beyond its dialect."""
    rule = rule_for(row, model_sent)
    return row.features if rule is None else (*row.features, *rule.features)


def efforts(row: ProviderRow, model_sent: str) -> tuple[Effort, ...]:
    """The words of reasoning effort that this model knows; empty: all of the dialect's."""
    rule = rule_for(row, model_sent)
    return rule.efforts if rule is not None else ()


def tokens_output_least(row: ProviderRow, model_sent: str) -> int:
    """The smallest output limit that this model takes."""
    rule = rule_for(row, model_sent)
    return rule.tokens_output_least if rule is not None else 0


def prefill_field(row: ProviderRow, model_sent: str) -> str | None:
    """The field that asks this model to go on with a begun answer; None: it does not."""
    name = model_sent.lower()
    return next((field for pattern, field in row.prefills.items() if fnmatchcase(name, pattern)), None)


def rule_for(row: ProviderRow, model_sent: str) -> ModelRule | None:
    """The first rule of the row that this model matches."""
    name = model_sent.lower()
    return next((rule for rule in row.model_rules if fnmatchcase(name, rule.pattern)), None)
