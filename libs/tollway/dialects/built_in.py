"""The providers that have facts of their own: a row each. Adding one is a row here and a golden file.

Facts are from the providers' own documentation (2025 and 2026); which of them stop billing when a stream is cancelled
is from OpenRouter's table of its upstream providers.
"""

from typing import Final

from tollway.dialects.rows import ModelRule, ProviderRow
from tollway.wire.chat import Effort
from tollway.wire.plan import DialectName, Surface

_CHAT: Final[dict[Surface, DialectName]] = {"chat": "openai_chat"}
OPENAI: Final[dict[Surface, DialectName]] = {
    "chat": "openai_chat",
    "completions": "openai_completions",
    "embeddings": "openai_embeddings",
}
RESPONSES: Final[dict[Surface, DialectName]] = {"responses": "openai_responses"}
ANTHROPIC: Final[dict[Surface, DialectName]] = {
    "messages": "anthropic_messages",
    "count_tokens": "anthropic_messages",
}
_GEMINI: Final[dict[Surface, DialectName]] = {"chat": "gemini", "embeddings": "gemini", "count_tokens": "gemini"}

_SAMPLING: Final = ("temperature", "top_p", "presence_penalty", "frequency_penalty", "logprobs", "top_logprobs")
_REASONING: Final = (*_SAMPLING, "logit_bias")
"""What OpenAI's reasoning models answer with a 400."""

_LOW: Final[tuple[Effort, ...]] = ("low", "medium", "high")
_BY_RESPONSES: Final[dict[str, tuple[Effort, ...]]] = {
    "*deep-research*": ("medium",),
    "*-codex-max*": (*_LOW, "xhigh"),
    "*-codex*": _LOW,
    "codex-*": _LOW,
    "o1-pro*": _LOW,
    "o3-pro*": _LOW,
    "gpt-5-pro*": ("high",),
    "gpt-5*-pro*": ("medium", "high", "xhigh"),
}
"""OpenAI's models that only answer on `/v1/responses`, and the efforts that they know."""
_RESPONSES_LEAST: Final = 16
"""`max_output_tokens` below it is answered 400, `integer_below_min_value` (OpenAI and Azure, reports of 2025-12 on)."""
_BY_CHAT: Final[dict[str, tuple[Effort, ...]]] = {
    **dict.fromkeys(("o1*", "o3*", "o4*"), _LOW),
    "gpt-5.1*": ("none", *_LOW),
    "gpt-5.*": ("none", *_LOW, "xhigh"),
    "gpt-5*": ("minimal", *_LOW),
}

_OPENAI_RULES: Final = (
    *(
        ModelRule(
            pattern,
            _REASONING,
            "max_completion_tokens",
            "openai_responses",
            efforts=efforts,
            tokens_output_least=_RESPONSES_LEAST,
        )
        for pattern, efforts in _BY_RESPONSES.items()
    ),
    ModelRule("gpt-5*-chat*"),
    *(ModelRule(pattern, _REASONING, efforts=efforts) for pattern, efforts in _BY_CHAT.items()),
)

_LIMIT: Final = "max_completion_tokens"
_OLD_LIMIT: Final = "max_tokens"
"""A limit under the other name is ignored by many, and the answer would outgrow its hold."""


_CLAUDE_PREFILLS: Final[dict[str, str]] = {
    "claude-3-*": "",
    "claude-haiku-4-5*": "",
    "claude-opus-4-[015]*": "",
    "claude-opus-4-2025*": "",
    "claude-sonnet-4-[05]*": "",
    "claude-sonnet-4-2025*": "",
}
"""From 4.6 on they refuse an assistant's message that comes last (Anthropic, Prefill Claude's response, 2026-02)."""

BUILT_IN: Final[tuple[ProviderRow, ...]] = (
    ProviderRow(
        id="openai",
        name="OpenAI",
        base_url="https://api.openai.com/v1",
        dialects={**OPENAI, **RESPONSES},
        env=("OPENAI_API_KEY",),
        output_limit_param=_LIMIT,
        cancel_stops_billing=True,
        model_rules=_OPENAI_RULES,
    ),
    ProviderRow(
        id="anthropic",
        name="Anthropic",
        base_url="https://api.anthropic.com/v1",
        dialects=ANTHROPIC,
        auth="x-api-key",
        env=("ANTHROPIC_API_KEY",),
        usage_in_stream="always",
        is_done_marker_sent=False,
        cancel_stops_billing=True,
        headers={"anthropic-version": "2023-06-01"},
        model_rules=(ModelRule("claude-opus-4-7*", ("temperature", "top_p", "top_k")),),
        prefills=_CLAUDE_PREFILLS,
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
        model_rules=(
            ModelRule("gemini-3-pro*", efforts=("low", "high")),
            ModelRule("gemini-3*-pro*", efforts=_LOW),
        ),
    ),
    ProviderRow(
        id="groq",
        name="Groq",
        base_url="https://api.groq.com/openai/v1",
        dialects=_CHAT,
        env=("GROQ_API_KEY",),
        output_limit_param=_LIMIT,
        refused_params=("logprobs", "top_logprobs", "logit_bias", "verbosity"),
        model_rules=(ModelRule("openai/gpt-oss*", efforts=_LOW),),
    ),
    ProviderRow(
        id="deepseek",
        name="DeepSeek",
        base_url="https://api.deepseek.com/v1",
        dialects=_CHAT,
        env=("DEEPSEEK_API_KEY",),
        model_rules=(ModelRule("deepseek-v4*", features=("thinking",)),),
        cancel_stops_billing=True,
        output_limit_param=_OLD_LIMIT,
    ),
    ProviderRow(
        id="openrouter",
        name="OpenRouter",
        base_url="https://openrouter.ai/api/v1",
        dialects=OPENAI,
        env=("OPENROUTER_API_KEY",),
        cancel_stops_billing=True,
        output_limit_param=_OLD_LIMIT,
        features=("thinking", "thinking_signature", "cache_control", "top_k"),
    ),
    ProviderRow(
        id="hyperbolic",
        name="Hyperbolic",
        base_url="https://api.hyperbolic.xyz/v1",
        dialects={"chat": "openai_chat", "completions": "openai_completions"},
        env=("HYPERBOLIC_API_KEY",),
        cancel_stops_billing=True,
        is_output_cap_with_reasoning=False,
        output_limit_param=_OLD_LIMIT,
        features=("top_k",),
    ),
    ProviderRow(
        id="inceptionlabs",
        name="Inception Labs",
        base_url="https://api.inceptionlabs.ai/v1",
        dialects=_CHAT,
        env=("INCEPTION_API_KEY", "INCEPTIONLABS_API_KEY"),
        is_output_cap_with_reasoning=False,
        output_limit_param=_OLD_LIMIT,
    ),
    ProviderRow(
        id="inference-net",
        name="Inference.net",
        base_url="https://api.inference.net/v1",
        dialects=OPENAI,
        env=("INFERENCE_API_KEY", "INFERENCE_NET_API_KEY"),
        is_output_cap_with_reasoning=False,
        output_limit_param=_OLD_LIMIT,
    ),
    ProviderRow(
        id="moonshotai",
        name="Moonshot AI",
        base_url="https://api.moonshot.ai/v1",
        dialects=_CHAT,
        env=("MOONSHOT_API_KEY", "MOONSHOTAI_API_KEY"),
        model_rules=(ModelRule("kimi-k2.5*", ("temperature", "top_p")),),
        output_limit_param=_OLD_LIMIT,
        features=("thinking",),
        prefills={"*": "partial"},
    ),
    ProviderRow(
        id="zai",
        name="Z.ai",
        base_url="https://api.z.ai/api/paas/v4",
        dialects=_CHAT,
        env=("ZAI_API_KEY", "ZHIPU_API_KEY"),
        output_limit_param=_OLD_LIMIT,
        features=("thinking",),
    ),
    ProviderRow(
        id="simulator",
        name="Tollway simulator",
        base_url="",
        dialects={**OPENAI, **RESPONSES, **ANTHROPIC},
        auth="none",
        cancel_stops_billing=True,
    ),
    # vendors whose address the price list leaves to their client library
    ProviderRow(
        id="xai",
        name="xAI",
        base_url="https://api.x.ai/v1",
        dialects=_CHAT,
        env=("XAI_API_KEY",),
        output_limit_param=_LIMIT,
        cancel_stops_billing=True,
    ),
    ProviderRow(
        id="mistral",
        name="Mistral",
        base_url="https://api.mistral.ai/v1",
        dialects={"chat": "openai_chat", "embeddings": "openai_embeddings"},
        env=("MISTRAL_API_KEY",),
        usage_in_stream="always",
        refused_params=(
            *("stream_options", "logprobs", "top_logprobs", "logit_bias", "user", "store", "service_tier"),
            *("seed", "verbosity"),
        ),
        is_output_cap_with_reasoning=False,
        output_limit_param=_OLD_LIMIT,
        prefills={"*": "prefix"},
        call_id_letters=9,
    ),
    ProviderRow(
        id="togetherai",
        name="Together AI",
        base_url="https://api.together.xyz/v1",
        dialects=OPENAI,
        env=("TOGETHER_API_KEY",),
        cancel_stops_billing=True,
        output_limit_param=_OLD_LIMIT,
        features=("top_k",),
    ),
    ProviderRow(
        id="deepinfra",
        name="Deep Infra",
        base_url="https://api.deepinfra.com/v1/openai",
        dialects=OPENAI,
        env=("DEEPINFRA_API_KEY",),
        cancel_stops_billing=True,
        output_limit_param=_OLD_LIMIT,
        features=("top_k",),
    ),
    ProviderRow(
        id="cerebras",
        name="Cerebras",
        base_url="https://api.cerebras.ai/v1",
        dialects={"chat": "openai_chat", "completions": "openai_completions"},
        env=("CEREBRAS_API_KEY",),
        output_limit_param=_LIMIT,
    ),
    ProviderRow(
        id="perplexity",
        name="Perplexity",
        base_url="https://api.perplexity.ai",
        dialects=_CHAT,
        env=("PERPLEXITY_API_KEY",),
        usage_in_stream="always",
        is_done_marker_sent=False,
        is_output_cap_with_reasoning=False,
        output_limit_param=_OLD_LIMIT,
    ),
    ProviderRow(
        id="cohere",
        name="Cohere",
        base_url="https://api.cohere.ai/compatibility/v1",
        dialects={"chat": "openai_chat", "embeddings": "openai_embeddings"},
        env=("COHERE_API_KEY",),
        cancel_stops_billing=True,
        is_output_cap_with_reasoning=False,
        output_limit_param=_OLD_LIMIT,
    ),
    ProviderRow(
        id="v0",
        name="v0",
        base_url="https://api.v0.dev/v1",
        dialects=_CHAT,
        env=("V0_API_KEY",),
        is_output_cap_with_reasoning=False,
        output_limit_param=_OLD_LIMIT,
    ),
    ProviderRow(
        id="vercel",
        name="Vercel AI Gateway",
        base_url="https://ai-gateway.vercel.sh/v1",
        dialects={"chat": "openai_chat", "embeddings": "openai_embeddings"},
        env=("AI_GATEWAY_API_KEY",),
        is_output_cap_with_reasoning=False,
        output_limit_param=_OLD_LIMIT,
    ),
    ProviderRow(
        id="venice",
        name="Venice AI",
        base_url="https://api.venice.ai/api/v1",
        dialects={"chat": "openai_chat", "embeddings": "openai_embeddings"},
        env=("VENICE_API_KEY",),
        is_output_cap_with_reasoning=False,
        output_limit_param=_OLD_LIMIT,
    ),
    ProviderRow(
        id="aihubmix",
        name="AIHubMix",
        base_url="https://aihubmix.com/v1",
        dialects=OPENAI,
        env=("AIHUBMIX_API_KEY",),
        is_output_cap_with_reasoning=False,
        output_limit_param=_OLD_LIMIT,
    ),
    ProviderRow(
        id="sambanova",
        name="SambaNova",
        base_url="https://api.sambanova.ai/v1",
        dialects={"chat": "openai_chat", "embeddings": "openai_embeddings"},
        env=("SAMBANOVA_API_KEY",),
        refused_params=("logprobs", "top_logprobs", "logit_bias", "seed"),
        is_output_cap_with_reasoning=False,
        output_limit_param=_OLD_LIMIT,
        features=("top_k",),
    ),
    ProviderRow(
        id="azure",
        name="Azure OpenAI",
        base_url="https://${AZURE_RESOURCE_NAME}.openai.azure.com/openai/v1",
        dialects={**OPENAI, **RESPONSES},
        auth="api-key",
        env=("AZURE_API_KEY",),
        output_limit_param=_LIMIT,
        cancel_stops_billing=True,
        model_rules=_OPENAI_RULES,
    ),
)

LISTED_AS: Final[dict[str, str]] = {"inceptionlabs": "inception", "inference-net": "inference"}
"""Built-in providers that the price list knows under another id."""
