"""`tollway provider-keys`: the account's own keys of providers. Values come from a prompt, a pipe or a variable, never
from an argument, which other users of the machine could read."""

import os
import sys
from typing import Annotated, Final

import typer

from tollway.cli.errors import CommandError
from tollway.cli.remote import AsJson, Limit, at, remote
from tollway.cli.tables import only_given, print_one, print_rows

app = typer.Typer(no_args_is_help=True)
PATH: Final = "/provider-keys"
VARIABLE: Final = "TOLLWAY_PROVIDER_KEY"
COLUMNS: Final = {"id": "ID", "providerId": "PROVIDER", "name": "NAME", "keyRedacted": "KEY", "lastUsed": "LAST USED"}
Name = Annotated[str | None, typer.Option(help="A label.")]


@app.command("list")
def list_keys(
    provider: Annotated[str | None, typer.Option(help="Only this provider's.")] = None,
    limit: Limit = 100,
    as_json: AsJson = False,
) -> None:
    """Provider keys, newest first."""
    with remote() as api:
        rows = api.items(PATH, "aiGatewayProviderKeys", limit, provider=provider)
        print_rows(rows, COLUMNS, as_json=as_json)


@app.command()
def create(provider: str, name: Name = None, as_json: AsJson = False) -> None:
    """Add a provider's key: asked for, read from a pipe, or taken from TOLLWAY_PROVIDER_KEY."""
    body = only_given([("providerId", provider), ("name", name)]) | {"value": read_value()}
    with remote() as api:
        print_one(api.post(PATH, body), as_json=as_json)


@app.command()
def rotate(id: str, name: Name = None, as_json: AsJson = False) -> None:  # noqa: A002  the API's own word
    """Give a key a new value; its id stays, and so do the configurations that name it."""
    body = only_given([("name", name)]) | {"value": read_value()}
    with remote() as api:
        print_one(api.post(f"{at(PATH, id)}/rotate", body), as_json=as_json)


@app.command()
def delete(id: str) -> None:  # noqa: A002
    """Delete a key that no configuration uses."""
    with remote() as api:
        api.delete(at(PATH, id))
    print(f"{id} is deleted.")


def read_value() -> str:
    """The key itself. Raises CommandError when there is none."""
    value = os.environ.get(VARIABLE, "")
    if not value:
        value = typer.prompt("Key", hide_input=True) if sys.stdin.isatty() else sys.stdin.readline()
    if not value.strip():
        raise CommandError(f"No key given: type it, pipe it in, or set {VARIABLE}.")
    return value.strip()
