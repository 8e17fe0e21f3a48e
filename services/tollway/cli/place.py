"""The data directory of `tollway up`: what lies where, which version wrote it, and who holds it.

tollway.json       layout version, ports, passwords of the bus (0600)
lock               held by the running `tollway up`
credentials.json   the first account's keys (0600)
journal.db …       SQLite, one file for each write lock
jetstream/         streams of the embedded bus
nats.conf          its configuration, written at every start (0600)
logs/              JSON lines, one file per process
"""

import fcntl
import os
import secrets
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import IO, Final

import msgspec

from tollway.cli.errors import CommandError

LAYOUT: Final = 1
STATE_FILE: Final = "tollway.json"
CREDENTIALS_FILE: Final = "credentials.json"
NATS_CONFIG_FILE: Final = "nats.conf"
_NOT_FOREIGN: Final = frozenset({"lock", "logs", "jetstream", "lost+found", ".DS_Store"})
"""What an interrupted first start, or the file system, may have left."""


class State(msgspec.Struct, frozen=True):
    """What is remembered between starts. Ports are kept while they are free; `passwords` are those of the bus."""

    layout: int
    version: str
    is_bootstrapped: bool = False
    ports: dict[str, int] = {}
    passwords: dict[str, str] = {}


class Credentials(msgspec.Struct, frozen=True, rename="camel"):
    """What the first start made, as `credentials.json` holds it."""

    base_url: str
    api_url: str
    account_id: str
    access_key: str
    api_key: str


class Place:
    """One data directory."""

    def __init__(self, root: Path) -> None:
        self.root = root.absolute()
        self.logs = self.root / "logs"
        self.jetstream = self.root / "jetstream"
        self.nats_config = self.root / NATS_CONFIG_FILE
        self._lock: IO[str] | None = None

    def claim(self) -> State | None:
        """Hold the directory alone, created if need be, and read what an earlier start left.

        Raises CommandError when it is held by another, closed to us, not ours or of another layout.
        """
        try:
            return self._claim()
        except PermissionError as error:
            raise CommandError(f"No permission to write {error.filename}: choose another --data directory.") from None
        except OSError as error:
            raise CommandError(f"Cannot use {self.root} as data directory: {error.strerror}.") from None
        except CommandError:
            self.release()
            raise

    def _claim(self) -> State | None:
        self.root.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._refuse_foreign()
        self._lock = (self.root / "lock").open("a+")
        self._take_lock(self._lock)
        state = self.load()
        for folder in (self.logs, self.jetstream):
            folder.mkdir(exist_ok=True, mode=0o700)
        return state

    def _take_lock(self, lock: IO[str]) -> None:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            lock.seek(0)
            holder = lock.read().strip() or "unknown"
            raise CommandError(f"Another `tollway up` (process {holder}) already runs on {self.root}.") from None
        lock.truncate(0)
        lock.write(str(os.getpid()))
        lock.flush()

    def release(self) -> None:
        """Let another process have the directory."""
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    def _refuse_foreign(self) -> None:
        names = {path.name for path in self.root.iterdir()} - _NOT_FOREIGN
        if names and STATE_FILE not in names:
            raise CommandError(
                f"{self.root} is not empty and was not made by Tollway: choose another --data directory."
            )

    def load(self) -> State | None:
        """What an earlier start left. Raises CommandError for the data of another layout."""
        path = self.root / STATE_FILE
        try:
            found = msgspec.json.decode(path.read_bytes())
        except FileNotFoundError:
            return None
        except PermissionError:
            raise CommandError(f"No permission to read {path}.") from None
        except msgspec.DecodeError:
            raise CommandError(f"{path} is damaged: restore it from a backup.") from None
        layout = found.get("layout") if isinstance(found, dict) else None  # pyright: ignore[reportUnknownMemberType,reportUnknownVariableType]
        if layout != LAYOUT:
            raise CommandError(
                f"{self.root} has data of layout {layout} (this Tollway reads layout {LAYOUT}): "
                "start the version of Tollway that wrote it, or choose another --data directory."
            )
        return msgspec.convert(found, State)

    def save(self, state: State) -> None:
        """Remember, durably, readable by the owner alone."""
        write_private(self.root / STATE_FILE, msgspec.json.format(msgspec.json.encode(state)))

    def credentials(self) -> Credentials | None:
        """The first account's keys, while the file is there (its owner may have moved it)."""
        with suppress(OSError, msgspec.DecodeError):
            return msgspec.json.decode((self.root / CREDENTIALS_FILE).read_bytes(), type=Credentials)
        return None

    def save_credentials(self, credentials: Credentials) -> None:
        """Write the first account's keys, readable by the owner alone."""
        write_private(self.root / CREDENTIALS_FILE, msgspec.json.format(msgspec.json.encode(credentials)))


def write_private(path: Path, data: bytes) -> None:
    """Replace a file as a whole, mode 0600, synced before it takes the name."""
    draft = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)


def new_passwords(users: Iterable[str]) -> dict[str, str]:
    """A password for each user of the bus, beginning with a letter: the configuration reads digits as a number."""
    return {user: f"p{secrets.token_hex(20)}" for user in users}
