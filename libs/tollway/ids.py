"""Ids carry their kind and sort by time: `rq_01JD…` is a prefix and a ULID (48 bits of milliseconds, 80 random).

Within a process they also sort by creation inside one millisecond, as the ULID specification asks of generators.
"""

import os
import threading
from typing import Final

from tollway import clock

_ALPHABET: Final = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_VALUES: Final = {letter: value for value, letter in enumerate(_ALPHABET)}
_PAIRS: Final = [high + low for high in _ALPHABET for low in _ALPHABET]
_RANDOM_BITS: Final = 80
_ENTROPY_BYTES: Final = 4096
BACK_MS_MAX: Final = 10_000
"""A clock set back by less is waited for, so that ids still sort; one set back by more had been wrong, and ids of that
time would be refused by the ledger until it comes."""


class _Entropy:
    """The kernel's random bytes, fetched a page at a time: each call gives up the interpreter's lock, which costs 7 us
    while another thread wants it, and a request takes some twenty ids."""

    def __init__(self) -> None:
        self._bytes = b""
        self._at = 0
        self._lock = threading.Lock()

    def take(self, count: int) -> bytes:
        with self._lock:
            if self._at + count > len(self._bytes):
                self._bytes, self._at = os.urandom(_ENTROPY_BYTES), 0
            self._at += count
            return self._bytes[self._at - count : self._at]


class _Generator:
    """Monotonic ULIDs of one process; a fresh one after a fork, so that children never repeat their parent."""

    def __init__(self) -> None:
        self._last = 0
        self._lock = threading.Lock()

    def next(self) -> int:
        with self._lock:
            fresh = (clock.now_ms() << _RANDOM_BITS) | int.from_bytes(_entropy.take(10), "big")
            behind_ms = (self._last >> _RANDOM_BITS) - (fresh >> _RANDOM_BITS)
            is_kept = 0 <= behind_ms < BACK_MS_MAX
            self._last = self._last + 1 + fresh % (1 << 32) if is_kept else fresh
            return self._last


_entropy = _Entropy()
_generator = _Generator()


def _reset() -> None:
    global _entropy, _generator
    _entropy, _generator = _Entropy(), _Generator()


os.register_at_fork(after_in_child=_reset)


def new_id(prefix: str) -> str:
    """A new id of a kind, e.g. `new_id("rq")`."""
    return f"{prefix}_{_base32(_generator.next())}"


def _base32(value: int) -> str:
    return "".join([_PAIRS[(value >> shift) & 1023] for shift in range(120, -1, -10)])


def ulid_ms(identifier: str) -> int:
    """When an id was made, Unix milliseconds. Raises ValueError for anything that is not a ULID with a prefix."""
    ulid = identifier.rpartition("_")[2]
    if len(ulid) != 26 or any(letter not in _VALUES for letter in ulid):
        raise ValueError(f"not an id with a ULID: {identifier!r}")
    value = 0
    for letter in ulid[:10]:
        value = value * 32 + _VALUES[letter]
    return value


def new_span_id() -> str:
    """16 hex digits (all zero, which a trace may not have, once in 2^64)."""
    return _entropy.take(8).hex()


def new_trace_id() -> str:
    """32 hex digits."""
    return _entropy.take(16).hex()
