"""The block journal, who writes it, snapshots and checkpoints."""

import sqlalchemy as sa
from alembic import op

revision = "journal_0001"
down_revision = None
branch_labels = None
depends_on = None

SQLITE_TRIGGERS = tuple(
    f"CREATE TRIGGER ledger_block_no_{verb.lower()} BEFORE {verb} ON ledger_block "
    "BEGIN SELECT RAISE(ABORT, 'ledger_block is append only'); END"
    for verb in ("UPDATE", "DELETE")
)
POSTGRESQL_TRIGGERS = (
    "CREATE FUNCTION ledger_block_is_append_only() RETURNS trigger LANGUAGE plpgsql AS "
    "$$ BEGIN RAISE EXCEPTION 'ledger_block is append only'; END $$",
    "CREATE TRIGGER ledger_block_no_change BEFORE UPDATE OR DELETE ON ledger_block "
    "FOR EACH ROW EXECUTE FUNCTION ledger_block_is_append_only()",
    "CREATE TRIGGER ledger_block_no_truncate BEFORE TRUNCATE ON ledger_block "
    "FOR EACH STATEMENT EXECUTE FUNCTION ledger_block_is_append_only()",
)


def upgrade() -> None:
    op.create_table(
        "ledger_block",
        sa.Column("journal", sa.SmallInteger, primary_key=True, autoincrement=False),
        sa.Column("seq", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("epoch", sa.BigInteger, nullable=False),
        sa.Column("ts", sa.BigInteger, nullable=False),
        sa.Column("prev_hash", sa.LargeBinary, nullable=False),
        sa.Column("hash", sa.LargeBinary, nullable=False),
        sa.Column("n", sa.Integer, nullable=False),
        sa.Column("first_eid", sa.BigInteger, nullable=False),
        sa.Column("codec", sa.SmallInteger, nullable=False),
        sa.Column("body", sa.LargeBinary, nullable=False),
    )
    op.create_table(
        "ledger_member",
        sa.Column("node", sa.String(64), primary_key=True),
        sa.Column("host", sa.String(255), nullable=False),
        sa.Column("pid", sa.BigInteger, nullable=False),
        sa.Column("beat", sa.BigInteger, nullable=False),
    )
    op.create_table(
        "ledger_owner",
        sa.Column("grp", sa.SmallInteger, primary_key=True, autoincrement=False),
        sa.Column("node", sa.String(64), nullable=True),
        sa.Column("term", sa.BigInteger, nullable=False),
    )
    op.create_table(
        "ledger_snapshot",
        sa.Column("journal", sa.SmallInteger, primary_key=True, autoincrement=False),
        sa.Column("seq", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("block_hash", sa.LargeBinary, nullable=False),
        sa.Column("digest", sa.LargeBinary, nullable=False),
        sa.Column("body", sa.LargeBinary, nullable=False),
    )
    op.create_table(
        "ledger_checkpoint",
        sa.Column("id", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("ts", sa.BigInteger, nullable=False),
        sa.Column("body", sa.LargeBinary, nullable=False),
        sa.Column("signature", sa.LargeBinary, nullable=False),
        sa.Column("key_id", sa.String(64), nullable=False),
    )
    is_sqlite = op.get_bind().dialect.name == "sqlite"
    for statement in SQLITE_TRIGGERS if is_sqlite else POSTGRESQL_TRIGGERS:
        op.execute(statement)


def downgrade() -> None:
    raise NotImplementedError("the journal is never taken away")
