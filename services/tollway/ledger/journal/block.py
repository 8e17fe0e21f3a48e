"""A block: events as stored bytes, chained by hash. Readers verify before they decode; nobody encodes again to check.

`hash = SHA-256(version | journal | seq | epoch | ts | first_eid | n | codec | prev_hash | body)` over stored bytes,
integers big-endian. Bodies are JSON arrays of events, compressed from 4 KB on.
"""

import hashlib
import struct
import zlib
from collections.abc import Iterator, Sequence
from typing import Any, Final

import msgspec

from tollway.ledger.events import AnyEvent

VERSION: Final = 1
GENESIS: Final = bytes(32)
CODEC_JSON: Final = 0
CODEC_ZLIB: Final = 1
COMPRESS_FROM_BYTES: Final = 4_096
COMPRESS_LEVEL: Final = 1
EVENTS_MAX: Final = 512
BODY_BYTES_MAX: Final = 64 * 1024 * 1024
"""A body that claims to be larger than this when inflated is damaged."""
_HEADER: Final = struct.Struct(">BHQQQQIB")

_encode: Final = msgspec.json.Encoder().encode
_decoder: Final = msgspec.json.Decoder(list[AnyEvent])


class Block(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """As stored, column by column. `ts` is Unix microseconds; `first_eid` counts the journal's events from 0."""

    journal: int
    seq: int
    epoch: int
    ts: int
    prev_hash: bytes
    hash: bytes
    n: int
    first_eid: int
    codec: int
    body: bytes


class Head(msgspec.Struct, frozen=True, gc=False):
    """Where a journal ends: what the next block must follow."""

    seq: int = 0
    hash: bytes = GENESIS
    epoch: int = 0
    ts: int = 0
    events: int = 0


class DamagedError(Exception):
    """A block is not what was written. `journal` and `seq` name it, `what` says how it shows."""

    def __init__(self, journal: int, seq: int, what: str) -> None:
        super().__init__(f"journal {journal} block {seq}: {what}")
        self.journal, self.seq, self.what = journal, seq, what


def digest(
    *, journal: int, seq: int, epoch: int, ts: int, first_eid: int, n: int, codec: int, prev_hash: bytes, body: bytes
) -> bytes:
    """The hash of a block."""
    header = _HEADER.pack(VERSION, journal, seq, epoch, ts, first_eid, n, codec)
    return hashlib.sha256(header + prev_hash + body).digest()


def build(journal: int, head: Head, *, epoch: int, ts: int, events: Sequence[Any]) -> Block:
    """The block that follows `head`. The caller keeps `ts` rising."""
    assert ts > head.ts, "block time rises"
    codec, body = _packed(_encode(events))
    seq, first_eid, n = head.seq + 1, head.events, len(events)
    hashed = digest(
        journal=journal,
        seq=seq,
        epoch=epoch,
        ts=ts,
        first_eid=first_eid,
        n=n,
        codec=codec,
        prev_hash=head.hash,
        body=body,
    )
    return Block(journal, seq, epoch, ts, head.hash, hashed, n, first_eid, codec, body)


def _packed(plain: bytes) -> tuple[int, bytes]:
    if len(plain) < COMPRESS_FROM_BYTES:
        return CODEC_JSON, plain
    return CODEC_ZLIB, zlib.compress(plain, COMPRESS_LEVEL)


def head_of(block: Block) -> Head:
    """The head after this block."""
    return Head(block.seq, block.hash, block.epoch, block.ts, block.first_eid + block.n)


def check(block: Block, head: Head) -> None:
    """Raise DamagedError unless the block is intact and follows `head`."""
    what = _fault(block, head)
    if what:
        raise DamagedError(block.journal, block.seq, what)


def _fault(block: Block, head: Head) -> str:
    if block.seq != head.seq + 1:
        return f"follows block {head.seq}: one is missing"
    if block.prev_hash != head.hash:
        return "does not link to the block before it"
    if hash_of(block) != block.hash:
        return "its content was changed: the hash differs"
    if block.epoch < head.epoch:
        return f"was written by epoch {block.epoch} after epoch {head.epoch} had begun"
    if block.ts <= head.ts:
        return "its time is not after the block before it"
    if block.first_eid != head.events:
        return "its events are not numbered on from the block before it"
    return ""


def hash_of(block: Block) -> bytes:
    """The hash that the stored bytes have."""
    try:
        return digest(
            journal=block.journal,
            seq=block.seq,
            epoch=block.epoch,
            ts=block.ts,
            first_eid=block.first_eid,
            n=block.n,
            codec=block.codec,
            prev_hash=block.prev_hash,
            body=block.body,
        )
    except (struct.error, TypeError):  # a number out of range, a column of another type: SQLite takes any
        return b""


def plain_body(block: Block) -> bytes:
    """The JSON of a block. Raises DamagedError."""
    if block.codec == CODEC_JSON:
        return block.body
    if block.codec != CODEC_ZLIB:
        raise DamagedError(block.journal, block.seq, f"unknown codec {block.codec}")
    try:
        inflater = zlib.decompressobj()
        plain = inflater.decompress(block.body, BODY_BYTES_MAX)
    except zlib.error as error:
        raise DamagedError(block.journal, block.seq, "cannot be inflated") from error
    if not inflater.eof:
        raise DamagedError(block.journal, block.seq, "is cut short or too large")
    return plain


def events_of(block: Block) -> list[Any]:
    """The events of a block. Raises DamagedError."""
    try:
        events = _decoder.decode(plain_body(block))
    except msgspec.DecodeError as error:
        raise DamagedError(block.journal, block.seq, f"cannot be read: {error}") from error
    if len(events) != block.n:
        raise DamagedError(block.journal, block.seq, f"holds {len(events)} events instead of {block.n}")
    return events


def chain(journal: int, head: Head, epoch: int, parts: Sequence[tuple[int, Sequence[Any]]]) -> Iterator[Block]:
    """Blocks for parts `(ts, events)`, each following the one before."""
    for ts, events in parts:
        block = build(journal, head, epoch=epoch, ts=ts, events=events)
        head = head_of(block)
        yield block
