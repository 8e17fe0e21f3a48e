"""The `tollway` command. Commands of other rooms (`keys`, `ledger`, `credits`, `usage`) are mounted when they exist."""

import sys
from collections.abc import Sequence
from importlib import import_module, util
from pathlib import Path
from typing import Annotated, Final

import typer

from tollway.cli.errors import CommandError
from tollway.cli.version import version
from tollway.settings import SettingsError

app = typer.Typer(
    name="tollway",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

MOUNTED: Final[dict[str, str]] = {
    "install": "what the jobs of docker-compose.yml do",
    "ledger": "look at the money: verify, replay, audit",
    "keys": "access keys, and the master key of provider keys",
    "configs": "access lists, routing rules and settings",
    "provider-keys": "the account's own keys of providers",
    "providers": "model servers of the account's own",
    "models": "what may be called, and its price",
    "credits": "balance, buying, grants and corrections",
    "usage": "what was used and what it cost",
    "api-keys": "keys of the management API",
    "accounts": "for operators: accounts and managed credentials",
}
"""Groups of commands that live in a module of `tollway.cli` as a typer `app`. Those of the management API work on any
gateway that TOLLWAY_URL and TOLLWAY_API_KEY name."""

MODULES: Final = {"providers": "custom_providers"}
"""Where a group's module is not its name with underscores."""

Data = Annotated[Path, typer.Option(help="Directory for databases, streams, keys and logs.", envvar="TOLLWAY_DATA_DIR")]
DatabaseUrl = Annotated[str, typer.Option(help="PostgreSQL instead of SQLite.", envvar="TOLLWAY_DATABASE_URL")]


def _print_version(is_asked: bool) -> None:
    if is_asked:
        print(version())
        raise typer.Exit


@app.callback()
def tollway(
    _version: Annotated[
        bool, typer.Option("--version", help="Print the version.", callback=_print_version, is_eager=True)
    ] = False,
) -> None:
    """A self-hosted AI gateway with a prepaid ledger."""


@app.command()
def up(
    data: Data = Path(".tollway"),
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port to listen on.", min=1, max=65535)] = 8080,
    ingresses: Annotated[int, typer.Option(help="Number of ingresses on the one port.", min=1, max=64)] = 1,
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
            ingresses=ingresses,
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


@app.command()
def doctor(
    data: Data = Path(".tollway"),
    database_url: DatabaseUrl = "",
    base_url: Annotated[str, typer.Option(help="Where the gateway is.", envvar="TOLLWAY_BASE_URL")] = "",
) -> None:
    """Say what is well and what is not; exit code 1 when something is wrong."""
    from tollway.cli import doctor as doctor_module

    findings = doctor_module.examine(
        data, database_url=database_url, base_url=base_url or doctor_module.base_url_of(data)
    )
    for finding in findings:
        print(f"{finding.level:<5}{finding.what:<18}{finding.detail}")
    failed = sum(finding.level == "fail" for finding in findings)
    print(f"doctor: {len(findings)} checked, {failed} failed")
    if failed:
        raise typer.Exit(1)


@app.command()
def backup(archive: Path, data: Data = Path(".tollway")) -> None:
    """Save everything that cannot be made again (with every key) into one archive; the gateway may run."""
    from tollway.cli import backup as backup_module

    saved = backup_module.backup(data, archive)
    print(f"{archive}: {len(saved.names)} files. It has every key: keep it like a password.")
    if "journal.db" not in saved.names:
        print("The database is PostgreSQL: save it with pg_dump besides.")


@app.command()
def restore(archive: Path, data: Data = Path(".tollway")) -> None:
    """Unpack a backup into a new data directory."""
    from tollway.cli import backup as backup_module

    saved = backup_module.restore(archive, data)
    print(f"{data}: {len(saved.names)} files of Tollway {saved.version}. Start it with `tollway up --data {data}`.")


@app.command()
def simulator(
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port to listen on; 0 takes a free one.", min=0, max=65535)] = 9090,
) -> None:
    """Run the provider that behaves and misbehaves on command, by itself."""
    from tollway.simulator.server import run

    run(host, port)


@app.command(name="version")
def show_version() -> None:
    """Print the version."""
    print(version())


def _mount(asked: Sequence[str]) -> None:
    """Add the groups of commands that this installation has; only the one asked for, since each has its imports, or
    all for the help, the completion and what comes before the command."""
    first = next(iter(asked), "--help")
    for name, purpose in MOUNTED.items():
        module = f"tollway.cli.{MODULES.get(name, name.replace('-', '_'))}"
        if (first == name or first.startswith("-")) and util.find_spec(module) is not None:
            app.add_typer(import_module(module).app, name=name, help=purpose)


def main() -> None:
    """Run a command; what it cannot do is one sentence and an exit code that is not 0."""
    _mount(sys.argv[1:])
    try:
        app()
    except (CommandError, SettingsError, OSError) as error:
        print(f"tollway: {_sentence(error)}", file=sys.stderr)
        sys.exit(error.exit_code if isinstance(error, CommandError) else 1)


def _sentence(error: Exception) -> str:
    """What the machine does not allow is no bug either: which file, and why."""
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename}: {error.strerror}." if error.filename else f"{error.strerror}."
    return str(error)


if __name__ == "__main__":
    main()
