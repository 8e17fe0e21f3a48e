"""`/usage`: one row per attempt, sums per day, and one request with all its attempts."""

from typing import Annotated, Any, Final, Literal

from fastapi import APIRouter, Query

from tollway.ingress.management.caller import AtDesk
from tollway.ingress.management.errors import Refused
from tollway.ingress.management.resources import ERRORS, MISSING, PAGE_MAX, Limit
from tollway.ingress.management.shapes import Instant, Listed, Moment, Shown, instant_ms, rfc3339
from tollway.wire.money import dollars
from tollway.wire.plan import KEYLESS, Skipped
from tollway.wire.queries import (
    Bucket,
    GetOverview,
    GetRequest,
    ListUsage,
    Overview,
    RequestUsage,
    UsageList,
    UsageRow,
)
from tollway.wire.refusals import refuse
from tollway.wire.usage import Certainty, Completion, RetryAction

USAGE: Final = "/usage"
MANAGED: Final = "managed"
KEY_SOURCES: Final[dict[str, Literal["ngrok", "user"]]] = {"managed": "ngrok", "user": "user"}
"""The reference product's word for managed credentials is its own name."""

Start = Annotated[Instant, Query(alias="startTime", description="Inclusive.")]
End = Annotated[Instant | None, Query(alias="endTime", description="Inclusive; now when absent.")]
GroupBy = Annotated[Literal["provider", "accessKey"], Query(alias="groupBy")]


class UsageShown(Shown):
    """One attempt. Unknown counts are null. `totalCost` is decimal dollars, exact; only a served attempt costs.

    `attemptId` is the id of the attempt's span in the trace. `certainty`: whether the provider reported the tokens,
    Tollway counted them, or they are estimated. `serviceTier`: the service at whose own price it was charged, if any.
    `webSearches`: searches of the provider, which are in the cost on managed credentials.
    """

    id: str
    event_time: Moment
    request_id: str
    access_key_id: str
    provider: str
    provider_display_name: str
    model: str
    model_display_name: str
    attempt_number: int
    is_final_attempt: bool
    status_code: int | None
    timed_out: bool
    is_error: bool
    is_streaming: bool
    stop_reason: str | None
    input_tokens: int | None
    output_tokens: int | None
    cache_read_tokens: int | None
    reasoning_tokens: int | None
    total_cost: str
    key_source: Literal["ngrok", "user"]
    provider_key_id: str | None
    provider_key_display_name: str | None
    attempt_id: str
    certainty: Certainty
    error_class: str | None
    service_tier: str | None
    web_searches: int | None


class UsageListShown(Listed):
    """Newest first."""

    aiGatewayUsage: list[UsageShown]  # noqa: N815  the wrapper's own spelling


class BucketShown(Shown):
    """One UTC day of one group."""

    bucket_start: Moment
    group_key: str
    cost: str
    requests: int
    errors: int


class TotalsShown(Shown):
    """All of the window."""

    cost: str
    requests: int
    errors: int


class OverviewShown(Shown):
    """By day, then by group."""

    uri: str
    buckets: list[BucketShown]
    totals: TotalsShown


class SkippedShown(Shown):
    """A candidate that was not tried, or not in its place, and why. `provider` null: `model` is the name that was asked
    for, or its place in the request where the name means nothing."""

    provider: str | None
    model: str
    key_source: Literal["ngrok", "user"] | None
    provider_key_id: str | None
    reason: str


class AttemptShown(Shown):
    """One attempt of a request. At most one of them is `served`. `reason`: why it moved on or ended, in a word."""

    event: UsageShown
    served: bool
    retry_action: RetryAction
    completion: Completion
    upstream_duration_ms: int
    reason: str | None


class RequestShown(Shown):
    """A request with its attempts, in order, and how they were chosen. `ending` is how the hold ended."""

    request_id: str
    uri: str
    attempts: list[AttemptShown]
    strategy: str | None
    skipped: list[SkippedShown]
    ending: str
    total_cost: str


def usage_router() -> APIRouter:
    """The three addresses."""
    router = APIRouter(responses=ERRORS, tags=["Usage"])
    router.add_api_route(USAGE, list_usage, methods=["GET"], response_model=UsageListShown)
    router.add_api_route(f"{USAGE}/overview", get_overview, methods=["GET"], response_model=OverviewShown)
    router.add_api_route(
        f"{USAGE}/requests/{{requestId}}", get_request, methods=["GET"], response_model=RequestShown, responses=MISSING
    )
    return router


async def list_usage(
    desk: AtDesk,
    start_time: Start,
    end_time: End = None,
    access_key_id: Annotated[str | None, Query(alias="accessKeyId", max_length=255)] = None,
    include_retries: Annotated[bool, Query(alias="includeRetries")] = False,
    cursor: Annotated[str | None, Query(max_length=1024)] = None,
    limit: Limit = PAGE_MAX,
) -> Any:
    """Final attempts, or with `includeRetries` every attempt."""
    start_ms, end_ms = _window(start_time, end_time)
    command = ListUsage(desk.by.account_id, start_ms, end_ms, access_key_id, include_retries, cursor or "", limit)
    page = await desk.query(command, UsageList)
    asked: dict[str, str | int | None] = {
        "startTime": start_time,
        "endTime": end_time,
        "accessKeyId": access_key_id,
        "includeRetries": "true" if include_retries else None,
        "limit": limit if limit != PAGE_MAX else None,
    }
    return UsageListShown(
        aiGatewayUsage=list(map(_row, page.rows)),
        uri=desk.uris.to(USAGE, **asked, cursor=cursor),
        next_page_uri=desk.uris.to(USAGE, **asked, cursor=page.next_cursor) if page.next_cursor else None,
    )


def _window(start_time: str, end_time: str | None) -> tuple[int, int | None]:
    """The API's end is inclusive, the query's is not."""
    start_ms = instant_ms(start_time)
    end_ms = None if end_time is None else instant_ms(end_time) + 1
    if end_ms is not None and end_ms <= start_ms:
        raise Refused(refuse("validation", "endTime lies before startTime.", param="endTime"))
    return start_ms, end_ms


def _row(row: UsageRow) -> UsageShown:
    is_user = row.key_source == "user"
    return UsageShown(
        id=row.id,
        event_time=rfc3339(row.event_ms),
        request_id=row.request_id,
        access_key_id=row.access_key_id,
        provider=row.provider,
        provider_display_name=row.provider_name,
        model=row.model,
        model_display_name=row.model_name,
        attempt_number=row.attempt_number,
        is_final_attempt=row.is_final_attempt,
        status_code=row.status,
        timed_out=row.is_timed_out,
        is_error=row.is_error,
        is_streaming=row.is_streaming,
        stop_reason=row.stop_reason,
        input_tokens=row.tokens_input,
        output_tokens=row.tokens_output,
        cache_read_tokens=row.tokens_cache_read,
        reasoning_tokens=row.tokens_reasoning,
        total_cost=dollars(row.cost_nusd),
        key_source=KEY_SOURCES[row.key_source],
        provider_key_id=row.provider_key_id if is_user else None,
        provider_key_display_name=row.provider_key_name if is_user else None,
        attempt_id=row.attempt_id,
        certainty=row.certainty,
        error_class=row.error_class,
        service_tier=row.service,
        web_searches=row.searches,
    )


async def get_overview(
    desk: AtDesk, start_time: Start, end_time: End = None, group_by: GroupBy = "provider"
) -> OverviewShown:
    """Cost, requests and errors per UTC day."""
    start_ms, end_ms = _window(start_time, end_time)
    found = await desk.query(GetOverview(desk.by.account_id, start_ms, end_ms, group_by), Overview)
    uri = desk.uris.to(f"{USAGE}/overview", startTime=start_time, endTime=end_time, groupBy=group_by)
    totals = TotalsShown(cost=dollars(found.cost_nusd), requests=found.requests, errors=found.errors)
    return OverviewShown(uri=uri, buckets=list(map(_bucket, found.buckets)), totals=totals)


def _bucket(bucket: Bucket) -> BucketShown:
    return BucketShown(
        bucket_start=rfc3339(bucket.start_ms),
        group_key=bucket.group_key,
        cost=dollars(bucket.cost_nusd),
        requests=bucket.requests,
        errors=bucket.errors,
    )


async def get_request(desk: AtDesk, requestId: str) -> RequestShown:  # noqa: N803  the API's own word
    """Every attempt of one request."""
    found = await desk.query(GetRequest(desk.by.account_id, requestId), RequestUsage)
    uri = desk.uris.to(f"{USAGE}/requests/{found.request_id}")
    return RequestShown(
        request_id=found.request_id,
        uri=uri,
        attempts=list(map(_attempt, found.rows)),
        strategy=found.strategy or None,
        skipped=list(map(show_skipped, found.skipped)),
        ending=found.ending,
        total_cost=dollars(found.charged_nusd),
    )


def show_skipped(skipped: Skipped) -> SkippedShown:
    """A skipped candidate as a body."""
    return SkippedShown(
        provider=skipped.provider or None,
        model=skipped.model,
        key_source=key_source_of(skipped.credential_id),
        provider_key_id=own_key_of(skipped.credential_id),
        reason=skipped.reason,
    )


def key_source_of(credential_id: str) -> Literal["ngrok", "user"] | None:
    """Whose credential it is; a provider as a whole has none."""
    if not credential_id:
        return None
    return KEY_SOURCES["managed" if credential_id.startswith(MANAGED) else "user"]


def own_key_of(credential_id: str) -> str | None:
    """The account's own provider key, if it is one."""
    return None if not credential_id or credential_id.startswith((MANAGED, KEYLESS)) else credential_id


def _attempt(row: UsageRow) -> AttemptShown:
    return AttemptShown(
        event=_row(row),
        served=row.is_served,
        retry_action=row.retry_action,
        completion=row.completion,
        upstream_duration_ms=row.duration_ms,
        reason=row.reason,
    )
