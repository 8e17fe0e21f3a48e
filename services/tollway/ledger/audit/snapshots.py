"""States to start from: what the auditor replayed, sealed with its key. Any of them may be dropped or damaged.

A snapshot counts only if the block it names is in the journal with that hash and the seal is ours; otherwise an older
one is tried, and in the end the first block.
"""

import hashlib
import zlib
from collections.abc import Sequence
from typing import Any, Final

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from sqlalchemy import Engine, delete, insert, select
from sqlalchemy.exc import SQLAlchemyError

from tollway.ledger.audit.keys import Signer, is_signed
from tollway.ledger.journal.block import Head, head_of
from tollway.ledger.journal.store import JournalStore, UnknownError
from tollway.ledger.journal.tables import SNAPSHOT
from tollway.ledger.state import STATE_VERSION, State, canonical

KEPT: Final = 2
BYTES_MAX: Final = 1 << 31
_decode_state: Final = msgspec.json.Decoder(State).decode


class Sealed(msgspec.Struct, frozen=True, array_like=True):
    """What the table's `body` holds: a compressed state and the seal over it, its place and its block."""

    key_id: str
    signature: bytes
    payload: bytes


def _message(journal: int, seq: int, block_hash: bytes, digest: bytes) -> bytes:
    return b"tollway snapshot %d" % STATE_VERSION + journal.to_bytes(2) + seq.to_bytes(8) + block_hash + digest


def save(engine: Engine, signer: Signer, state: State, head: Head) -> None:
    """Write a snapshot of the state after `head`'s block, and forget all but the newest few. Raises SQLAlchemyError."""
    payload = zlib.compress(canonical(state), 1)
    digest = hashlib.sha256(payload).digest()
    signature = signer.sign(_message(state.journal, head.seq, head.hash, digest))
    row = {
        "journal": state.journal,
        "seq": head.seq,
        "block_hash": head.hash,
        "digest": digest,
        "body": msgspec.msgpack.encode(Sealed(signer.key_id, signature, payload)),
    }
    mine = SNAPSHOT.c.journal == state.journal
    with engine.begin() as connection:
        connection.execute(delete(SNAPSHOT).where(mine, SNAPSHOT.c.seq == head.seq))
        connection.execute(insert(SNAPSHOT).values(row))
        newest = select(SNAPSHOT.c.seq).where(mine).order_by(SNAPSHOT.c.seq.desc()).limit(KEPT)
        kept = [seq for (seq,) in connection.execute(newest)]
        connection.execute(delete(SNAPSHOT).where(mine, SNAPSHOT.c.seq < min(kept)))


def newest(store: JournalStore, journal: int, keys: Sequence[Ed25519PublicKey]) -> tuple[State, Head]:
    """The newest snapshot that can be trusted, or the empty beginning. Raises UnknownError."""
    for row in _rows(store.engine, journal):
        found = _opened(store, row, keys)
        if found is not None:
            return found
    return State(journal), Head()


def _rows(engine: Engine, journal: int) -> list[Any]:
    query = select(SNAPSHOT).where(SNAPSHOT.c.journal == journal).order_by(SNAPSHOT.c.seq.desc())
    try:
        with engine.connect() as connection:
            return list(connection.execute(query).all())
    except SQLAlchemyError as fault:
        raise UnknownError(type(fault).__name__) from fault


def _opened(store: JournalStore, row: Any, keys: Sequence[Ed25519PublicKey]) -> tuple[State, Head] | None:
    """The state in a row, if every doubt about it is answered."""
    block = store.block(row.journal, row.seq)
    if block is None or block.hash != bytes(row.block_hash):
        return None
    try:
        sealed = msgspec.msgpack.decode(bytes(row.body), type=Sealed)
    except msgspec.DecodeError:
        return None
    message = _message(row.journal, row.seq, block.hash, hashlib.sha256(sealed.payload).digest())
    if not any(is_signed(key, sealed.signature, message) for key in keys):
        return None
    state = _read(sealed.payload)
    is_its_own = state is not None and state.journal == row.journal and state.events == block.first_eid + block.n
    return (state, head_of(block)) if state is not None and is_its_own else None


def _read(payload: bytes) -> State | None:
    try:
        return _decode_state(zlib.decompressobj().decompress(payload, BYTES_MAX))
    except (zlib.error, msgspec.DecodeError):
        return None
