"""`tollway configs`: access key configurations (access lists and routing rules) and the account's settings."""

import json
import sys
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from tollway.cli.errors import CommandError
from tollway.cli.remote import AsJson, Limit, at, remote
from tollway.cli.tables import only_given, print_one, print_rows

app = typer.Typer(no_args_is_help=True)
PATH: Final = "/access-key-configurations"
COLUMNS: Final = {"id": "ID", "name": "NAME", "access": "ACCESS", "updatedAt": "CHANGED"}
Providers = Annotated[list[str] | None, typer.Option(help="A provider that may be called; repeat for more.")]
Models = Annotated[list[str] | None, typer.Option(help="A model that may be called; repeat for more.")]
RouterFile = Annotated[
    Path | None, typer.Option(help='Routing rules as JSON, {"rules": [...]}; - reads the standard input.')
]
Duration = Annotated[str | None, typer.Option(help="Such as 30s or 2m ('null': the default).")]
RetrySame = Annotated[
    str | None, typer.Option(help="When one candidate may be tried twice: never, retry-after or transient.")
]
Strategy = Annotated[str | None, typer.Option(help="The order of candidates, such as ordered or cheapest.")]
Rescue = Annotated[bool | None, typer.Option(help="Go on with a broken stream on the next model that can.")]
Tokens = Annotated[str | None, typer.Option(help="A number ('null': no cap).")]


@app.command("list")
def list_configs(limit: Limit = 100, as_json: AsJson = False) -> None:
    """Configurations, newest first."""
    with remote() as api:
        print_rows(api.items(PATH, "aiGatewayAccessKeyConfigurations", limit), COLUMNS, as_json=as_json)


@app.command()
def show(id: str, as_json: AsJson = False) -> None:  # noqa: A002  the API's own word
    """One configuration with its rules."""
    with remote() as api:
        print_one(api.get(at(PATH, id)), as_json=as_json)


@app.command()
def create(
    name: str, provider: Providers = None, model: Models = None, router: RouterFile = None, as_json: AsJson = False
) -> None:
    """Make a configuration; without providers and models it allows everything."""
    with remote() as api:
        print_one(api.post(PATH, {"name": name, **_scope(provider, model, router)}), as_json=as_json)


@app.command()
def update(
    id: str,  # noqa: A002
    name: Annotated[str | None, typer.Option()] = None,
    provider: Providers = None,
    model: Models = None,
    router: RouterFile = None,
    as_json: AsJson = False,
) -> None:
    """Change what is given: the access lists as a whole, the router as a whole."""
    body = only_given([("name", name)]) | _scope(provider, model, router)
    with remote() as api:
        print_one(api.patch(at(PATH, id), body), as_json=as_json)


def _scope(provider: list[str] | None, model: list[str] | None, router: Path | None) -> dict[str, Any]:
    access = only_given(
        [("providers", {"allow": provider} if provider else None), ("models", {"allow": model} if model else None)]
    )
    return only_given([("access", access or None), ("router", _read(router) if router else None)])


def _read(path: Path) -> Any:
    try:
        return json.loads(sys.stdin.read() if str(path) == "-" else path.read_text())
    except (OSError, ValueError) as error:
        raise CommandError(f"{path}: cannot be read as JSON ({error}).") from None


@app.command()
def delete(id: str) -> None:  # noqa: A002
    """Delete a configuration that no access key uses."""
    with remote() as api:
        api.delete(at(PATH, id))
    print(f"{id} is deleted.")


@app.command()
def settings(
    total_timeout: Duration = None,
    per_request_timeout: Duration = None,
    first_token_timeout: Duration = None,
    chunk_gap_timeout: Duration = None,
    connect_timeout: Duration = None,
    retry_same_candidate: RetrySame = None,
    strategy: Strategy = None,
    rescue_streams: Rescue = None,
    max_input_tokens: Tokens = None,
    max_output_tokens: Tokens = None,
    as_json: AsJson = False,
) -> None:
    """Show the account's settings, after changing what is given."""
    body = only_given(
        [
            ("totalTimeout", total_timeout),
            ("perRequestTimeout", per_request_timeout),
            ("firstTokenTimeout", first_token_timeout),
            ("chunkGapTimeout", chunk_gap_timeout),
            ("connectTimeout", connect_timeout),
            ("retrySameCandidate", retry_same_candidate),
            ("strategy", strategy),
            ("rescueStreams", rescue_streams),
            ("maxInputTokens", _count(max_input_tokens)),
            ("maxOutputTokens", _count(max_output_tokens)),
        ]
    )
    with remote() as api:
        found = api.patch("/gateway-config", body) if body else api.get("/gateway-config")
    print_one(found, as_json=as_json)


def _count(text: str | None) -> int | str | None:
    return int(text) if text and text.isdigit() else text
