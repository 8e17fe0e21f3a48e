"""Keyed hashes of keys. The peppers are not in the database: whoever steals the database can check no guess.

HMAC-SHA-256 and not a slow hash: the secrets are 190 random bits, so slowness would add a lever for floods and nothing
else. Peppers have versions, newest last, one line each (`<version>:<base64 of 32 bytes>`), in the file that
TOLLWAY_PEPPER_FILE names (`auth.pepper` in the data directory) or in TOLLWAY_PEPPER. A hash under an older one is
replaced when its key is next seen.
"""

import hashlib
import hmac
import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Final

from tollway.auth.events import Proof
from tollway.sealing import KeySource, SealError, write_ring
from tollway.settings import SettingsError
from tollway.wire.keys import KeyParts

FILE: Final = "auth.pepper"
PEPPER_BYTES: Final = 32


class Peppers:
    """All versions; new hashes are made under the newest."""

    def __init__(self, keys: Mapping[int, bytes]) -> None:
        self._keys = dict(keys)
        self.newest = max(keys)

    def prove(self, key: KeyParts) -> Proof:
        """What to keep of a key."""
        return Proof(key.id, self._digest(key, self.newest), self.newest)

    def is_proven(self, key: KeyParts, proof: Proof) -> bool:
        """Whether this is the key; False too when its pepper is not known any more."""
        if proof.pepper_version not in self._keys:
            return False
        return hmac.compare_digest(self._digest(key, proof.pepper_version), proof.digest)

    def _digest(self, key: KeyParts, version: int) -> bytes:
        message = f"{key.prefix}-{key.id}-{key.secret}".encode()
        return hmac.digest(self._keys[version], message, hashlib.sha256)


def open_peppers(environ: Mapping[str, str], data_dir: Path, *, is_first_start: bool) -> Peppers:
    """The peppers of this installation; made at the first start. Raises SettingsError when they cannot be had, and
    when they are gone although keys were hashed with them."""
    text = environ.get("TOLLWAY_PEPPER", "")
    path = Path(environ.get("TOLLWAY_PEPPER_FILE") or data_dir / FILE)
    if not text and is_first_start:
        _create(path)
    try:
        keys = KeySource(text=text).read() if text else KeySource(path=path).read()
    except SealError as error:
        raise SettingsError(f"TOLLWAY_PEPPER: {error}; without it no key can be checked") from None
    if not keys:
        raise SettingsError("TOLLWAY_PEPPER: there is no pepper in it; without it no key can be checked")
    return Peppers(keys)


def _create(path: Path) -> None:
    """Make the file unless it is there; of two who try at once, one wins and both read the same."""
    if path.exists():
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{os.getpid()}.{os.urandom(4).hex()}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(write_ring({1: os.urandom(PEPPER_BYTES)}))
        file.flush()
        os.fsync(file.fileno())
    try:
        with suppress(FileExistsError):
            path.hardlink_to(draft)
    finally:
        draft.unlink()
