"""Sealing of provider keys: auth can close the box, only an adapter can open it.

A value is encrypted with AES-256-GCM under a data key of its own; the data key is wrapped with HPKE (RFC 9180: X25519,
HKDF-SHA-256, AES-256-GCM) to the master public key. Whoever holds only the public key (auth) seals and cannot open;
the private key is read by adapters and by the operator's `tollway keys rewrap`. What a box belongs to (account,
provider, id, version) is bound into both layers, so that a ciphertext cannot be moved to another row.

Master keys come in versions, newest last, one line each: `<version>:<base64 of 32 bytes>`. Private ones in a file of
mode 0600 that TOLLWAY_MASTER_KEY_FILE names (or the same text in TOLLWAY_MASTER_KEY); public ones in
TOLLWAY_MASTER_PUBLIC_KEY_FILE (or TOLLWAY_MASTER_PUBLIC_KEY). By default `master.key` and `master.pub` in the data
directory. A KMS takes the place of `PrivateRing` by implementing `Unwraps`.
"""

import base64
import binascii
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Final, Protocol

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hpke import AEAD, KDF, KEM, Suite

from tollway.wire.access import SealedCredential

PRIVATE_FILE: Final = "master.key"
PUBLIC_FILE: Final = "master.pub"
NONCE_BYTES: Final = 12
_SUITE: Final = Suite(KEM.X25519, KDF.HKDF_SHA256, AEAD.AES_256_GCM)


class SealError(Exception):
    """A box that cannot be opened, or a key ring that cannot be read. Says which, never what is inside."""


class Bound(msgspec.Struct, frozen=True):
    """What a sealed value belongs to."""

    account_id: str
    provider: str
    credential_id: str
    version: int


class Unwraps(Protocol):
    """Holds master private keys: a file here, a KMS elsewhere."""

    def unwrap(self, wrapped: bytes, *, kek_version: int, info: bytes) -> bytes:
        """The data key. Raises SealError."""
        ...


class PublicRing:
    """Master public keys: enough to seal."""

    def __init__(self, keys: Mapping[int, bytes]) -> None:
        if not keys:
            raise SealError("the master public key file is empty")
        self.newest = max(keys)
        self._keys = {version: X25519PublicKey.from_public_bytes(raw) for version, raw in keys.items()}

    def wrap(self, data_key: bytes, info: bytes) -> bytes:
        """Wrap to the newest master key."""
        return _SUITE.encrypt(data_key, self._keys[self.newest], info=info)


class PrivateRing:
    """Master private keys, read from a file again when a version is missing: rotation needs no restart."""

    def __init__(self, read: "KeySource") -> None:
        self._source = read
        self._keys = self._load()

    def _load(self) -> dict[int, X25519PrivateKey]:
        return {version: X25519PrivateKey.from_private_bytes(raw) for version, raw in self._source.read().items()}

    def unwrap(self, wrapped: bytes, *, kek_version: int, info: bytes) -> bytes:
        """See Unwraps."""
        if kek_version not in self._keys:
            self._keys = self._load()
        key = self._keys.get(kek_version)
        if key is None:
            raise SealError(f"no master key of version {kek_version}")
        try:
            return _SUITE.decrypt(wrapped, key, info=info)
        except InvalidTag:
            raise SealError("the wrapped key was altered, moved or made for another master key") from None


class KeySource:
    """Where a ring's text comes from: a variable's value, or a file."""

    def __init__(self, *, text: str = "", path: Path | None = None) -> None:
        self._text, self._path = text, path

    def read(self) -> dict[int, bytes]:
        """Keys by version. Raises SealError, which names the file."""
        if self._path is None:
            return read_ring(self._text)
        try:
            return read_ring(self._path.read_text())
        except OSError as error:
            raise SealError(f"cannot read {self._path}: {error.strerror}") from None


class Sealer:
    """Closes boxes (auth)."""

    def __init__(self, source: KeySource) -> None:
        self._source = source

    @property
    def newest(self) -> int:
        """The version of the master key that boxes are closed with now."""
        return PublicRing(self._source.read()).newest

    def seal(self, value: str, bound: Bound) -> SealedCredential:
        """Encrypt a value and bind it to its row. The ring is read each time: sealing is rare, rotation is not
        announced."""
        ring = PublicRing(self._source.read())
        data_key, nonce = AESGCM.generate_key(256), os.urandom(NONCE_BYTES)
        info = _info(bound)
        return SealedCredential(
            account_id=bound.account_id,
            provider=bound.provider,
            credential_id=bound.credential_id,
            version=bound.version,
            kek_version=ring.newest,
            wrapped_key=ring.wrap(data_key, info),
            nonce=nonce,
            ciphertext=AESGCM(data_key).encrypt(nonce, value.encode(), info),
        )


def open_sealed(sealed: SealedCredential, ring: Unwraps) -> str:
    """The value in a box (adapters). Raises SealError when anything about it was changed."""
    info = _info(bound_of(sealed))
    data_key = ring.unwrap(sealed.wrapped_key, kek_version=sealed.kek_version, info=info)
    try:
        return AESGCM(data_key).decrypt(sealed.nonce, sealed.ciphertext, info).decode()
    except InvalidTag:
        raise SealError("the sealed value was altered or moved") from None


def rewrap(wrapped: bytes, bound: Bound, *, kek_version: int, private: Unwraps, public: PublicRing) -> bytes:
    """The same data key, wrapped by the newest master key; the value itself is not opened."""
    info = _info(bound)
    return public.wrap(private.unwrap(wrapped, kek_version=kek_version, info=info), info)


def bound_of(sealed: SealedCredential) -> Bound:
    """What a box says it belongs to; opening it proves that."""
    return Bound(sealed.account_id, sealed.provider, sealed.credential_id, sealed.version)


def _info(bound: Bound) -> bytes:
    return "|".join(
        ("tollway.seal.v1", bound.account_id, bound.provider, bound.credential_id, str(bound.version))
    ).encode()


def private_source(environ: Mapping[str, str], data_dir: Path) -> KeySource:
    """Where this process finds master private keys."""
    return _source(environ, "TOLLWAY_MASTER_KEY", data_dir / PRIVATE_FILE)


def public_source(environ: Mapping[str, str], data_dir: Path) -> KeySource:
    """Where this process finds master public keys."""
    return _source(environ, "TOLLWAY_MASTER_PUBLIC_KEY", data_dir / PUBLIC_FILE)


def _source(environ: Mapping[str, str], name: str, default: Path) -> KeySource:
    if text := environ.get(name):
        return KeySource(text=text)
    return KeySource(path=Path(environ.get(f"{name}_FILE") or default))


def read_ring(text: str) -> dict[int, bytes]:
    """Keys by version from lines (or comma-separated entries) of `<version>:<base64>`. Raises SealError."""
    keys: dict[int, bytes] = {}
    for line in filter(None, (entry.strip() for entry in text.replace(",", "\n").splitlines())):
        version, _, encoded = line.partition(":")
        try:
            raw = base64.b64decode(encoded, validate=True)
        except binascii.Error:
            raw = b""
        if not version.isdigit() or len(raw) != 32:
            raise SealError("a master key line is not <version>:<base64 of 32 bytes>")
        keys[int(version)] = raw
    return keys


def write_ring(keys: Mapping[int, bytes]) -> str:
    """The text that `read_ring` reads."""
    return "".join(f"{version}:{base64.b64encode(keys[version]).decode()}\n" for version in sorted(keys))


def create_master_key(private: Path, public: Path) -> bool:
    """Make version 1 of a master key pair where there is none yet; whether it was made. Files of mode 0600."""
    if private.exists():
        return False
    _add_version(private, public, {})
    return True


def rotate_master_key(private: Path, public: Path) -> int:
    """Add a new version to both files and return it; old versions stay until `rewrap` has replaced them."""
    return _add_version(private, public, KeySource(path=private).read())


def _add_version(private: Path, public: Path, keys: Mapping[int, bytes]) -> int:
    version = max(keys, default=0) + 1
    ring = {**keys, version: X25519PrivateKey.generate().private_bytes_raw()}
    publics = {
        number: X25519PrivateKey.from_private_bytes(raw).public_key().public_bytes_raw() for number, raw in ring.items()
    }
    write_secret_file(private, write_ring(ring))  # first: nothing may be sealed that nobody can open
    write_secret_file(public, write_ring(publics))
    return version


def write_secret_file(path: Path, text: str) -> None:
    """Replace a file of mode 0600 in one step, and make it durable."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)
    directory = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)
