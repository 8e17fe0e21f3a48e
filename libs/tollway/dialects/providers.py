"""The providers: one row each. Those below have facts of their own; every other provider of the price list that has a
compatible address gets its row from `row_of_listed`, and an account's custom provider from `row_of_candidate`.

Facts are from the providers' documentation, read in November 2025, unless a line says otherwise.
"""

import re
from collections.abc import Iterable, Mapping
from typing import Final
from urllib.parse import urlsplit, urlunsplit

import msgspec

from tollway.dialects.rows import AuthStyle, ModelRule, ProviderRow
from tollway.wire.plan import Candidate, DialectName, Surface


class Listed(msgspec.Struct, frozen=True):
    """A provider as the price list (models.dev) has it. `npm` names the client library, and so the dialect."""

    id: str
    name: str
    npm: str = ""
    api: str = ""
    env: tuple[str, ...] = ()


class Managed(msgspec.Struct, frozen=True):
    """The operator's way into a provider: where it is and the credential, "" where none is needed."""

    base_url: str
    credential: str

    def __repr__(self) -> str:
        """Without the credential."""
        return f"Managed(base_url={self.base_url!r})"


_CHAT: Final[dict[Surface, DialectName]] = {"chat": "openai_chat"}
_OPENAI: Final[dict[Surface, DialectName]] = {
    "chat": "openai_chat",
    "completions": "openai_completions",
    "embeddings": "openai_embeddings",
}
_RESPONSES: Final[dict[Surface, DialectName]] = {"responses": "openai_responses"}
_ANTHROPIC: Final[dict[Surface, DialectName]] = {
    "messages": "anthropic_messages",
    "count_tokens": "anthropic_messages",
}
_GEMINI: Final[dict[Surface, DialectName]] = {"chat": "gemini", "embeddings": "gemini", "count_tokens": "gemini"}

_SAMPLING: Final = ("temperature", "top_p", "presence_penalty", "frequency_penalty", "logprobs", "top_logprobs")
_REASONING: Final = (*_SAMPLING, "logit_bias", "max_tokens")
"""What OpenAI's reasoning models answer with a 400."""

_OPENAI_RULES: Final = (
    *(
        ModelRule(pattern, _REASONING, "max_completion_tokens", "openai_responses")
        for pattern in ("*-codex*", "codex-*", "o1-pro*", "o3-pro*", "gpt-5*-pro*", "*deep-research*")
    ),
    ModelRule("gpt-5*-chat*"),
    *(ModelRule(pattern, _REASONING) for pattern in ("o1*", "o3*", "o4*", "gpt-5*")),
)

_LIMIT: Final = "max_completion_tokens"


def _row(id: str, name: str, base_url: str, **facts: object) -> ProviderRow:  # noqa: A002 the row's own word
    """A provider that speaks OpenAI chat with a bearer key, but for `facts`."""
    return msgspec.convert({"dialects": _OPENAI, **facts, "id": id, "name": name, "base_url": base_url}, ProviderRow)


BUILT_IN: Final[tuple[ProviderRow, ...]] = (
    ProviderRow(
        id="openai",
        name="OpenAI",
        base_url="https://api.openai.com/v1",
        dialects={**_OPENAI, **_RESPONSES},
        env=("OPENAI_API_KEY",),
        output_limit_param=_LIMIT,
        cancel_stops_billing=True,
        model_rules=_OPENAI_RULES,
    ),
    ProviderRow(
        id="anthropic",
        name="Anthropic",
        base_url="https://api.anthropic.com/v1",
        dialects=_ANTHROPIC,
        auth="x-api-key",
        env=("ANTHROPIC_API_KEY",),
        usage_in_stream="always",
        is_done_marker_sent=False,
        cancel_stops_billing=True,
        headers={"anthropic-version": "2023-06-01"},
        model_rules=(ModelRule("claude-opus-4-7*", ("temperature", "top_p", "top_k")),),
    ),
    ProviderRow(
        id="google",
        name="Google",
        base_url="https://generativelanguage.googleapis.com/v1beta",
        dialects=_GEMINI,
        auth="x-goog-api-key",
        env=("GEMINI_API_KEY", "GOOGLE_API_KEY", "GOOGLE_GENERATIVE_AI_API_KEY"),
        usage_in_stream="always",
        is_done_marker_sent=False,
    ),
    ProviderRow(
        id="groq",
        name="Groq",
        base_url="https://api.groq.com/openai/v1",
        dialects=_CHAT,
        env=("GROQ_API_KEY",),
        output_limit_param=_LIMIT,
        refused_params=("logprobs", "top_logprobs", "logit_bias"),
    ),
    ProviderRow(
        id="deepseek",
        name="DeepSeek",
        base_url="https://api.deepseek.com/v1",
        dialects=_CHAT,
        env=("DEEPSEEK_API_KEY",),
        cancel_stops_billing=True,
    ),
    ProviderRow(
        id="openrouter",
        name="OpenRouter",
        base_url="https://openrouter.ai/api/v1",
        dialects=_OPENAI,
        env=("OPENROUTER_API_KEY",),
        cancel_stops_billing=True,
    ),
    ProviderRow(
        id="hyperbolic",
        name="Hyperbolic",
        base_url="https://api.hyperbolic.xyz/v1",
        dialects={"chat": "openai_chat", "completions": "openai_completions"},
        env=("HYPERBOLIC_API_KEY",),
        cancel_stops_billing=True,
        is_output_cap_with_reasoning=False,
    ),
    ProviderRow(
        id="inceptionlabs",
        name="Inception Labs",
        base_url="https://api.inceptionlabs.ai/v1",
        dialects=_CHAT,
        env=("INCEPTION_API_KEY", "INCEPTIONLABS_API_KEY"),
        is_output_cap_with_reasoning=False,
    ),
    ProviderRow(
        id="inference-net",
        name="Inference.net",
        base_url="https://api.inference.net/v1",
        dialects=_OPENAI,
        env=("INFERENCE_API_KEY", "INFERENCE_NET_API_KEY"),
        is_output_cap_with_reasoning=False,
    ),
    ProviderRow(
        id="moonshotai",
        name="Moonshot AI",
        base_url="https://api.moonshot.ai/v1",
        dialects=_CHAT,
        env=("MOONSHOT_API_KEY", "MOONSHOTAI_API_KEY"),
        model_rules=(ModelRule("kimi-k2.5*", ("temperature", "top_p")), ModelRule("kimi-k2.6*", ("temperature",))),
    ),
    ProviderRow(
        id="zai",
        name="Z.ai",
        base_url="https://api.z.ai/api/paas/v4",
        dialects=_CHAT,
        env=("ZAI_API_KEY", "ZHIPU_API_KEY"),
    ),
    ProviderRow(
        id="simulator",
        name="Tollway simulator",
        base_url="",
        dialects={"chat": "openai_chat", "embeddings": "openai_embeddings"},
        auth="none",
        cancel_stops_billing=True,
    ),
    # vendors whose address the price list leaves to their client library
    _row("xai", "xAI", "https://api.x.ai/v1", env=("XAI_API_KEY",), output_limit_param=_LIMIT),
    _row(
        "mistral",
        "Mistral",
        "https://api.mistral.ai/v1",
        env=("MISTRAL_API_KEY",),
        usage_in_stream="always",
        refused_params=("stream_options", "logprobs", "top_logprobs", "logit_bias", "user", "store", "service_tier"),
        is_output_cap_with_reasoning=False,
    ),
    _row("togetherai", "Together AI", "https://api.together.xyz/v1", env=("TOGETHER_API_KEY",)),
    _row("deepinfra", "Deep Infra", "https://api.deepinfra.com/v1/openai", env=("DEEPINFRA_API_KEY",)),
    _row("cerebras", "Cerebras", "https://api.cerebras.ai/v1", env=("CEREBRAS_API_KEY",), output_limit_param=_LIMIT),
    _row(
        "perplexity",
        "Perplexity",
        "https://api.perplexity.ai",
        env=("PERPLEXITY_API_KEY",),
        usage_in_stream="always",
        is_done_marker_sent=False,
        is_output_cap_with_reasoning=False,
    ),
    _row("cohere", "Cohere", "https://api.cohere.ai/compatibility/v1", env=("COHERE_API_KEY",)),
    _row("v0", "v0", "https://api.v0.dev/v1", env=("V0_API_KEY",), is_output_cap_with_reasoning=False),
    _row(
        "vercel",
        "Vercel AI Gateway",
        "https://ai-gateway.vercel.sh/v1",
        env=("AI_GATEWAY_API_KEY",),
        is_output_cap_with_reasoning=False,
    ),
    _row(
        "venice",
        "Venice AI",
        "https://api.venice.ai/api/v1",
        env=("VENICE_API_KEY",),
        is_output_cap_with_reasoning=False,
    ),
    _row(
        "aihubmix", "AIHubMix", "https://aihubmix.com/v1", env=("AIHUBMIX_API_KEY",), is_output_cap_with_reasoning=False
    ),
    _row(
        "azure",
        "Azure OpenAI",
        "https://${AZURE_RESOURCE_NAME}.openai.azure.com/openai/v1",
        dialects={**_OPENAI, **_RESPONSES},
        auth="api-key",
        env=("AZURE_API_KEY",),
        output_limit_param=_LIMIT,
        cancel_stops_billing=True,
        model_rules=_OPENAI_RULES,
    ),
)

LISTED_AS: Final[dict[str, str]] = {"inceptionlabs": "inception", "inference-net": "inference"}
"""Built-in providers that the price list knows under another id."""

_BY_CLIENT: Final[dict[str, dict[Surface, DialectName]]] = {
    "@ai-sdk/openai-compatible": _OPENAI,
    "@ai-sdk/openai": _RESPONSES,
    "@ai-sdk/anthropic": _ANTHROPIC,
}

_NEAREST: Final[dict[Surface, tuple[DialectName, ...]]] = {
    "chat": ("openai_chat", "openai_responses", "anthropic_messages", "gemini"),
    "responses": ("openai_responses", "openai_chat", "anthropic_messages", "gemini"),
    "messages": ("anthropic_messages", "openai_chat", "openai_responses", "gemini"),
    "count_tokens": ("anthropic_messages", "gemini", "openai_chat", "openai_responses"),
    "completions": ("openai_completions",),
    "embeddings": ("openai_embeddings",),
}
"""For a surface that a provider does not have: the dialects it can be reached through, nearest first."""

_FORMATS: Final[dict[tuple[str, str], DialectName]] = {
    ("openai", "chat"): "openai_chat",
    ("openai", "chat-completions"): "openai_chat",
    ("openai", "chat_completions"): "openai_chat",
    ("openai", "responses"): "openai_responses",
    ("openai", "completions"): "openai_completions",
    ("openai", "embeddings"): "openai_embeddings",
    ("anthropic", "messages"): "anthropic_messages",
    ("gemini", "chat"): "gemini",
    ("google", "chat"): "gemini",
}
_SURFACES: Final[dict[DialectName, tuple[Surface, ...]]] = {
    "openai_chat": ("chat",),
    "openai_responses": ("responses",),
    "openai_completions": ("completions",),
    "openai_embeddings": ("embeddings",),
    "anthropic_messages": ("messages", "count_tokens"),
    "gemini": ("chat", "embeddings", "count_tokens"),
}


def dialect_for(row: ProviderRow, surface: Surface, model_sent: str) -> DialectName | None:
    """The dialect in which this provider serves the surface for this model; None: it cannot."""
    native = row.dialects.get(surface)
    rule = next((rule for rule in row.model_rules if rule.dialect is not None and _is_match(model_sent, rule)), None)
    if rule is not None and rule.dialect in _NEAREST[surface]:
        return rule.dialect
    if native is not None:
        return native
    spoken = frozenset(row.dialects.values())
    return next((dialect for dialect in _NEAREST[surface] if dialect in spoken), None)


def _is_match(model_sent: str, rule: ModelRule) -> bool:
    from fnmatch import fnmatchcase

    return fnmatchcase(model_sent.lower(), rule.pattern)
