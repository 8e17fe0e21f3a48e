"""The auditor's Ed25519 key: who may say that a state or a head is so.

The key lies in the data directory (`audit.key`, 0600) unless `TOLLWAY_AUDIT_KEY_FILE` names another file; several
ledgers share one file. An operator who does not want the ledger to have it signs elsewhere (`tollway ledger seal`).
"""

import hashlib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

KEY_FILE: Final = "audit.key"
PUBLIC_FILE: Final = "audit.pub"
VARIABLE: Final = "TOLLWAY_AUDIT_KEY_FILE"


class BadKeyError(Exception):
    """A key file is there and is not one. The message names it."""


class Signer:
    """Signs with one key. `key_id` is the fingerprint of its public half."""

    def __init__(self, key: Ed25519PrivateKey) -> None:
        self._key = key
        self.public = key.public_key()
        self.key_id = fingerprint(self.public)

    def sign(self, message: bytes) -> bytes:
        """64 bytes."""
        return self._key.sign(message)


def fingerprint(key: Ed25519PublicKey) -> str:
    """16 hex digits of a public key."""
    raw = key.public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)
    return hashlib.sha256(raw).hexdigest()[:16]


def is_signed(key: Ed25519PublicKey, signature: bytes, message: bytes) -> bool:
    """Whether the signature is the key's."""
    try:
        key.verify(signature, message)
    except InvalidSignature:
        return False
    return True


def key_path(data_dir: Path, environ: Mapping[str, str]) -> Path:
    """Where the key is."""
    return Path(environ.get(VARIABLE) or data_dir / KEY_FILE)


def signer_of(path: Path) -> Signer:
    """The key in a file; made, readable by the owner alone, if there is none. Raises BadKeyError, OSError."""
    try:
        return read_signer(path)
    except FileNotFoundError:
        return _made(path)


def read_signer(path: Path) -> Signer:
    """The key in a file. Raises BadKeyError, OSError."""
    try:
        key = serialization.load_pem_private_key(path.read_bytes(), password=None)
    except ValueError:
        raise BadKeyError(f"{path} is not a private key") from None
    if not isinstance(key, Ed25519PrivateKey):
        raise BadKeyError(f"{path} is not an Ed25519 key")
    return Signer(key)


def _made(path: Path) -> Signer:
    key = Ed25519PrivateKey.generate()
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    draft = path.with_suffix(f".{os.getpid()}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(private)
        file.flush()
        os.fsync(file.fileno())
    try:
        os.link(draft, path)  # whoever comes second reads the first one's
    except FileExistsError:
        return read_signer(path)
    finally:
        draft.unlink()
    public = key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    path.with_suffix(".pub").write_bytes(public)
    return Signer(key)


def read_public(path: Path) -> Ed25519PublicKey:
    """A public key in a file. Raises BadKeyError, OSError."""
    try:
        key = serialization.load_pem_public_key(path.read_bytes())
    except ValueError:
        raise BadKeyError(f"{path} is not a public key") from None
    if not isinstance(key, Ed25519PublicKey):
        raise BadKeyError(f"{path} is not an Ed25519 key")
    return key
