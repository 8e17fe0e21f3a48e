"""`tollway usage`: what was used and what it cost."""

import re
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Final

import typer

from tollway.cli.errors import CommandError
from tollway.cli.explain import explain
from tollway.cli.remote import AsJson, Limit, at, remote
from tollway.cli.tables import print_json, print_rows

app = typer.Typer(no_args_is_help=True)
app.command()(explain)
COLUMNS: Final = {
    "eventTime": "WHEN",
    "requestId": "REQUEST",
    "attemptNumber": "TRY",
    "provider": "PROVIDER",
    "model": "MODEL",
    "statusCode": "STATUS",
    "inputTokens": "IN",
    "outputTokens": "OUT",
    "totalCost": "DOLLARS",
}
ATTEMPTS: Final = {
    "event.attemptNumber": "TRY",
    "event.provider": "PROVIDER",
    "event.model": "MODEL",
    "event.statusCode": "STATUS",
    "completion": "COMPLETION",
    "retryAction": "THEN",
    "upstreamDurationMs": "MS",
    "event.totalCost": "DOLLARS",
    "event.attemptId": "SPAN",
}
BUCKETS: Final = {
    "bucketStart": "DAY",
    "groupKey": "GROUP",
    "requests": "REQUESTS",
    "errors": "ERRORS",
    "cost": "DOLLARS",
}
Since = Annotated[str, typer.Option(help="RFC 3339 time, or how long ago: 90m, 24h, 7d.")]
Until = Annotated[str | None, typer.Option(help="RFC 3339 time; now when absent.")]
_AGO: Final = re.compile(r"(\d{1,6})([mhd])")
_UNITS: Final = {"m": "minutes", "h": "hours", "d": "days"}


@app.command("list")
def list_usage(
    since: Since = "24h",
    until: Until = None,
    key: Annotated[str | None, typer.Option(help="Only this access key's.")] = None,
    attempts: Annotated[bool, typer.Option("--attempts", help="Every attempt, not the last of each request.")] = False,
    limit: Limit = 100,
    as_json: AsJson = False,
) -> None:
    """Requests, newest first."""
    query: dict[str, Any] = {"startTime": moment(since), "endTime": until, "accessKeyId": key}
    with remote() as api:
        rows = api.items("/usage", "aiGatewayUsage", limit, includeRetries=attempts or None, **query)
        print_rows(rows, COLUMNS, as_json=as_json)


@app.command()
def overview(
    since: Since = "7d",
    until: Until = None,
    by: Annotated[str, typer.Option(help="provider or accessKey.")] = "provider",
    as_json: AsJson = False,
) -> None:
    """Cost, requests and errors per day."""
    with remote() as api:
        found = api.get("/usage/overview", startTime=moment(since), endTime=until, groupBy=by)
    if as_json:
        print_json(found)
        return
    total = {"bucketStart": "total", "groupKey": "", **found["totals"]}
    print_rows([*found["buckets"], total], BUCKETS, as_json=False)


@app.command()
def request(id: str, as_json: AsJson = False) -> None:  # noqa: A002  the API's own word
    """One request with its attempts."""
    with remote() as api:
        found = api.get(at("/usage/requests", id))
    if as_json:
        print_json(found)
        return
    print_rows(found["attempts"], ATTEMPTS, as_json=False)


def moment(text: str) -> str:
    """An RFC 3339 time from one, or from how long ago it was."""
    ago = _AGO.fullmatch(text)
    if ago is None:
        if "T" not in text:
            raise CommandError(f"{text!r} is neither an RFC 3339 time nor a while such as 90m, 24h or 7d.")
        return text
    back = timedelta(**{_UNITS[ago[2]]: int(ago[1])})
    return (datetime.now(UTC) - back).isoformat(timespec="seconds").replace("+00:00", "Z")
