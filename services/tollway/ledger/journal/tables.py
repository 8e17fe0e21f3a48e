"""The journal's tables. `ledger_block` is created once and never migrated: a new meaning is a new codec."""

from typing import Final

from sqlalchemy import BigInteger, Column, Integer, LargeBinary, MetaData, SmallInteger, String, Table

METADATA: Final = MetaData()

BLOCK: Final = Table(
    "ledger_block",
    METADATA,
    Column("journal", SmallInteger, primary_key=True, autoincrement=False),
    Column("seq", BigInteger, primary_key=True, autoincrement=False),
    Column("epoch", BigInteger, nullable=False),
    Column("ts", BigInteger, nullable=False),
    Column("prev_hash", LargeBinary, nullable=False),
    Column("hash", LargeBinary, nullable=False),
    Column("n", Integer, nullable=False),
    Column("first_eid", BigInteger, nullable=False),
    Column("codec", SmallInteger, nullable=False),
    Column("body", LargeBinary, nullable=False),
)
"""Append only: triggers refuse UPDATE, DELETE and TRUNCATE."""

MEMBER: Final = Table(
    "ledger_member",
    METADATA,
    Column("node", String(64), primary_key=True),
    Column("host", String(255), nullable=False),
    Column("pid", BigInteger, nullable=False),
    Column("beat", BigInteger, nullable=False),
)
"""Ledger processes. A beat that stands still means that its process is gone."""

OWNER: Final = Table(
    "ledger_owner",
    METADATA,
    Column("grp", SmallInteger, primary_key=True, autoincrement=False),
    Column("node", String(64), nullable=True),
    Column("term", BigInteger, nullable=False),
)
"""Who writes which group of journals. It only avoids needless fights: the block's key decides."""

SNAPSHOT: Final = Table(
    "ledger_snapshot",
    METADATA,
    Column("journal", SmallInteger, primary_key=True, autoincrement=False),
    Column("seq", BigInteger, primary_key=True, autoincrement=False),
    Column("block_hash", LargeBinary, nullable=False),
    Column("digest", LargeBinary, nullable=False),
    Column("body", LargeBinary, nullable=False),
)
"""States that the auditor replayed, to start from. Any of them may be dropped."""

CHECKPOINT: Final = Table(
    "ledger_checkpoint",
    METADATA,
    Column("id", BigInteger, primary_key=True, autoincrement=False),
    Column("ts", BigInteger, nullable=False),
    Column("body", LargeBinary, nullable=False),
    Column("signature", LargeBinary, nullable=False),
    Column("key_id", String(64), nullable=False),
)
"""Signed heads of all journals."""
