"""`tollway keys`: access keys, and the master key under which provider keys are sealed."""

import base64
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from tollway.cli.errors import CommandError
from tollway.cli.remote import AsJson, Body, Limit, Remote, at, remote
from tollway.cli.tables import only_given, print_one, print_rows
from tollway.sealing import (
    PRIVATE_FILE,
    PUBLIC_FILE,
    Bound,
    KeySource,
    PrivateRing,
    PublicRing,
    SealError,
    rotate_master_key,
)
from tollway.sealing import rewrap as rewrap_key

app = typer.Typer(no_args_is_help=True)
PATH: Final = "/access-keys"
COLUMNS: Final = {
    "id": "ID",
    "name": "NAME",
    "keyRedacted": "KEY",
    "accessKeyConfiguration.name": "CONFIGURATION",
    "enabled": "ENABLED",
    "lastUsed": "LAST USED",
    "expiresAt": "EXPIRES",
}
Name = Annotated[str | None, typer.Option(help="A label ('null' clears).")]
Config = Annotated[str | None, typer.Option(help="Id of an access key configuration ('null' clears).")]
Expires = Annotated[str | None, typer.Option(help="RFC 3339 time ('null' clears).")]
PerMinute = Annotated[int | None, typer.Option(min=1)]
Dollars = Annotated[str | None, typer.Option(help="Dollars, such as 2.50 ('null' clears).")]
Addresses = Annotated[list[str] | None, typer.Option(help="Address or range that may ask; repeat for more.")]
MasterFile = Annotated[Path, typer.Option(help="The private master key file.", envvar="TOLLWAY_MASTER_KEY_FILE")]
PublicFile = Annotated[Path, typer.Option(help="The public master key file.", envvar="TOLLWAY_MASTER_PUBLIC_KEY_FILE")]


@app.command("list")
def list_keys(limit: Limit = 100, as_json: AsJson = False) -> None:
    """Access keys, newest first."""
    with remote() as api:
        print_rows(api.items(PATH, "aiGatewayAccessKeys", limit), COLUMNS, as_json=as_json)


@app.command()
def show(id: str, as_json: AsJson = False) -> None:  # noqa: A002  the API's own word
    """One access key."""
    with remote() as api:
        print_one(api.get(at(PATH, id)), as_json=as_json)


@app.command()
def create(
    name: Name = None,
    config: Config = None,
    expires: Expires = None,
    requests_per_minute: PerMinute = None,
    tokens_per_minute: PerMinute = None,
    spend_per_day: Dollars = None,
    spend_per_month: Dollars = None,
    address: Addresses = None,
    as_json: AsJson = False,
) -> None:
    """Make an access key; its token is printed once."""
    limits = _limits(requests_per_minute, tokens_per_minute, spend_per_day, spend_per_month, address)
    with remote() as api:
        print_one(api.post(PATH, _body(name, config, expires, limits)), as_json=as_json)


@app.command()
def update(
    id: str,  # noqa: A002
    name: Name = None,
    config: Config = None,
    expires: Expires = None,
    requests_per_minute: PerMinute = None,
    tokens_per_minute: PerMinute = None,
    spend_per_day: Dollars = None,
    spend_per_month: Dollars = None,
    address: Addresses = None,
    enable: Annotated[bool | None, typer.Option("--enable/--disable")] = None,
    as_json: AsJson = False,
) -> None:
    """Change what is given; works within a second everywhere."""
    limits = _limits(requests_per_minute, tokens_per_minute, spend_per_day, spend_per_month, address)
    body = _body(name, config, expires, limits) | only_given([("enabled", enable)])
    with remote() as api:
        print_one(api.patch(at(PATH, id), body), as_json=as_json)


def _limits(rpm: int | None, tpm: int | None, day: str | None, month: str | None, address: list[str] | None) -> Body:
    return only_given(
        [
            ("requestsPerMinute", rpm),
            ("tokensPerMinute", tpm),
            ("spendPerDay", day),
            ("spendPerMonth", month),
            ("addresses", address or None),
        ]
    )


def _body(name: str | None, config: str | None, expires: str | None, limits: Body) -> Body:
    fields: list[tuple[str, Any]] = [
        ("name", name),
        ("accessKeyConfigurationId", config),
        ("expiresAt", expires),
        ("limits", limits or None),
    ]
    return only_given(fields)


@app.command()
def delete(id: str) -> None:  # noqa: A002
    """Revoke a key: dead within a second everywhere."""
    with remote() as api:
        api.delete(at(PATH, id))
    print(f"{id} is deleted.")


# -- the master key


@app.command("rotate-master")
def rotate_master(
    master_key_file: MasterFile = Path(".tollway") / PRIVATE_FILE,
    master_public_key_file: PublicFile = Path(".tollway") / PUBLIC_FILE,
) -> None:
    """Add a new version to the master key. Give adapters the new private file, then run `tollway keys rewrap`."""
    try:
        version = rotate_master_key(master_key_file, master_public_key_file)
    except (SealError, OSError) as error:
        raise CommandError(f"The master key was not rotated: {error}.") from None
    print(
        f"{master_key_file}: version {version} is the newest; older ones stay until `tollway keys rewrap` is through."
    )


@app.command()
def rewrap(
    master_key_file: MasterFile = Path(".tollway") / PRIVATE_FILE,
    master_public_key_file: PublicFile = Path(".tollway") / PUBLIC_FILE,
) -> None:
    """Put every sealed provider key under the newest master key, while everything runs. Run it again if interrupted."""
    try:
        private = PrivateRing(KeySource(path=master_key_file))
        public = PublicRing(KeySource(path=master_public_key_file).read())
        with remote() as api:
            count = _rewrap_all(api, private, public)
    except SealError as error:
        raise CommandError(f"Not every key was rewrapped: {error}.") from None
    print(
        f"{count} keys are now under master key version {public.newest}; older versions may be taken out of the file."
    )


def _rewrap_all(api: Remote, private: PrivateRing, public: PublicRing) -> int:
    count = 0
    while items := api.get("/sealed-keys", kekVersion=public.newest)["sealedKeys"]:
        done = api.post("/sealed-keys/rewrap", {"sealedKeys": [_rewrapped(item, private, public) for item in items]})
        if not done["count"]:
            raise CommandError("The gateway took none of the rewrapped keys; try again.")
        count += done["count"]
    return count


def _rewrapped(item: Body, private: PrivateRing, public: PublicRing) -> Body:
    bound = Bound(item["accountId"], item["provider"], item["credentialId"], item["version"])
    old = base64.b64decode(item["wrappedKey"])
    new = rewrap_key(old, bound, kek_version=item["kekVersion"], private=private, public=public)
    return {**item, "kekVersion": public.newest, "wrappedKey": base64.b64encode(new).decode()}
