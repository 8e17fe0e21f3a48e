"""The `tollway` command. Commands of other rooms (`keys`, `ledger`, `credits`, `usage`) are mounted when they exist."""

import sys
from importlib import import_module, util
from pathlib import Path
from typing import Annotated, Final

import typer

from tollway.cli.errors import CommandError
from tollway.cli.version import version

app = typer.Typer(
    name="tollway",
    help="A self-hosted AI gateway with a prepaid ledger.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

MOUNTED: Final[dict[str, str]] = {
    "install": "what the jobs of docker-compose.yml do",
    "ledger": "look at the money: verify, replay, audit",
    "keys": "access keys and API keys",
    "credits": "balance, grants and corrections",
    "usage": "what was used and what it cost",
}
"""Groups of commands that live in `tollway.cli.<name>` as a typer `app`."""

Data = Annotated[Path, typer.Option(help="Directory for databases, streams, keys and logs.", envvar="TOLLWAY_DATA_DIR")]
DatabaseUrl = Annotated[str, typer.Option(help="PostgreSQL instead of SQLite.", envvar="TOLLWAY_DATABASE_URL")]


@app.command()
def up(
    data: Data = Path(".tollway"),
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port to listen on.", min=1, max=65535)] = 8080,
    adapters: Annotated[int, typer.Option(help="Number of adapters.", min=1, max=64)] = 1,
    ledgers: Annotated[int, typer.Option(help="Number of ledgers (all but one stand by).", min=1, max=16)] = 1,
    database_url: DatabaseUrl = "",
    drain_timeout: Annotated[float, typer.Option(help="Seconds that running answers may take at the end.", min=0)] = 30,
    verbose: Annotated[bool, typer.Option(help="Log to this terminal, not to DATA/logs.")] = False,
) -> None:
    """Run the whole gateway on this machine, with nothing else installed."""
    from tollway.cli import programs, providers
    from tollway.cli import up as up_module

    up_module.run(
        programs.Options(
            data=data,
            host=host,
            port=port,
            adapters=adapters,
            ledgers=ledgers,
            database_url=database_url,
            drain_timeout_s=drain_timeout,
            is_verbose=verbose,
            is_simulator_wanted=providers.is_simulator_wanted(),
        )
    )


@app.command()
def migrate(data: Data = Path(".tollway"), database_url: DatabaseUrl = "") -> None:
    """Create or upgrade the tables (`up` does it by itself)."""
    from tollway.cli import migrate as migrate_module

    migrate_module.command(data, database_url)


@app.command(name="version")
def show_version() -> None:
    """Print the version."""
    print(version())


def _mount() -> None:
    """Add the groups of commands that this installation has."""
    for name, purpose in MOUNTED.items():
        if util.find_spec(f"tollway.cli.{name}") is not None:
            app.add_typer(import_module(f"tollway.cli.{name}").app, name=name, help=purpose)


def main() -> None:
    """Run a command; what it cannot do is one sentence and an exit code that is not 0."""
    _mount()
    try:
        app()
    except CommandError as error:
        print(f"tollway: {error}", file=sys.stderr)
        sys.exit(error.exit_code)


if __name__ == "__main__":
    main()
