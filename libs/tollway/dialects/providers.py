"""The providers: one row each, whoever they are. Those with facts of their own are in `built_in`; every other provider
of the price list that has a compatible address gets its row from `row_of_listed`, and an account's custom provider
from `row_of_candidate`. `addresses` says how the operator's environment opens them.
"""

from collections.abc import Iterable, Mapping
from typing import Final
from urllib.parse import urlsplit, urlunsplit

import msgspec

from tollway.dialects.addresses import normal_url
from tollway.dialects.built_in import ANTHROPIC, BUILT_IN, LISTED_AS, OPENAI, RESPONSES
from tollway.dialects.rows import AuthStyle, ProviderRow, rule_for
from tollway.wire.access import ApiSurface
from tollway.wire.plan import Candidate, DialectName, Surface


class Listed(msgspec.Struct, frozen=True):
    """A provider as the price list (models.dev) has it. `npm` names the client library, and so the dialect."""

    id: str
    name: str
    npm: str = ""
    api: str = ""
    env: tuple[str, ...] = ()


_BY_CLIENT: Final[dict[str, dict[Surface, DialectName]]] = {
    "@ai-sdk/openai-compatible": OPENAI,
    "@ai-sdk/openai": RESPONSES,
    "@ai-sdk/anthropic": ANTHROPIC,
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


_AZURE: Final = (".openai.azure.com", ".cognitiveservices.azure.com", ".services.ai.azure.com")


def dialect_for(row: ProviderRow, surface: Surface, model_sent: str) -> DialectName | None:
    """The dialect in which this provider serves the surface for this model; None: it cannot."""
    rule = rule_for(row, model_sent)
    if rule is not None and rule.dialect in _NEAREST[surface]:
        return rule.dialect
    native = row.dialects.get(surface)
    if native is not None:
        return native
    spoken = frozenset(row.dialects.values())
    return next((dialect for dialect in _NEAREST[surface] if dialect in spoken), None)


def rows_of(listed: Iterable[Listed]) -> dict[str, ProviderRow]:
    """Every provider by id: the built-in ones first, then those of the price list that have a compatible address.

    A variable that several listed providers share (one vendor's plans and regions) belongs to the first of them only,
    and names that do not end in `_API_KEY` to none: a `GITHUB_TOKEN` in the environment is not meant for us.
    """
    rows = {row.id: row for row in BUILT_IN}
    hidden = frozenset(LISTED_AS.values())
    taken = {name for row in BUILT_IN for name in row.env}
    for entry in sorted(listed, key=lambda entry: (len(entry.id), entry.id)):
        row = row_of_listed(entry)
        if row is None or entry.id in rows or entry.id in hidden:
            continue
        env = tuple(name for name in row.env if name.endswith("_API_KEY") and name not in taken)
        taken.update(env)
        rows[entry.id] = msgspec.structs.replace(row, env=env)
    return rows


def row_of_listed(listed: Listed) -> ProviderRow | None:
    """The row of a provider that we know only from the price list; None where no dialect of ours fits.

    An address that is not `https` is left out: it would be on the operator's own machine, so only the operator's
    `TOLLWAY_<PROVIDER>_BASE_URL` opens it.
    """
    dialects = _BY_CLIENT.get(listed.npm)
    if dialects is None:
        return None
    is_anthropic = dialects is ANTHROPIC
    return ProviderRow(
        id=listed.id,
        name=listed.name,
        base_url=_listed_url(listed.api, dialects),
        dialects=dialects,
        auth="x-api-key" if is_anthropic else "bearer",
        env=listed.env,
        output_limit_param="" if is_anthropic else "max_tokens",
        usage_in_stream="always" if is_anthropic else "ask",
        is_done_marker_sent=not is_anthropic,
        headers={"anthropic-version": "2023-06-01"} if is_anthropic else {},
        is_output_cap_with_reasoning=is_anthropic,
    )


def _listed_url(url: str, dialects: Mapping[Surface, DialectName]) -> str:
    if not url.startswith("https://"):
        return ""
    is_bare = urlsplit(url).path in ("", "/")  # here it is exact, where a person's bare host means the version too
    return url.rstrip("/") if is_bare and dialects is OPENAI else normal_url(url, dialects)


def row_of_candidate(candidate: Candidate) -> ProviderRow:
    """The row of an account's custom provider: all that is known of it is in the candidate."""
    parts = urlsplit(candidate.base_url)
    base_url = urlunsplit((parts.scheme, parts.netloc, parts.path, "", ""))
    dialects: dict[Surface, DialectName] = dict.fromkeys(_SURFACES[candidate.dialect], candidate.dialect)
    is_openai = candidate.dialect.startswith("openai")
    is_azure = (parts.hostname or "").endswith(_AZURE)
    return ProviderRow(
        id=candidate.provider,
        name=candidate.provider_name,
        base_url=normal_url(base_url, dialects),
        dialects=dialects,
        auth=_auth_of(candidate, parts.hostname or ""),
        query=f"?{parts.query}" if parts.query else "",
        output_limit_param=_output_limit_param(candidate, "" if is_azure else "max_tokens"),
        usage_in_stream="ask" if is_openai else "always",
        is_done_marker_sent=is_openai,
        headers={"anthropic-version": "2023-06-01"} if candidate.dialect == "anthropic_messages" else {},
        is_output_cap_with_reasoning=candidate.is_output_cap_with_reasoning,
        supported_params=candidate.supported_params,
    )


_LIMIT_NAMES: Final = ("max_tokens", "max_completion_tokens")


def _output_limit_param(candidate: Candidate, usual: str) -> str:
    """The one name of the output limit that the list has; else the usual one, since a limit is always sent."""
    if candidate.dialect != "openai_chat":
        return ""
    listed = [name for name in _LIMIT_NAMES if name in (candidate.supported_params or ())]
    return listed[0] if len(listed) == 1 else usual


def _auth_of(candidate: Candidate, host: str) -> AuthStyle:
    if not candidate.credential_id:
        return "none"
    if host.endswith(_AZURE):
        return "api-key"
    styles: dict[DialectName, AuthStyle] = {"anthropic_messages": "x-api-key", "gemini": "x-goog-api-key"}
    return styles.get(candidate.dialect, "bearer")


def surface_dialects(surfaces: Iterable[tuple[str, str]]) -> dict[Surface, DialectName]:
    """What a custom provider speaks, from its (format, surface) pairs; none known: OpenAI's, as everybody does."""
    rows: dict[Surface, DialectName] = {}
    for pair in surfaces:
        dialect = _FORMATS.get(pair)
        rows.update(dict.fromkeys(_SURFACES[dialect], dialect) if dialect is not None else {})
    return rows or OPENAI


def listed_params(surfaces: Iterable[ApiSurface], dialect: DialectName) -> tuple[str, ...] | None:
    """The parameters that a custom provider takes where it is spoken to in this dialect; None: all."""
    spoken = (each for each in surfaces if _FORMATS.get((each.format, each.surface)) == dialect)
    return next((surface.supported_params for surface in spoken), None)
