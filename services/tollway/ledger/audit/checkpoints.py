"""Signed heads: whoever keeps a checkpoint elsewhere can tell later that the log was not rewritten as a whole.

A checkpoint lists `journal: [block, hash]`, the Merkle root over them and the hash of the checkpoint before it.
"""

import hashlib
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Final

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from sqlalchemy import Engine, func, insert, select

from tollway.ledger.audit.keys import Signer, is_signed
from tollway.ledger.journal.block import Head
from tollway.ledger.journal.store import JournalStore
from tollway.ledger.journal.tables import CHECKPOINT

PREFIX: Final = b"tollway checkpoint 1"
_encode: Final = msgspec.json.Encoder(order="sorted").encode


class Body(msgspec.Struct, frozen=True):
    """What is signed. `heads` maps a journal to its block number and that block's hash in hex."""

    at_ms: int
    heads: dict[str, tuple[int, str]]
    root: str
    before: str


class Checkpoint(msgspec.Struct, frozen=True):
    """As stored and exported."""

    id: int
    body: str
    signature: str
    key_id: str

    @property
    def told(self) -> Body:
        """What it says. Raises msgspec.DecodeError."""
        return msgspec.json.decode(self.body, type=Body)


def read_line(line: bytes) -> Checkpoint:
    """A line of an exported file; what it says can be read, too. Raises msgspec.DecodeError."""
    read = msgspec.json.decode(line, type=Checkpoint)
    try:
        bytes.fromhex(read.signature)
        _ = read.told
    except ValueError:
        raise msgspec.DecodeError("its signature is not hexadecimal") from None
    return read


def merkle_root(leaves: Sequence[bytes]) -> bytes:
    """The root of a Merkle tree (RFC 6962 hashing: leaves and nodes cannot be taken for each other)."""
    if not leaves:
        return hashlib.sha256(b"").digest()
    if len(leaves) == 1:
        return hashlib.sha256(b"\x00" + leaves[0]).digest()
    split = 1 << (len(leaves) - 1).bit_length() - 1
    return hashlib.sha256(b"\x01" + merkle_root(leaves[:split]) + merkle_root(leaves[split:])).digest()


def root_of(heads: Mapping[str, tuple[int, str]]) -> str:
    """The Merkle root over heads, in the order of journals."""
    return merkle_root([f"{journal} {seq} {digest}".encode() for journal, (seq, digest) in sorted(heads.items())]).hex()


def make(signer: Signer, heads: Mapping[int, Head], at_ms: int, *, number: int, before: str) -> Checkpoint:
    """Sign heads. `before` is the hash of the checkpoint before this one, in hex."""
    told = {f"{journal:02d}": (head.seq, head.hash.hex()) for journal, head in heads.items()}
    body = _encode(Body(at_ms, told, root_of(told), before))
    return Checkpoint(number, body.decode(), signer.sign(PREFIX + body).hex(), signer.key_id)


def write(engine: Engine, signer: Signer, heads: Mapping[int, Head], at_ms: int) -> Checkpoint:
    """Sign and store. Raises SQLAlchemyError (another ledger may have taken the number: try again later)."""
    with engine.begin() as connection:
        last = connection.execute(select(func.max(CHECKPOINT.c.id))).scalar() or 0
        row = connection.execute(select(CHECKPOINT.c.body).where(CHECKPOINT.c.id == last)).one_or_none()
        before = hashlib.sha256(bytes(row.body)).hexdigest() if row else ""
        made = make(signer, heads, at_ms, number=last + 1, before=before)
        values = {
            "id": made.id,
            "ts": at_ms,
            "body": made.body.encode(),
            "signature": bytes.fromhex(made.signature),
            "key_id": made.key_id,
        }
        connection.execute(insert(CHECKPOINT).values(values))
    return made


def read(engine: Engine) -> list[Checkpoint]:
    """All of them, in order. Raises SQLAlchemyError."""
    with engine.connect() as connection:
        rows = connection.execute(select(CHECKPOINT).order_by(CHECKPOINT.c.id)).all()
    return [Checkpoint(row.id, bytes(row.body).decode(), bytes(row.signature).hex(), row.key_id) for row in rows]


def faults(store: JournalStore, checkpoints: Sequence[Checkpoint], keys: Mapping[str, Ed25519PublicKey]) -> list[str]:
    """What is wrong with checkpoints, and with the journal as they saw it. Raises UnknownError."""
    found: list[str] = []
    for checkpoint in checkpoints:
        found += _faults_of(store, checkpoint, keys)
    return found + _links(checkpoints)


def _links(checkpoints: Sequence[Checkpoint]) -> list[str]:
    pairs = pairwise(checkpoints)
    return [
        f"checkpoint {after.id}: does not follow checkpoint {before.id}"
        for before, after in pairs
        if after.id == before.id + 1 and after.told.before != hashlib.sha256(before.body.encode()).hexdigest()
    ]


def _faults_of(store: JournalStore, checkpoint: Checkpoint, keys: Mapping[str, Ed25519PublicKey]) -> list[str]:
    name = f"checkpoint {checkpoint.id}"
    key = keys.get(checkpoint.key_id)
    if key is None:
        return [f"{name}: signed by an unknown key {checkpoint.key_id}"]
    if not is_signed(key, bytes.fromhex(checkpoint.signature), PREFIX + checkpoint.body.encode()):
        return [f"{name}: the signature is wrong"]
    told = checkpoint.told
    found = [] if told.root == root_of(told.heads) else [f"{name}: its root is not that of its heads"]
    for journal, (seq, digest) in told.heads.items():
        block = store.block(int(journal), seq) if seq else None
        if seq and (block is None or block.hash.hex() != digest):
            found.append(f"{name}: journal {int(journal)} block {seq} is not the one that was signed")
    return found
