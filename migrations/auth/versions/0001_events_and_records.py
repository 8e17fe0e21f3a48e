"""The log of auth and its projection."""

import sqlalchemy as sa
from alembic import op

revision = "auth_0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "auth_event",
        sa.Column("seq", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("account_id", sa.String(64), nullable=False),
        sa.Column("type", sa.String(64), nullable=False),
        sa.Column("resource_id", sa.String(320), nullable=False),
        sa.Column("at_ms", sa.BigInteger, nullable=False),
        sa.Column("by_id", sa.String(64), nullable=False),
        sa.Column("body", sa.LargeBinary, nullable=False),
    )
    op.create_index("auth_event_account", "auth_event", ["account_id", "seq"])
    op.create_table(
        "auth_record",
        sa.Column("kind", sa.String(32), primary_key=True),
        sa.Column("id", sa.String(320), primary_key=True),
        sa.Column("account_id", sa.String(64), nullable=False),
        sa.Column("body", sa.LargeBinary, nullable=False),
    )
    op.create_table(
        "auth_position",
        sa.Column("name", sa.String(32), primary_key=True),
        sa.Column("seq", sa.BigInteger, nullable=False),
    )
    op.create_table(
        "auth_use",
        sa.Column("id", sa.String(320), primary_key=True),
        sa.Column("at_ms", sa.BigInteger, nullable=False),
    )
