"""How an error answer is classified: by the body's words first and by status last.

Providers put errors into 200 streams and exhausted quota into 429, so the status alone says little.
"""

import re
from typing import Any, Final, cast

import msgspec

from tollway.dialects import waits
from tollway.dialects.faults import ErrorClass


class Said(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a provider says about its error, in whatever shape: `kind` is the type word, `code` the code word.

    `status`: where the code is a number, as in errors inside a 200 stream. `retry_after_s`: a wait that the body names.
    """

    message: str = ""
    kind: str = ""
    code: str = ""
    param: str | None = None
    status: int = 0
    retry_after_s: float | None = None


MESSAGE_CHARS_MAX: Final = 1000

_any: Final = msgspec.json.Decoder()


def read_error(body: bytes) -> Said | None:
    """Find the error in a body of any provider; None: there is none (a page, garbage, an answer)."""
    try:
        found = _any.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    return said_in(found)


def said_in(found: Any) -> Said | None:
    """The same for a value that is decoded already."""
    if isinstance(found, list) and found:
        found = cast("list[Any]", found)[0]  # Gemini's stream endpoint sends a list of one
    if not isinstance(found, dict):
        return None
    whole = cast("dict[str, Any]", found)
    error = next((whole[key] for key in _ERROR_KEYS if whole.get(key)), None)
    if isinstance(error, dict):
        return _said(cast("dict[str, Any]", error), whole)
    if isinstance(error, str):
        return Said(_bounded(error), _word(whole.get("type")), _word(whole.get("code")))
    return _said(whole, whole) if isinstance(whole.get("message"), str) and "choices" not in whole else None


_ERROR_KEYS: Final = ("error", "detail", "errors")


def _said(error: dict[str, Any], whole: dict[str, Any]) -> Said:
    message = error.get("message") or error.get("msg") or whole.get("message") or ""
    kind = _word(error.get("type")) or _word(error.get("status"))
    code, param = _word(error.get("code")), error.get("param")
    status = int(code) if code.isdecimal() and len(code) == 3 else 0
    word = "" if code.isdecimal() else code
    return Said(
        _bounded(str(message)),
        kind,
        word,
        param if isinstance(param, str) else None,
        status,
        _wait(error.get("details")),
    )


def _wait(details: Any) -> float | None:
    """Google's `RetryInfo`."""
    if not isinstance(details, list):
        return None
    found = (cast("dict[str, Any]", it).get("retryDelay") for it in cast("list[Any]", details) if isinstance(it, dict))
    return next((waits.read_wait(delay) for delay in found if isinstance(delay, str)), None)


def _word(value: Any) -> str:
    return str(value)[:100] if isinstance(value, str | int) and not isinstance(value, bool) else ""


def _bounded(message: str) -> str:
    return _SECRETS.sub("[removed]", message[:MESSAGE_CHARS_MAX])


_SECRETS: Final = re.compile(r"\b(?:(?:sk|pk|rk|gsk|xai|org|proj|key)[-_]|AIza)[A-Za-z0-9*_\-]{6,}")
"""Providers quote the key or the organisation; a managed credential is not the caller's to see."""


def has_secret(body: bytes) -> bool:
    """Whether a body quotes something like a key or an organisation."""
    return _SECRETS.search(body.decode("utf-8", "replace")) is not None


def classify(status: int, said: Said | None) -> ErrorClass:
    """The class of an error answer: by the body's words, then by phrases of its message, then by status."""
    if said is not None:
        status = said.status if status < 400 <= said.status else status
        by_word = _BY_WORD.get(said.code.lower()) or _BY_WORD.get(said.kind.lower())
        if by_word == "bad_request" or by_word is None:
            by_word = _by_phrase(said.message, status) or by_word
        if by_word is not None and not (by_word in _VAGUE and status in _BY_STATUS):
            return by_word
    return by_status(status)


def by_status(status: int) -> ErrorClass:
    """The class that a bare status means."""
    known = _BY_STATUS.get(status)
    if known is not None:
        return known
    if 200 <= status < 300:
        return "error_in_stream"
    return "bad_request" if 400 <= status < 500 else "server"


def _by_phrase(message: str, status: int) -> ErrorClass | None:
    if _FLAGGED.search(message):
        return "content_policy"
    if status in _STATUS_SPEAKS:
        return None
    return next((named for pattern, named in _BY_PHRASE if pattern.search(message)), None)


_VAGUE: Final = frozenset(("bad_request", "server"))
"""`invalid_request_error` comes with 404, 409 and 413, `server_error` with 408: there the status says more."""

_STATUS_SPEAKS: Final = frozenset({401, 403, 500, 502, 503, 504, 529})
"""Here the status is clearer than any phrase."""

_FLAGGED: Final = re.compile(r"\b(?:input|prompt|request) was flagged", re.I)
"""OpenRouter's moderation answers 403, which is no word about the key
(https://openrouter.ai/docs/api-reference/errors, 2025-10)."""

_BY_WORD: Final[dict[str, ErrorClass]] = {
    # OpenAI and those who speak its dialect
    "rate_limit_exceeded": "rate_limit",
    "rate_limit_error": "rate_limit",
    "requests": "rate_limit",
    "tokens": "rate_limit",
    "too_many_requests": "rate_limit",
    "insufficient_quota": "quota",
    "billing_hard_limit_reached": "quota",
    "billing_not_active": "quota",
    "insufficient_balance": "quota",
    "insufficient_credits": "quota",
    "billing_error": "quota",
    "invalid_api_key": "bad_credential",
    "authentication_error": "bad_credential",
    "permission_error": "bad_credential",
    "permission_denied": "bad_credential",
    "unauthenticated": "bad_credential",
    "account_deactivated": "bad_credential",
    "model_not_found": "model_missing",
    "model_not_available": "model_missing",
    "deploymentnotfound": "model_missing",
    "not_found_error": "model_missing",
    "not_found": "model_missing",
    "context_length_exceeded": "context_length",
    "string_above_max_length": "context_length",
    "request_too_large": "too_large",
    "content_policy_violation": "content_policy",
    "content_filter": "content_policy",
    "moderation_blocked": "content_policy",
    "server_error": "server",
    "api_error": "server",
    "internal_server_error": "server",
    "internal": "server",
    "overloaded_error": "overloaded",
    "overloaded": "overloaded",
    "engine_overloaded": "overloaded",
    "server_overloaded": "overloaded",
    "service_unavailable": "overloaded",
    "unavailable": "overloaded",
    "timeout_error": "server",
    "deadline_exceeded": "server",
    "resource_exhausted": "rate_limit",
    "malformed_answer": "malformed",
    "invalid_request_error": "bad_request",
    "invalid_argument": "bad_request",
    "failed_precondition": "bad_request",
    "bad_request": "bad_request",
    "unprocessable_entity": "bad_request",
}

_BY_PHRASE: Final[tuple[tuple[re.Pattern[str], ErrorClass], ...]] = (
    (
        re.compile(
            r"context[ _](?:length|window)|maximum context|prompt is too long|too many (?:input )?tokens"
            r"|input token count.*exceeds|exceeds? the (?:model's )?(?:maximum )?(?:context|number of tokens)",
            re.I,
        ),
        "context_length",
    ),
    (
        re.compile(
            r"credit balance is too low|exceeded your current quota|insufficient (?:quota|balance|credits)", re.I
        ),
        "quota",
    ),
    (re.compile(r"api[ _]key (?:not valid|expired|is invalid)|invalid (?:x-)?api[ -]key", re.I), "bad_credential"),
    (re.compile(r"content (?:management )?policy|safety (?:system|filter)|content filter", re.I), "content_policy"),
)

_BY_STATUS: Final[dict[int, ErrorClass]] = {
    401: "bad_credential",
    402: "quota",
    403: "bad_credential",
    404: "model_missing",
    408: "retryable_conflict",
    409: "retryable_conflict",
    413: "too_large",
    425: "retryable_conflict",
    429: "rate_limit",
    503: "overloaded",
    529: "overloaded",
}
