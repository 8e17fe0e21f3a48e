"""`tollway models`: what the account may call now."""

from typing import Annotated, Final

import typer

from tollway.cli.remote import AsJson, remote
from tollway.cli.tables import print_rows

app = typer.Typer(no_args_is_help=True)
COLUMNS: Final = {
    "id": "MODEL",
    "name": "NAME",
    "contextWindow": "WINDOW",
    "inputPrice": "$/M IN",
    "outputPrice": "$/M OUT",
}


@app.command("list")
def list_models(
    provider: Annotated[str | None, typer.Option(help="Only this provider's.")] = None,
    search: Annotated[str, typer.Option(help="Only those with this in their id or name.")] = "",
    as_json: AsJson = False,
) -> None:
    """Models in catalog order, with prices in dollars per million tokens."""
    with remote() as api:
        models = api.get("/models")["models"]
    wanted = search.lower()
    rows = [
        model
        for model in models
        if (provider is None or model["provider"] == provider)
        and (wanted in model["id"].lower() or wanted in model["name"].lower())
    ]
    print_rows(rows, COLUMNS, as_json=as_json)
