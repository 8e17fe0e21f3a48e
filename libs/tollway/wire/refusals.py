"""Refusals are values from one table: what a caller is told when Tollway says no.

A refusal is not a bug: it has a stable code, a status, a sentence that says what to do, and it writes nothing durable.
`docs` for callers and the test of the product's error table are made from `REFUSALS`.
"""

from typing import Final, Literal

import msgspec

LogLevel = Literal["debug", "info", "warning", "error"]


class Rule(msgspec.Struct, frozen=True):
    """One row of the table. `kind` is the OpenAI `type`; `anthropic` the Anthropic error type."""

    status: int
    kind: str
    anthropic: str
    is_retryable: bool
    level: LogLevel
    sentence: str


class Refusal(msgspec.Struct, frozen=True, tag="Refusal"):
    """A no with its reason. `param` is the path of the offending field, `retry_after_s` goes to `Retry-After`."""

    code: str
    message: str
    param: str | None = None
    retry_after_s: int | None = None
    details: dict[str, str] = {}

    @property
    def rule(self) -> Rule:
        """The table's row for this code."""
        return REFUSALS[self.code]


def refuse(
    code: str,
    message: str | None = None,
    *,
    param: str | None = None,
    retry_after_s: int | None = None,
    details: dict[str, str] | None = None,
) -> Refusal:
    """Make a refusal from the table; `message` replaces the row's sentence where more is known."""
    return Refusal(code, message or REFUSALS[code].sentence, param, retry_after_s, details or {})


def _rule(
    status: int, kind: str, anthropic: str, sentence: str, *, retry: bool = False, level: LogLevel = "info"
) -> Rule:
    return Rule(status, kind, anthropic, retry, level, sentence)


_BAD: Final = "invalid_request_error"
_AUTH: Final = "authentication_error"
_DENIED: Final = "permission_error"
_API: Final = "api_error"

REFUSALS: Final[dict[str, Rule]] = {
    # the data plane; codes and statuses of the product contract
    "invalid_request_body": _rule(400, _BAD, _BAD, "The request body is not valid."),
    "no_api_key": _rule(401, _AUTH, _AUTH, "Send an access key as 'Authorization: Bearer tw-…' or 'x-api-key: tw-…'."),
    "invalid_access_key": _rule(401, _AUTH, _AUTH, "The access key is malformed, unknown, disabled or expired."),
    "no_provider_key": _rule(400, _BAD, _BAD, "No credential for this provider; add a provider key or allow managed."),
    "provider_not_allowed": _rule(422, _BAD, _DENIED, "This access key may not use that provider."),
    "model_not_allowed": _rule(422, _BAD, _DENIED, "This access key may not use that model."),
    "model_unknown": _rule(422, _BAD, _BAD, "The model is not in the catalog; qualify it as 'provider:model'."),
    "model_unpriced": _rule(422, _BAD, _BAD, "The model has no price for this, so it needs your own provider key."),
    "unsupported_parameter": _rule(400, _BAD, _BAD, "A field of the request cannot be carried to this provider."),
    "insufficient_credits": _rule(403, "insufficient_quota", "billing_error", "The credit does not cover the request."),
    "input_too_large": _rule(413, _BAD, "request_too_large", "The input is larger than the account's limit."),
    "body_too_large": _rule(413, _BAD, "request_too_large", "The request body is larger than the gateway accepts."),
    "rate_limited": _rule(429, "rate_limit_error", "rate_limit_error", "Too many requests; slow down.", retry=True),
    "idempotency_conflict": _rule(409, _BAD, _BAD, "The Idempotency-Key was used before with another body."),
    "upstream_unreachable": _rule(502, _API, _API, "The provider could not be reached.", retry=True, level="warning"),
    "upstream_error": _rule(502, _API, _API, "The provider's answer was not usable.", retry=True, level="warning"),
    "upstream_timeout": _rule(
        504, "timeout_error", "timeout_error", "The provider did not answer in time.", retry=True, level="warning"
    ),
    "all_providers_failed": _rule(503, _API, "overloaded_error", "Every provider failed.", retry=True, level="warning"),
    "total_timeout": _rule(504, "timeout_error", "timeout_error", "The total timeout was used up.", retry=True),
    "gateway_unavailable": _rule(503, _API, _API, "A part of the gateway does not answer.", retry=True, level="error"),
    "ledger_unavailable": _rule(503, _API, _API, "The ledger does not answer.", retry=True, level="error"),
    "ledger_busy": _rule(503, _API, "overloaded_error", "The ledger is busy; try again.", retry=True, level="warning"),
    "not_found": _rule(404, _BAD, "not_found_error", "There is nothing at this address."),
    "method_not_allowed": _rule(405, _BAD, _BAD, "This address does not take that method."),
    "internal_error": _rule(500, _API, _API, "A fault inside the gateway; it was logged.", retry=True, level="error"),
    "client_closed": _rule(499, _API, _API, "The client closed the connection."),
    # the ledger's refusals to other services
    "hold_conflict": _rule(409, _BAD, _BAD, "The hold exists with other contents."),
    "hold_unknown": _rule(404, _BAD, _BAD, "There is no such open hold."),
    "hold_expired": _rule(409, _BAD, _BAD, "The command came after its deadline."),
    "duplicate_payment": _rule(409, _BAD, _BAD, "That payment was booked before with another amount."),
    "invalid_amount": _rule(400, _BAD, _BAD, "The amount is out of range."),
    # the management plane
    "unauthorized": _rule(401, _AUTH, _AUTH, "Send an API key as 'Authorization: Bearer …'."),
    "forbidden": _rule(403, _DENIED, _DENIED, "This API key may not do that."),
    "resource_missing": _rule(404, _BAD, "not_found_error", "No such resource."),
    "validation": _rule(400, _BAD, _BAD, "A field is not valid."),
    "conflict": _rule(409, _BAD, _BAD, "The resource is in a state that does not allow this."),
    "in_use": _rule(409, _BAD, _BAD, "The resource is still in use."),
    "feature_disabled": _rule(501, _API, _API, "The operator has not enabled this."),
}
