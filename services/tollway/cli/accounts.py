"""`tollway accounts`: for operators. Accounts, their credit, and the platform's own credentials."""

import os
from pathlib import Path
from typing import Annotated, Final

import typer

from tollway import settings
from tollway.auth import bootstrap
from tollway.cli.errors import CommandError
from tollway.cli.provider_keys import read_value
from tollway.cli.remote import AsJson, Limit, at, remote
from tollway.cli.tables import only_given, print_one, print_rows

app = typer.Typer(no_args_is_help=True)
PATH: Final = "/accounts"
MANAGED: Final = "/managed-credentials"
COLUMNS: Final = {"id": "ID", "name": "NAME", "enabled": "ENABLED", "createdAt": "CREATED"}
MANAGED_COLUMNS: Final = {"id": "ID", "providerId": "PROVIDER", "keyRedacted": "KEY", "updatedAt": "CHANGED"}


@app.command("list")
def list_accounts(limit: Limit = 100, as_json: AsJson = False) -> None:
    """Accounts, newest first."""
    with remote() as api:
        print_rows(api.items(PATH, "accounts", limit), COLUMNS, as_json=as_json)


@app.command()
def create(name: str, as_json: AsJson = False) -> None:
    """Make an account; the token of its first API key is printed once."""
    with remote() as api:
        made = api.post(PATH, {"name": name})
    print_one(made if as_json else {**made, "apiKey": made["apiKey"]["token"]}, as_json=as_json)


@app.command()
def update(
    id: str,  # noqa: A002  the API's own word
    name: Annotated[str | None, typer.Option(help="A new name.")] = None,
    enable: Annotated[bool | None, typer.Option("--enable/--disable")] = None,
    as_json: AsJson = False,
) -> None:
    """Rename, disable or enable an account; a disabled one's keys are dead within a second."""
    with remote() as api:
        body = only_given([("name", name), ("enabled", enable)])
        print_one(api.patch(at(PATH, id), body), as_json=as_json)


@app.command()
def recover(
    data: Annotated[Path, typer.Option(help="The data directory.", envvar="TOLLWAY_DATA_DIR")] = Path(".tollway"),
    database_url: Annotated[str, typer.Option(help="PostgreSQL.", envvar="TOLLWAY_DATABASE_URL")] = "",
    as_json: AsJson = False,
) -> None:
    """The operator's API key is lost: another pair of keys for the first account, made in the database itself."""
    told = {"TOLLWAY_DATA_DIR": str(data), "TOLLWAY_DATABASE_URL": database_url}
    try:
        made = bootstrap.recover(settings.read("cli", {**os.environ, **told}))
    except settings.SettingsError as error:
        raise CommandError(f"No keys were made: {error}.") from None
    keys = {"accountId": made.account_id, "accessKey": made.access_key, "apiKey": made.api_key}
    print_one(keys, as_json=as_json)


@app.command("managed")
def list_managed(as_json: AsJson = False) -> None:
    """The operator's credentials that are kept with auth (those in adapters' environments are not listed)."""
    with remote() as api:
        print_rows(api.items(MANAGED, "managedCredentials", 10_000), MANAGED_COLUMNS, as_json=as_json)


@app.command()
def set_managed(provider: str, as_json: AsJson = False) -> None:
    """Set or replace the operator's credential of a provider: asked for, or piped in."""
    with remote() as api:
        print_one(api.post(MANAGED, {"providerId": provider, "value": read_value()}), as_json=as_json)


@app.command()
def unset_managed(provider: str) -> None:
    """Forget the operator's credential of a provider."""
    with remote() as api:
        api.delete(at(MANAGED, f"managed:{provider}"))
    print(f"The credential for {provider} is deleted.")
