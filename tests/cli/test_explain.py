"""What `tollway usage explain` says of a request. That it says it of a real one is shown in tests/e2e."""

from typing import Any, get_args

from tollway.cli import explain
from tollway.dialects.faults import ErrorClass
from tollway.wire.queries import RequestUsage
from tollway.wire.usage import RetryAction


def attempt(number: int, **more: Any) -> dict[str, Any]:
    """An attempt as the API tells it."""
    event = {
        "attemptNumber": number,
        "provider": "openai",
        "model": "gpt-4o",
        "keySource": "ngrok",
        "providerKeyId": None,
        "providerKeyDisplayName": None,
        "statusCode": 200,
        "errorClass": None,
        **more.pop("event", {}),
    }
    told = {"served": False, "retryAction": "succeeded", "completion": "succeeded", "upstreamDurationMs": 20}
    return {"event": event, "reason": None, **told, **more}


def lines(*attempts: dict[str, Any], skipped: tuple[dict[str, Any], ...] = (), **more: Any) -> list[str]:
    body = {"requestId": "rq_1", "ending": "settled", "totalCost": "0.000001", "strategy": "ordered", **more}
    return list(explain.told({**body, "attempts": attempts, "skipped": skipped}))


def test_a_failover_is_told_attempt_by_attempt() -> None:
    failed = attempt(
        1,
        event={"keySource": "user", "providerKeyDisplayName": "ours", "statusCode": 429, "errorClass": "rate_limit"},
        reason="rate_limit",
        retryAction="managed_fallback",
        completion="failed",
    )
    assert lines(failed, attempt(2, served=True)) == [
        "rq_1: charged 0.000001 dollars",
        "order: ordered",
        "1. openai:gpt-4o (key ours) after 20 ms, status 429: failed, it limits the rate, "
        "so the operator's credential was tried",
        "2. openai:gpt-4o (managed) after 20 ms, status 200: served",
    ]


def test_what_ended_the_attempts_is_told_besides_the_last_fault() -> None:
    last = attempt(
        3,
        event={"statusCode": None, "errorClass": "timeout"},
        reason="budget",
        retryAction="exhausted",
        completion="timed_out",
    )
    assert lines(last, ending="voided", totalCost="0")[2] == (
        "3. openai:gpt-4o (managed) after 20 ms: timed out, it did not answer within its limit; "
        "the retry budget was used up, and nothing was left to try"
    )


def test_a_client_that_hung_up_is_no_failure_of_the_provider() -> None:
    gone = attempt(1, served=True, completion="unknown", reason="client_aborted", retryAction="fail_fast")
    assert lines(gone)[2].endswith(": unknown, after content had been sent, the client hung up")


def test_what_was_skipped_is_told_with_its_reason() -> None:
    skipped = (
        {"provider": None, "model": "models[0]", "keySource": None, "providerKeyId": None, "reason": "model_unknown"},
        {
            "provider": "groq",
            "model": "llama",
            "keySource": "user",
            "providerKeyId": "aigpk_1",
            "reason": "unsupported_parameter",
        },
        {"provider": "openai", "model": "o3", "keySource": "ngrok", "providerKeyId": None, "reason": "open:server"},
    )
    assert lines(attempt(1, served=True), skipped=skipped)[3:] == [
        "-  models[0]: skipped: The model is not in the catalog; qualify it as 'provider:model'.",
        "-  groq:llama (key aigpk_1): skipped: A field of the request cannot be carried to this provider.",
        "-  openai:o3 (managed): tried last: out of service (it failed inside)",
    ]


def test_every_word_of_the_books_has_its_sentence() -> None:
    assert set(explain.NEXT) == set(get_args(RetryAction))
    assert set(explain.REASONS) >= set(get_args(ErrorClass))
    assert set(explain.ENDINGS) == set(get_args(RequestUsage.__annotations__["ending"]))
