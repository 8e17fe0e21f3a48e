"""`tollway backup` and `tollway restore`: one archive with everything that cannot be made again.

A backup may be taken while the gateway runs. Its order makes the parts fit: first the outboxes (a fact that the
journal has already is settled once all the same), then the views (which may lag behind the journal, never lead it),
then journal and accounts. Streams are left out: LEDGER is published again from the journal, and facts that the
ledger has not settled are in the outboxes.
"""

import re
import shutil
import sqlite3
import tarfile
import tempfile
import zlib
from collections.abc import Generator, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Final

import msgspec

from tollway import clock
from tollway.cli.errors import CommandError
from tollway.cli.place import CREDENTIALS_FILE, LAYOUT, STATE_FILE, Place, State
from tollway.cli.version import version

MANIFEST: Final = "manifest.json"
DATABASES: Final = ("views.db", "journal.db", "auth.db")
FILES: Final = (STATE_FILE, CREDENTIALS_FILE, "master.key", "master.pub", "auth.pepper", "audit.key", "audit.pub")
OUTBOXES: Final = "outbox-*/*"
OUTBOX: Final = re.compile(r"outbox-[\w.-]+")
OUTBOX_FILE: Final = re.compile(r"\w[\w.-]*")
BUSY_TIMEOUT_S: Final = 10.0


class Manifest(msgspec.Struct, frozen=True):
    """What an archive is."""

    layout: int
    version: str
    created_at_ms: int
    names: tuple[str, ...]


def backup(data: Path, archive: Path) -> Manifest:
    """Write the archive, mode 0600: it has every key. Raises CommandError when there is nothing to save or no room."""
    place = Place(data)
    if place.load() is None:
        raise CommandError(f"{place.root} is not a data directory of Tollway.")
    try:
        with tempfile.TemporaryDirectory(dir=archive.absolute().parent, prefix=".tollway-backup-") as folder:
            return _pack(place.root, Path(folder), archive)
    except (OSError, sqlite3.Error) as error:
        raise CommandError(f"Cannot write the backup {archive}: {_reason(error)}.") from None


def _pack(root: Path, folder: Path, archive: Path) -> Manifest:
    names = tuple(_copied(root, folder))
    manifest = Manifest(LAYOUT, version(), clock.now_ms(), names)
    (folder / MANIFEST).write_bytes(msgspec.json.encode(manifest))
    draft = folder / "archive"
    draft.touch(mode=0o600)
    with tarfile.open(draft, "w:gz") as tar:
        for name in (MANIFEST, *names):
            tar.add(folder / name, arcname=name)
    draft.replace(archive)
    return manifest


def _copied(root: Path, folder: Path) -> Iterator[str]:
    """Copy everything in its order and name it."""
    for path in sorted(root.glob(OUTBOXES)):
        yield _copy_file(path, folder, str(path.relative_to(root)))
    for name in DATABASES:
        if (root / name).exists():
            yield _copy_database(root / name, folder, name)
    for name in FILES:
        if (root / name).exists():
            yield _copy_file(root / name, folder, name)


def _copy_file(path: Path, folder: Path, name: str) -> str:
    target = folder / name
    target.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    target.write_bytes(path.read_bytes())
    target.chmod(0o600)
    return name


def _copy_database(path: Path, folder: Path, name: str) -> str:
    """A consistent copy of a database that is being written."""
    with (
        closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=BUSY_TIMEOUT_S)) as source,
        closing(sqlite3.connect(folder / name)) as target,
    ):
        source.backup(target)
    return name


def restore(archive: Path, data: Path) -> Manifest:
    """Unpack an archive into a new data directory. Raises CommandError for what is not a backup of this layout, for
    damage, and for a directory that has something in it."""
    if data.exists() and any(data.iterdir()):
        raise CommandError(f"{data} is not empty: restore into a new directory.")
    try:
        with tarfile.open(archive) as tar:
            manifest = _manifest(tar, archive)
            _refuse_foreign(manifest)
            data.mkdir(parents=True, exist_ok=True, mode=0o700)
            with _all_or_nothing(data):
                for name in manifest.names:
                    _unpack(tar, name, data)
                _check(data)
    except (OSError, EOFError, KeyError, zlib.error, tarfile.TarError, msgspec.DecodeError, sqlite3.Error) as error:
        raise CommandError(f"Cannot restore {archive}: {_reason(error)}.") from None
    return manifest


@contextmanager
def _all_or_nothing(data: Path) -> Generator[None]:
    """A restore that fails leaves the directory empty, as it was: half of a backup must not be started."""
    try:
        yield
    except BaseException:
        for path in data.iterdir():
            shutil.rmtree(path) if path.is_dir() else path.unlink()
        raise


def _reason(error: Exception) -> str:
    """In a line: what tarfile says of a file that is no archive is a list."""
    if isinstance(error, tarfile.ReadError):
        return "it is not a whole archive of `tollway backup`"
    said = error.strerror or str(error) if isinstance(error, OSError) else str(error)
    return said.splitlines()[0] if said else type(error).__name__


def _manifest(tar: tarfile.TarFile, archive: Path) -> Manifest:
    manifest = msgspec.json.decode(_content(tar, MANIFEST), type=Manifest)
    if manifest.layout != LAYOUT:
        raise CommandError(
            f"{archive} has data of layout {manifest.layout} (this Tollway reads layout {LAYOUT}): "
            f"restore it with Tollway {manifest.version}."
        )
    return manifest


def _refuse_foreign(manifest: Manifest) -> None:
    """Only names that a backup can have: an archive must not write anywhere else."""
    for name in manifest.names:
        folder, _, file = name.partition("/")
        is_outbox = bool(OUTBOX.fullmatch(folder)) and bool(OUTBOX_FILE.fullmatch(file))
        if name not in DATABASES and name not in FILES and not is_outbox:
            raise CommandError(f"The archive has a file that no backup has: {name}.")


def _unpack(tar: tarfile.TarFile, name: str, data: Path) -> None:
    target = data / name
    target.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    target.touch(mode=0o600)
    target.write_bytes(_content(tar, name))


def _content(tar: tarfile.TarFile, name: str) -> bytes:
    member = tar.extractfile(name)
    if member is None:
        raise tarfile.TarError(f"{name} is not a file")
    return member.read()


def _check(data: Path) -> None:
    """Every database is whole; the new directory has ports and streams of its own."""
    for name in DATABASES:
        if (data / name).exists():
            with closing(sqlite3.connect(data / name)) as database:
                verdict = str(database.execute("PRAGMA integrity_check").fetchone()[0])
            if verdict != "ok":
                raise CommandError(f"{name} of the backup is damaged: {verdict}.")
    place = Place(data)
    state = place.load()
    place.save(msgspec.structs.replace(state or State(layout=LAYOUT, version=version()), ports={}))
