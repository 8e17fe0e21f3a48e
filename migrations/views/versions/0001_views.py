"""The ledger's read models."""

import sqlalchemy as sa
from alembic import op

revision = "views_0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "views_usage",
        sa.Column("account", sa.String(80), primary_key=True),
        sa.Column("id", sa.String(80), primary_key=True),
        sa.Column("request", sa.String(64), nullable=False),
        sa.Column("at_ms", sa.BigInteger, nullable=False),
        sa.Column("access_key", sa.String(64), nullable=False),
        sa.Column("is_final", sa.Boolean, nullable=False),
        sa.Column("doc", sa.LargeBinary, nullable=False),
    )
    op.create_index("views_usage_by_time", "views_usage", ["account", "at_ms", "id"])
    op.create_index("views_usage_by_request", "views_usage", ["account", "request"])
    op.create_table(
        "views_movement",
        sa.Column("account", sa.String(80), primary_key=True),
        sa.Column("id", sa.String(64), primary_key=True),
        sa.Column("doc", sa.LargeBinary, nullable=False),
    )
    op.create_table(
        "views_hour",
        sa.Column("account", sa.String(80), primary_key=True),
        sa.Column("hour", sa.BigInteger, primary_key=True),
        sa.Column("access_key", sa.String(64), primary_key=True),
        sa.Column("provider", sa.String(80), primary_key=True),
        sa.Column("cost", sa.BigInteger, nullable=False),
        sa.Column("requests", sa.BigInteger, nullable=False),
        sa.Column("errors", sa.BigInteger, nullable=False),
    )
    op.create_table(
        "views_ending",
        sa.Column("account", sa.String(80), primary_key=True),
        sa.Column("request", sa.String(64), primary_key=True),
        sa.Column("ending", sa.String(16), nullable=False),
        sa.Column("charged", sa.BigInteger, nullable=False),
    )
    op.create_table(
        "views_balance",
        sa.Column("account", sa.String(80), primary_key=True),
        sa.Column("available", sa.BigInteger, nullable=False),
        sa.Column("held", sa.BigInteger, nullable=False),
        sa.Column("debt", sa.BigInteger, nullable=False),
    )
    op.create_table(
        "views_watermark",
        sa.Column("journal", sa.SmallInteger, primary_key=True, autoincrement=False),
        sa.Column("seq", sa.BigInteger, nullable=False),
        sa.Column("hash", sa.LargeBinary, nullable=False),
    )


def downgrade() -> None:
    for name in ("usage", "movement", "hour", "ending", "balance", "watermark"):
        op.drop_table(f"views_{name}")
