"""The format of access keys and API keys: `tw-<id>-g1-<secret><checksum>`.

    tw-9fK2xQ7LmZ0a-g1-5uR…(32)…Yb3fQ8z1
    │  │            │  │         └ CRC-32 of all that precedes it, 6 base62 digits
    │  │            │  └ 32 base62 digits, 190 bits
    │  │            └ the generation of the format
    │  └ 12 base62 digits: 6 of the account (the readable part), 6 of the key; how auth finds it
    └ `tw` asks for models, `twapi` manages; the checksum covers it, so that one can never be worn as the other

The checksum lets secret scanners recognise a key and lets ingress turn garbage away with no bus message and no write.
Nothing here knows whether a key exists.
"""

from typing import Final, Literal
from zlib import crc32

import msgspec

Prefix = Literal["tw", "twapi"]

ACCESS_KEY: Final = "tw"
API_KEY: Final = "twapi"
GENERATION: Final = "g1"
ALPHABET: Final = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
ACCOUNT_CHARS: Final = 6
ID_CHARS: Final = 12
SECRET_CHARS: Final = 32
CHECKSUM_CHARS: Final = 6

_LETTERS: Final = frozenset(ALPHABET)
_TAIL_CHARS: Final = SECRET_CHARS + CHECKSUM_CHARS
_LENGTHS: Final = {
    prefix: len(prefix) + 1 + ID_CHARS + 1 + len(GENERATION) + 1 + _TAIL_CHARS for prefix in (ACCESS_KEY, API_KEY)
}
_HEAD_SHOWN: Final = 10
_TAIL_SHOWN: Final = 4
_LONG_ENOUGH: Final = 20


class KeyParts(msgspec.Struct, frozen=True):
    """A well-formed key, taken apart."""

    prefix: Prefix
    id: str
    secret: str

    def __repr__(self) -> str:
        """Without the secret."""
        return f"KeyParts({self.prefix}-{self.id})"


def write_key(prefix: Prefix, *, id: str, secret: str) -> str:  # noqa: A002  it is the key's id
    """Put a key together. The caller drew `id` and `secret` from ALPHABET."""
    body = f"{prefix}-{id}-{GENERATION}-{secret}"
    return body + checksum(body)


def read_key(text: str, prefix: Prefix) -> KeyParts | None:
    """Take a key apart; None for anything malformed. Length, then characters, then checksum: garbage costs least."""
    if len(text) != _LENGTHS[prefix] or not text.startswith(f"{prefix}-"):
        return None
    id_, generation, tail = (
        text[len(prefix) + 1 :][:ID_CHARS],
        text[-_TAIL_CHARS - 4 : -_TAIL_CHARS],
        text[-_TAIL_CHARS:],
    )
    if generation != f"-{GENERATION}-" or not _LETTERS.issuperset(id_) or not _LETTERS.issuperset(tail):
        return None
    if checksum(text[:-CHECKSUM_CHARS]) != tail[-CHECKSUM_CHARS:]:
        return None
    return KeyParts(prefix, id_, tail[:SECRET_CHARS])


def is_well_formed(text: str, prefix: Prefix = ACCESS_KEY) -> bool:
    """Whether a key could exist: the check that ingress makes before it asks anybody."""
    return read_key(text, prefix) is not None


def checksum(body: str) -> str:
    """CRC-32 of ASCII text as base62 digits, most significant first."""
    value, digits = crc32(body.encode("ascii", "replace")), ""
    for _ in range(CHECKSUM_CHARS):
        value, digit = divmod(value, 62)
        digits = ALPHABET[digit] + digits
    return digits


def redacted(secret: str) -> str:
    """A secret as people may see it: first 10, `***`, last 4. Of short ones a quarter and an eighth."""
    length = len(secret)
    head, tail = (_HEAD_SHOWN, _TAIL_SHOWN) if length >= _LONG_ENOUGH else (length // 4, length // 8)
    return f"{secret[:head]}***{secret[length - tail :]}"
