"""Errors as the real providers word them: one row a fault, one cell a dialect.

Sources: the providers' API references and errors seen in their public issue trackers, September 2025 to June 2026.
Where a provider's true status differs from the obvious one, the cell says so: Anthropic reports an empty balance as
a 400 `invalid_request_error`, and Gemini a wrong key as a 400 with the reason `API_KEY_INVALID`.
"""

from collections.abc import Callable
from typing import Any, Literal

import msgspec
from msgspec import Struct
from msgspec.structs import replace

Family = Literal["openai", "anthropic", "gemini"]

encode = msgspec.json.Encoder().encode


class Cell(Struct, frozen=True):
    """One provider's error. `type` is the `status` word in Gemini; `reason` a detail of Gemini's."""

    status: int
    type: str
    message: str
    code: str | None = None
    param: str | None = None
    reason: str | None = None


class Refusal(Struct, frozen=True):
    """A row of the table. `retry_after` is sent unless the caller's options say otherwise."""

    openai: Cell
    anthropic: Cell
    gemini: Cell
    retry_after: str | None = None

    def cell(self, family: Family) -> Cell:
        return {"openai": self.openai, "anthropic": self.anthropic, "gemini": self.gemini}[family]


_RATE = Refusal(
    Cell(429, "requests", "Rate limit reached for {model} on requests per min (RPM): Limit 3, Used 3, Requested 1. "
         "Please try again in 20s.", "rate_limit_exceeded"),
    Cell(429, "rate_limit_error", "This request would exceed your organization's rate limit of 50 requests per "
         "minute. Please try again later."),
    Cell(429, "RESOURCE_EXHAUSTED", "Resource has been exhausted (e.g. check quota)."),
)  # fmt: skip

_OVERLOADED = Refusal(
    Cell(500, "server_error", "The server had an error while processing your request. Sorry about that!"),
    Cell(529, "overloaded_error", "Overloaded"),
    Cell(503, "UNAVAILABLE", "The model is overloaded. Please try again later."),
)
"""What goes wrong if nothing else is said: the error most often seen inside a stream."""

REFUSALS: dict[str, Refusal] = {
    "fail-400": Refusal(
        Cell(400, "invalid_request_error", "Invalid 'temperature': decimal above maximum value.",
             "decimal_above_max_value", "temperature"),
        Cell(400, "invalid_request_error", "temperature: range: 0..1"),
        Cell(400, "INVALID_ARGUMENT", "Request contains an invalid argument."),
    ),
    "fail-401": Refusal(
        Cell(401, "invalid_request_error", "Incorrect API key provided: ****{key}. You can find your API key at "
             "https://platform.openai.com/account/api-keys.", "invalid_api_key"),
        Cell(401, "authentication_error", "invalid x-api-key"),
        Cell(401, "UNAUTHENTICATED", "Request had invalid authentication credentials. Expected OAuth 2 access token, "
             "login cookie or other valid authentication credential."),
    ),
    "fail-key": Refusal(
        Cell(401, "invalid_request_error", "Incorrect API key provided: ****{key}. You can find your API key at "
             "https://platform.openai.com/account/api-keys.", "invalid_api_key"),
        Cell(401, "authentication_error", "invalid x-api-key"),
        Cell(400, "INVALID_ARGUMENT", "API key not valid. Please pass a valid API key.", reason="API_KEY_INVALID"),
    ),
    "fail-402": Refusal(
        Cell(402, "insufficient_quota", "Insufficient Balance", "invalid_request_error"),
        Cell(402, "billing_error", "There is an issue with your billing or payment information."),
        Cell(402, "RESOURCE_EXHAUSTED", "Billing account is not in good standing."),
    ),
    "fail-403": Refusal(
        Cell(403, "request_forbidden", "Country, region, or territory not supported",
             "unsupported_country_region_territory"),
        Cell(403, "permission_error", "Your API key does not have permission to use the specified resource."),
        Cell(403, "PERMISSION_DENIED", "Permission denied on resource project.", reason="SERVICE_DISABLED"),
    ),
    "fail-404": Refusal(
        Cell(404, "invalid_request_error", "The model `{model}` does not exist or you do not have access to it.",
             "model_not_found"),
        Cell(404, "not_found_error", "model: {model}"),
        Cell(404, "NOT_FOUND", "models/{model} is not found for API version v1beta, or is not supported for "
             "generateContent. Call ListModels to see the list of available models and their supported methods."),
    ),
    "fail-408": Refusal(
        Cell(408, "server_error", "The request timed out."),
        Cell(408, "timeout_error", "Request timed out."),
        Cell(408, "DEADLINE_EXCEEDED", "Deadline expired before operation could complete."),
    ),
    "fail-409": Refusal(
        Cell(409, "invalid_request_error", "The resource was updated by another request."),
        Cell(409, "conflict_error", "The resource was updated by another request."),
        Cell(409, "ABORTED", "The operation was aborted."),
    ),
    "fail-413": Refusal(
        Cell(413, "invalid_request_error", "Request body is too large."),
        Cell(413, "request_too_large", "Request exceeds the maximum size"),
        Cell(413, "INVALID_ARGUMENT", "Request payload size exceeds the limit: 20971520 bytes."),
    ),
    "fail-422": Refusal(
        Cell(422, "invalid_request_error", "Unprocessable entity."),
        Cell(422, "invalid_request_error", "Unprocessable entity."),
        Cell(422, "FAILED_PRECONDITION", "The request cannot be processed."),
    ),
    "fail-context": Refusal(
        Cell(400, "invalid_request_error", "This model's maximum context length is {window} tokens. However, your "
             "messages resulted in {tokens} tokens. Please reduce the length of the messages.",
             "context_length_exceeded", "messages"),
        Cell(400, "invalid_request_error", "prompt is too long: {tokens} tokens > {window} maximum"),
        Cell(400, "INVALID_ARGUMENT", "The input token count ({tokens}) exceeds the maximum number of tokens allowed "
             "({window})."),
    ),
    "fail-content-policy": Refusal(
        Cell(400, "invalid_request_error", "Your request was rejected as a result of our safety system.",
             "content_policy_violation"),
        Cell(400, "invalid_request_error", "Output blocked by content filtering policy"),
        Cell(400, "INVALID_ARGUMENT", "The request was blocked by the safety filters.", reason="SAFETY"),
    ),
    "fail-429": _RATE,
    "fail-429-retry-after": replace(_RATE, retry_after="1"),
    "fail-quota": Refusal(
        Cell(429, "insufficient_quota", "You exceeded your current quota, please check your plan and billing details. "
             "For more information on this error, read the docs: "
             "https://platform.openai.com/docs/guides/error-codes/api-errors.", "insufficient_quota"),
        Cell(400, "invalid_request_error", "Your credit balance is too low to access the Anthropic API. Please go to "
             "Plans & Billing to upgrade or purchase credits."),
        Cell(429, "RESOURCE_EXHAUSTED", "You exceeded your current quota, please check your plan and billing details. "
             "For more information on this error, head to: https://ai.google.dev/gemini-api/docs/rate-limits."),
    ),
    "fail-500": Refusal(
        Cell(500, "server_error", "The server had an error while processing your request. Sorry about that!"),
        Cell(500, "api_error", "Internal server error"),
        Cell(500, "INTERNAL", "An internal error has occurred. Please retry."),
    ),
    "fail-502": Refusal(
        Cell(502, "server_error", "Bad gateway."),
        Cell(502, "api_error", "Bad gateway."),
        Cell(502, "UNAVAILABLE", "Bad gateway."),
    ),
    "fail-503": Refusal(
        Cell(503, "server_error", "The engine is currently overloaded, please try again later"),
        Cell(503, "api_error", "Service unavailable."),
        Cell(503, "UNAVAILABLE", "The model is overloaded. Please try again later."),
    ),
    "fail-504": Refusal(
        Cell(504, "server_error", "Gateway timeout."),
        Cell(504, "timeout_error", "Request timed out."),
        Cell(504, "DEADLINE_EXCEEDED", "Deadline expired before operation could complete."),
    ),
    "fail-529": Refusal(
        Cell(529, "overloaded_error", "Overloaded"),
        Cell(529, "overloaded_error", "Overloaded"),
        Cell(529, "UNAVAILABLE", "The model is overloaded. Please try again later."),
    ),
}  # fmt: skip
"""Fault → how each provider says it."""


def refusal(name: str, status: int | None) -> Refusal:
    """The row of a fault. A status of the caller's is put upon it; for a fault without a row it picks the row."""
    row = REFUSALS.get(name) or REFUSALS.get(f"fail-{status}", _OVERLOADED)
    return row if status is None else with_status(row, status)


def with_status(row: Refusal, status: int) -> Refusal:
    """The same error under another HTTP status."""
    return replace(
        row,
        openai=replace(row.openai, status=status),
        anthropic=replace(row.anthropic, status=status),
        gemini=replace(row.gemini, status=status),
    )


def malformed(message: str) -> Refusal:
    """The request itself is wrong: what a real provider says to a broken body."""
    return Refusal(
        Cell(400, "invalid_request_error", message),
        Cell(400, "invalid_request_error", message),
        Cell(400, "INVALID_ARGUMENT", message),
    )


def openai_error(cell: Cell, request_id: str, retry_s: str | None) -> dict[str, Any]:
    del request_id, retry_s
    return {"error": {"message": cell.message, "type": cell.type, "param": cell.param, "code": cell.code}}


def anthropic_error(cell: Cell, request_id: str, retry_s: str | None) -> dict[str, Any]:
    del retry_s
    return {"type": "error", "error": {"type": cell.type, "message": cell.message}, "request_id": request_id}


def gemini_error(cell: Cell, request_id: str, retry_s: str | None) -> dict[str, Any]:
    del request_id
    error: dict[str, Any] = {"code": cell.status, "message": cell.message, "status": cell.type}
    details = [*_error_info(cell), *_retry_info(retry_s)]
    return {"error": {**error, "details": details} if details else error}


def _error_info(cell: Cell) -> list[dict[str, Any]]:
    kind = "type.googleapis.com/google.rpc.ErrorInfo"
    row = {"@type": kind, "reason": cell.reason, "domain": "googleapis.com"}
    return [row] if cell.reason else []


def _retry_info(retry_s: str | None) -> list[dict[str, Any]]:
    kind = "type.googleapis.com/google.rpc.RetryInfo"
    return [{"@type": kind, "retryDelay": f"{retry_s}s"}] if retry_s and retry_s.isdigit() else []


WRITERS: dict[Family, Callable[[Cell, str, str | None], dict[str, Any]]] = {
    "openai": openai_error,
    "anthropic": anthropic_error,
    "gemini": gemini_error,
}
"""Family of dialects → the JSON of its errors, given the cell, the request id and the seconds to wait."""
