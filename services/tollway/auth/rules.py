"""Field rules that need more than a type: each finds what is wrong with a value and says where, in the API's words."""

import re
from collections.abc import Sequence
from ipaddress import ip_network
from typing import Final

import msgspec

from tollway.wire.access import Access, ApiSurface, KeyLimits
from tollway.wire.addresses import base_url_problem
from tollway.wire.refusals import Refusal, refuse

PROVIDER_ID: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,254}")
POOL: Final = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}")
ALLOW_MAX: Final = 1_000
ALLOW_CHARS_MAX: Final = 512
RULES_MAX: Final = 200
STEPS_MAX: Final = 20
KEYS_MAX: Final = 50
MODELS_MAX: Final = 2_000
SURFACES_MAX: Final = 20
PARAMS_MAX: Final = 200
ADDRESSES_MAX: Final = 100

SURFACES: Final[dict[tuple[str, str], str]] = {
    ("openai", "chat-completions"): "chat",
    ("openai", "responses"): "responses",
    ("openai", "completions"): "completions",
    ("openai", "embeddings"): "embeddings",
    ("openai", "models"): "models",
    ("anthropic", "messages"): "messages",
    ("anthropic", "count-tokens"): "count_tokens",
    ("gemini", "generate-content"): "chat",
}
"""What a custom provider may say it speaks, and the bus's word for it."""


class Surroundings(msgspec.Struct, frozen=True):
    """What rules depend on besides the account: which providers are built in, and the operator's own network."""

    builtin_providers: frozenset[str]
    allow_cidrs: tuple[str, ...] = ()


def invalid(path: str, why: str) -> Refusal:
    """A field is wrong: its path in the API's words, and why."""
    return refuse("validation", f"{path}: {why}", param=path, details={path: why})


def limits_problem(limits: KeyLimits) -> Refusal | None:
    """Limits are positive, addresses are addresses or ranges."""
    names = {
        "limits.requestsPerMinute": limits.requests_per_minute,
        "limits.tokensPerMinute": limits.tokens_per_minute,
        "limits.spendPerDay": limits.spend_day_nusd,
        "limits.spendPerMonth": limits.spend_month_nusd,
    }
    for path, value in names.items():
        if value is not None and value < 1:
            return invalid(path, "must be more than zero, or null for no limit")
    return _addresses_problem(limits.addresses or ())


def _addresses_problem(addresses: Sequence[str]) -> Refusal | None:
    if len(addresses) > ADDRESSES_MAX:
        return invalid("limits.addresses", f"has more than {ADDRESSES_MAX} entries")
    for index, address in enumerate(addresses):
        try:
            ip_network(address, strict=False)
        except ValueError:
            return invalid(f"limits.addresses[{index}]", "is not an IP address or a CIDR range")
    return None


def access_problem(access: Access | None) -> Refusal | None:
    """Entries are short and not blank."""
    if access is None:
        return None
    return _entries_problem("access.providers.allow", access.providers) or _entries_problem(
        "access.models.allow", access.models
    )


def _entries_problem(path: str, entries: Sequence[str] | None) -> Refusal | None:
    if entries is not None and len(entries) > ALLOW_MAX:
        return invalid(path, f"has more than {ALLOW_MAX} entries")
    for index, entry in enumerate(entries or ()):
        if not entry.strip() or entry != entry.strip() or len(entry) > ALLOW_CHARS_MAX:
            return invalid(f"{path}[{index}]", f"must be 1 to {ALLOW_CHARS_MAX} characters without outer blanks")
    return None


def provider_id_problem(provider_id: str, around: Surroundings) -> Refusal | None:
    """A custom provider's id: usable before a colon, and not a built-in's."""
    if not PROVIDER_ID.fullmatch(provider_id):
        return invalid("providerId", "must be letters, digits, '.', '_' or '-', and start with a letter or digit")
    if provider_id.lower() in around.builtin_providers or provider_id.lower() in ("tollway", "managed"):
        return invalid("providerId", "is the id of a built-in provider")
    return None


def base_url_refusal(base_url: str, around: Surroundings) -> Refusal | None:
    """See `tollway.wire.addresses`."""
    problem = base_url_problem(base_url, around.allow_cidrs)
    return invalid("baseUrl", problem) if problem else None


def surfaces_problem(surfaces: Sequence[ApiSurface]) -> Refusal | None:
    """Known surfaces, each once."""
    if len(surfaces) > SURFACES_MAX:
        return invalid("supportedApiSurfaces", f"has more than {SURFACES_MAX} entries")
    seen: set[tuple[str, str]] = set()
    for index, surface in enumerate(surfaces):
        path, pair = f"supportedApiSurfaces[{index}]", (surface.format, surface.surface)
        if pair not in SURFACES:
            known = ", ".join(f"{format_}/{name}" for format_, name in SURFACES)
            return invalid(path, f"is not one of {known}")
        if pair in seen:
            return invalid(path, "appears twice")
        if len(surface.supported_params or ()) > PARAMS_MAX:
            return invalid(f"{path}.supportedParams", f"has more than {PARAMS_MAX} entries")
        seen.add(pair)
    return None


def models_problem(models: Sequence[str]) -> Refusal | None:
    """Each model once; names ignore case."""
    if len(models) > MODELS_MAX:
        return invalid("models", f"has more than {MODELS_MAX} entries")
    seen: set[str] = set()
    for index, model in enumerate(models):
        if model.lower() in seen:
            return invalid(f"models[{index}].modelId", "appears twice")
        if model != model.strip():
            return invalid(f"models[{index}].modelId", "begins or ends with a blank")
        seen.add(model.lower())
    return None


def pool_problem(pool: str) -> Refusal | None:
    """A pool's name is one token of a subject."""
    return None if POOL.fullmatch(pool) else invalid("pool", "must be lower-case letters, digits, '_' or '-'")
