"""`tollway api-keys`: keys for the management API itself."""

from typing import Annotated, Final

import typer

from tollway.cli.remote import AsJson, Limit, at, remote
from tollway.cli.tables import only_given, print_one, print_rows

app = typer.Typer(no_args_is_help=True)
PATH: Final = "/api-keys"
COLUMNS: Final = {"id": "ID", "name": "NAME", "keyRedacted": "KEY", "role": "ROLE", "lastUsed": "LAST USED"}


@app.command("list")
def list_keys(limit: Limit = 100, as_json: AsJson = False) -> None:
    """API keys, newest first."""
    with remote() as api:
        print_rows(api.items(PATH, "aiGatewayApiKeys", limit), COLUMNS, as_json=as_json)


@app.command()
def create(
    name: Annotated[str | None, typer.Option(help="A label.")] = None,
    role: Annotated[str | None, typer.Option(help="admin, or (for operators) operator.")] = None,
    account: Annotated[str | None, typer.Option(help="For operators: another account's id.")] = None,
    as_json: AsJson = False,
) -> None:
    """Make an API key; its token is printed once."""
    with remote() as api:
        body = only_given([("name", name), ("role", role), ("accountId", account)])
        print_one(api.post(PATH, body), as_json=as_json)


@app.command()
def delete(id: str) -> None:  # noqa: A002  the API's own word
    """Revoke an API key."""
    with remote() as api:
        api.delete(at(PATH, id))
    print(f"{id} is deleted.")
