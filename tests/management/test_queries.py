"""Credits and usage: what the ledger says, in the API's words."""

import httpx
import pytest
from tests.management.conftest import Plane
from tests.management.test_contract import is_error

from tollway.wire import queries as q

START = {"startTime": "2026-01-01T00:00:00Z"}
ROW = q.UsageRow(
    id="us_2",
    event_ms=1_767_225_600_123,
    request_id="rq_1",
    access_key_id="aigk_1",
    attempt_id="00f067aa0ba902b7",
    attempt_number=2,
    is_final_attempt=True,
    provider="openai",
    provider_name="OpenAI",
    model="gpt-4o",
    model_name="GPT-4o",
    retry_action="succeeded",
    completion="succeeded",
    outcome="complete",
    certainty="reported",
    key_source="managed",
    is_error=False,
    is_served=True,
    status=200,
    stop_reason="stop",
    tokens_input=10,
    tokens_output=20,
    cost_nusd=1_250,
    duration_ms=321,
)
FIELDS = {
    "id", "eventTime", "requestId", "accessKeyId", "provider", "providerDisplayName", "model", "modelDisplayName",
    "attemptNumber", "isFinalAttempt", "statusCode", "timedOut", "isError", "isStreaming", "stopReason", "inputTokens",
    "outputTokens", "cacheReadTokens", "reasoningTokens", "totalCost", "keySource", "providerKeyId",
    "providerKeyDisplayName",
}  # fmt: skip
OURS = {"attemptId", "certainty", "errorClass", "serviceTier", "webSearches"}


async def test_the_balance_is_whole_cents_that_are_surely_there(plane: Plane, api: httpx.AsyncClient) -> None:
    plane.ledger.answers["GetBalance"] = q.Balance(9_994_999_999, 5_000_000, 0)
    assert (await api.get("/credits/balance")).json() == {"balanceCents": 999}


async def test_transactions_are_credits_and_usage_with_exact_amounts(plane: Plane, api: httpx.AsyncClient) -> None:
    plane.ledger.answers["ListTransactions"] = q.TransactionList(
        [
            q.Transaction("tx_2", "usage", -1_250, 1_767_225_600_000),
            q.Transaction("tx_1", "credits", 10_000_000_000, 1_767_139_200_000, "promotional", None, reason="welcome"),
        ],
        "tx_1",
    )
    page = (await api.get("/credits/transactions", params={"limit": 2})).json()
    assert page["items"] == [
        {"id": "tx_2", "type": "usage", "amountCents": 0, "amount": "-0.00000125", "category": None,
         "expiresAt": None, "createdAt": "2026-01-01T00:00:00Z", "reason": None},
        {"id": "tx_1", "type": "credits", "amountCents": 1000, "amount": "10", "category": "promotional",
         "expiresAt": None, "createdAt": "2025-12-31T00:00:00Z", "reason": "welcome"},
    ]  # fmt: skip
    assert page["nextPageUri"] == "http://gateway.test/api/credits/transactions?limit=2&beforeId=tx_1"
    await api.get(page["nextPageUri"])
    assert plane.ledger.asked[-1] == q.ListTransactions(plane.account_id, 2, "tx_1")


async def test_a_usage_row_has_the_fields_of_the_contract(plane: Plane, api: httpx.AsyncClient) -> None:
    plane.ledger.answers["ListUsage"] = q.UsageList([ROW], "next")
    page = (await api.get("/usage", params={**START, "includeRetries": "true"})).json()
    [row] = page["aiGatewayUsage"]
    assert set(row) == FIELDS | OURS
    assert (row["totalCost"], row["keySource"], row["eventTime"]) == ("0.00000125", "ngrok", "2026-01-01T00:00:00.123Z")
    assert (row["cacheReadTokens"], row["providerKeyId"]) == (None, None)
    await api.get(page["nextPageUri"])
    first, second = plane.ledger.asked
    assert (first.cursor, first.is_with_retries, first.end_ms) == ("", True, None)
    assert (second.cursor, second.is_with_retries) == ("next", True)


async def test_the_end_of_a_window_is_inclusive(plane: Plane, api: httpx.AsyncClient) -> None:
    plane.ledger.answers["ListUsage"] = q.UsageList([])
    window = {"startTime": "2026-01-01T01:00:00+01:00", "endTime": "2026-01-01T00:00:00Z", "accessKeyId": "aigk_1"}
    assert (await api.get("/usage", params=window)).json()["nextPageUri"] is None
    asked = plane.ledger.asked[0]
    assert (asked.start_ms, asked.end_ms, asked.access_key_id) == (1_767_225_600_000, 1_767_225_600_001, "aigk_1")


@pytest.mark.parametrize(
    ("path", "query", "field"),
    [
        ("/usage", {}, "startTime"),
        ("/usage", {"startTime": "yesterday"}, "startTime"),
        ("/usage", {**START, "endTime": "2025-01-01T00:00:00Z"}, "endTime"),
        ("/usage", {**START, "includeRetries": "perhaps"}, "includeRetries"),
        ("/usage/overview", {}, "startTime"),
        ("/usage/overview", {**START, "groupBy": "moon"}, "groupBy"),
    ],
)
async def test_bad_parameters_are_named(api: httpx.AsyncClient, path: str, query: dict[str, str], field: str) -> None:
    answer = await api.get(path, params=query)
    assert is_error(answer, 400, "validation")
    assert field in answer.json()["details"]


async def test_the_overview_groups_by_day_and_provider_unless_told(plane: Plane, api: httpx.AsyncClient) -> None:
    bucket = q.Bucket(1_767_225_600_000, "openai", 2_500_000_000, 3, 1)
    plane.ledger.answers["GetOverview"] = q.Overview([bucket], 2_500_000_000, 3, 1)
    body = (await api.get("/usage/overview", params=START)).json()
    assert set(body) == {"uri", "buckets", "totals"}
    assert body["buckets"] == [
        {"bucketStart": "2026-01-01T00:00:00Z", "groupKey": "openai", "cost": "2.5", "requests": 3, "errors": 1}
    ]
    assert body["totals"] == {"cost": "2.5", "requests": 3, "errors": 1}
    assert plane.ledger.asked[-1].group_by == "provider"


async def test_a_request_lists_its_attempts_in_order(plane: Plane, api: httpx.AsyncClient) -> None:
    import msgspec

    failed = msgspec.structs.replace(
        ROW, id="us_1", attempt_number=1, is_served=False, retry_action="next_backend", completion="failed",
        key_source="user", provider_key_id="aigpk_1", provider_key_name="ours", status=503, is_error=True, cost_nusd=0,
    )  # fmt: skip
    plane.ledger.answers["GetRequest"] = q.RequestUsage("rq_1", [failed, ROW], 1_250, "settled")
    body = (await api.get("/usage/requests/rq_1")).json()
    assert body["requestId"] == "rq_1"
    assert [set(attempt) for attempt in body["attempts"]] == [
        {"event", "served", "retryAction", "completion", "upstreamDurationMs", "reason"}
    ] * 2
    assert [attempt["served"] for attempt in body["attempts"]] == [False, True]
    assert body["attempts"][0]["event"]["providerKeyDisplayName"] == "ours"
    assert body["attempts"][0]["event"]["keySource"] == "user"


async def test_an_unknown_request_is_missing(api: httpx.AsyncClient) -> None:
    assert is_error(await api.get("/usage/requests/rq_x"), 404, "resource_missing")
