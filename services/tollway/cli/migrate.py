"""`tollway migrate`: bring every part's tables to this version."""

import os
from pathlib import Path

from sqlalchemy.exc import DBAPIError

from tollway import settings
from tollway.cli.errors import CommandError
from tollway.settings import Part, Settings
from tollway.store.migrate import PARTS, upgrade


def command(data: Path, database_url: str) -> None:
    """Upgrade and say where every part stands."""
    url = {"TOLLWAY_DATABASE_URL": database_url} if database_url else {}
    data.mkdir(parents=True, exist_ok=True, mode=0o700)
    told = settings.read("cli", {**os.environ, "TOLLWAY_DATA_DIR": str(data), **url})
    for part, revision in all_parts(told).items():
        print(f"{part}: {revision or 'no tables'}")


def all_parts(settings: Settings) -> dict[str, str | None]:
    """Upgrade every part; revisions by part. Raises CommandError for a database that cannot be reached or is none."""
    return {part: _one(settings, part) for part in PARTS}


def _one(settings: Settings, part: Part) -> str | None:
    try:
        return upgrade(settings.database(part), part)
    except DBAPIError as error:
        reason = str(error.orig).strip().splitlines()[0] if error.orig else "unknown"
        raise CommandError(f"Cannot migrate the database of {part}: {reason}.") from None
