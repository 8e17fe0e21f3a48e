"""`tollway providers`: model servers of the account's own."""

from typing import Annotated, Any, Final

import typer

from tollway.cli.errors import CommandError
from tollway.cli.remote import AsJson, Limit, at, remote
from tollway.cli.tables import only_given, print_one, print_rows

app = typer.Typer(no_args_is_help=True)
PATH: Final = "/providers"
COLUMNS: Final = {"id": "ID", "providerId": "PROVIDER", "name": "NAME", "baseUrl": "BASE URL", "pool": "POOL"}
Model = Annotated[list[str] | None, typer.Option(help="A model; repeat for more.")]
Surface = Annotated[list[str] | None, typer.Option(help="format/surface, such as openai/chat-completions.")]
BaseUrl = Annotated[str | None, typer.Option(help="Where it answers, up to and without /chat/completions.")]


@app.command("list")
def list_providers(limit: Limit = 100, as_json: AsJson = False) -> None:
    """Custom providers, newest first."""
    with remote() as api:
        print_rows(api.items(PATH, "aiGatewayProviders", limit), COLUMNS, as_json=as_json)


@app.command()
def show(id: str, as_json: AsJson = False) -> None:  # noqa: A002  the API's own word
    """One provider with its models."""
    with remote() as api:
        print_one(api.get(at(PATH, id)), as_json=as_json)


@app.command()
def create(
    provider: str,
    base_url: Annotated[str, typer.Option(help="Where it answers, up to and without /chat/completions.")],
    name: Annotated[str | None, typer.Option(help="A label.")] = None,
    model: Model = None,
    surface: Surface = None,
    pool: Annotated[str | None, typer.Option(help="Adapters that can reach it.")] = None,
    as_json: AsJson = False,
) -> None:
    """Add a model server: Ollama, vLLM, LM Studio, anything that speaks OpenAI's or Anthropic's dialect."""
    body = _body(name or provider, base_url, model, surface, pool) | {"providerId": provider}
    with remote() as api:
        print_one(api.post(PATH, body), as_json=as_json)


@app.command()
def update(
    id: str,  # noqa: A002
    base_url: BaseUrl = None,
    name: Annotated[str | None, typer.Option(help="A label.")] = None,
    model: Model = None,
    surface: Surface = None,
    pool: Annotated[str | None, typer.Option(help="Adapters that can reach it.")] = None,
    as_json: AsJson = False,
) -> None:
    """Change what is given; models replace the whole set."""
    with remote() as api:
        print_one(api.patch(at(PATH, id), _body(name, base_url, model, surface, pool)), as_json=as_json)


def _body(
    name: str | None, base_url: str | None, model: list[str] | None, surface: list[str] | None, pool: str | None
) -> dict[str, Any]:
    return only_given(
        [
            ("name", name),
            ("baseUrl", base_url),
            ("models", [{"modelId": model_id} for model_id in model] if model else None),
            ("supportedApiSurfaces", list(map(_surface, surface)) if surface else None),
            ("pool", pool),
        ]
    )


def _surface(text: str) -> dict[str, str]:
    format_, slash, surface = text.partition("/")
    if not slash:
        raise CommandError(f"{text!r} is not format/surface, such as openai/chat-completions.")
    return {"format": format_, "surface": surface}


@app.command("test")
def try_out(id: str, as_json: AsJson = False) -> None:  # noqa: A002
    """Try a provider out with its first model and newest key: one token. Exit code 1 when it does not answer well."""
    with remote() as api:
        found = api.post(f"{at(PATH, id)}/test", {})
    print_one(found, as_json=as_json)
    if not found["reachable"] or found["problem"]:
        raise typer.Exit(1)


@app.command()
def delete(id: str) -> None:  # noqa: A002
    """Delete a provider that no key and no rule names."""
    with remote() as api:
        api.delete(at(PATH, id))
    print(f"{id} is deleted.")
