"""`tollway usage explain rq_…`: why each candidate of a request was taken, left or skipped, in sentences."""

from collections.abc import Iterator, Mapping
from typing import Final

from tollway.cli.remote import AsJson, Body, at, remote
from tollway.cli.tables import one_line, print_json
from tollway.wire.refusals import REFUSALS

NEXT: Final[dict[str, str]] = {
    "succeeded": "",
    "next_key": "so the next provider key was tried",
    "next_quota_pool": "so the next step of the routing rule was tried",
    "next_backend": "so the next provider or model was tried",
    "managed_fallback": "so the operator's credential was tried",
    "retry_same_backend": "so the same candidate was tried again",
    "fail_fast": "and nothing else was tried, since nothing may follow",
    "exhausted": "and nothing was left to try",
}
"""What an attempt's `retryAction` means."""

REASONS: Final[dict[str, str]] = {
    "connect": "it could not be reached",
    "timeout": "it did not answer within its limit",
    "cut": "its answer ended before it was whole",
    "retryable_conflict": "it asked to try again",
    "rate_limit": "it limits the rate",
    "quota": "its credential's quota is used up",
    "overloaded": "it is overloaded",
    "server": "it failed inside",
    "bad_credential": "it refused the credential",
    "model_missing": "it does not have the model",
    "context_length": "the input is too long for the model",
    "too_large": "the request is too large for it",
    "bad_request": "it refused the request as not valid",
    "content_policy": "its content policy refused the request",
    "malformed": "its answer was not of its dialect",
    "error_in_stream": "it reported an error inside the stream",
    "client_aborted": "the client hung up",
    "credit_exhausted": "the credit was used up",
    "gateway_failed": "a part of the gateway failed",
    "witness": "the adapter that made it was lost; this is what the client got",
    "deadline": "the request's time was used up",
    "budget": "the retry budget was used up",
    "no_candidates": "no other candidate was left",
    "retry_after_beyond_deadline": "the wait that it named does not fit the deadline",
}
"""What an attempt's `reason` or `errorClass` means."""

ENDINGS: Final[dict[str, str]] = {
    "settled": "charged",
    "settled_late": "charged late, after its hold had expired:",
    "voided": "not charged:",
    "expired": "its hold expired without a report:",
    "conflict": "not charged, its report came too late:",
}
HEALTH: Final[dict[str, str]] = {
    "open": "tried last: out of service",
    "half_open": "tried last: another request was probing whether it is back",
}


def explain(id: str, as_json: AsJson = False) -> None:  # noqa: A002  the API's own word
    """Why each candidate of a request was taken, left or skipped."""
    with remote() as api:
        found = api.get(at("/usage/requests", id))
    if as_json:
        print_json(found)
        return
    for line in told(found):
        print(one_line(line))


def told(found: Body) -> Iterator[str]:
    """The lines."""
    yield f"{found['requestId']}: {_said(ENDINGS, found['ending'])} {found['totalCost']} dollars"
    if found["strategy"]:
        yield f"order: {found['strategy']}"
    yield from map(_attempt, found["attempts"])
    yield from map(_skipped, found["skipped"])


def _said(table: Mapping[str, str], word: str) -> str:
    """A word in a sentence's part; one that is not known stands for itself."""
    return table.get(word, word)


def _attempt(attempt: Body) -> str:
    event = attempt["event"]
    status = f", status {event['statusCode']}" if event["statusCode"] else ""
    head = f"{event['attemptNumber']}. {_target(event)} after {attempt['upstreamDurationMs']} ms{status}"
    return f"{head}: {', '.join(part for part in (_how(attempt), _why(attempt), _then(attempt)) if part)}"


def _target(event: Body) -> str:
    key = event["providerKeyDisplayName"] or event["providerKeyId"]
    credential = {"user": f"key {key}" if key else "no key"}.get(event["keySource"], "managed")
    return f"{event['provider']}:{event['model']} ({credential})"


def _how(attempt: Body) -> str:
    if attempt["completion"] == "succeeded":
        return "served" if attempt["served"] else "succeeded"
    return f"{attempt['completion'].replace('_', ' ')}{', after content had been sent' * attempt['served']}"


def _why(attempt: Body) -> str:
    """The fault, and what else kept the request from moving on."""
    fault, reason = attempt["event"]["errorClass"], attempt["reason"]
    return "; ".join(_said(REASONS, word) for word in dict.fromkeys((fault, reason)) if word)


def _then(attempt: Body) -> str:
    if attempt["completion"] == "succeeded" or attempt["reason"] in ("client_aborted", "witness"):
        return ""
    return _said(NEXT, attempt["retryAction"])


def _skipped(skipped: Body) -> str:
    name = f"{skipped['provider']}:{skipped['model']}" if skipped["provider"] else skipped["model"]
    credential = {"user": f" (key {skipped['providerKeyId']})", "ngrok": " (managed)"}.get(
        skipped["keySource"] or "", ""
    )
    return f"-  {name}{credential}: {_skipped_why(skipped['reason'])}"


def _skipped_why(reason: str) -> str:
    code, _, detail = reason.partition(":")
    if code in HEALTH:
        return f"{HEALTH[code]} ({_said(REASONS, detail)})"
    rule = REFUSALS.get(code)
    return f"skipped: {rule.sentence if rule is not None else reason}"
