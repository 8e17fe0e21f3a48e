"""The tables of the read models. `doc` holds the row as told (JSON); the other columns are what is searched by."""

from typing import Final

from sqlalchemy import BigInteger, Boolean, Column, Index, LargeBinary, MetaData, SmallInteger, String, Table

METADATA: Final = MetaData()

USAGE: Final = Table(
    "views_usage",
    METADATA,
    Column("account", String(80), primary_key=True),
    Column("id", String(80), primary_key=True),
    Column("request", String(64), nullable=False),
    Column("at_ms", BigInteger, nullable=False),
    Column("access_key", String(64), nullable=False),
    Column("is_final", Boolean, nullable=False),
    Column("doc", LargeBinary, nullable=False),
    Index("views_usage_by_time", "account", "at_ms", "id"),
    Index("views_usage_by_request", "account", "request"),
)
MOVEMENT: Final = Table(
    "views_movement",
    METADATA,
    Column("account", String(80), primary_key=True),
    Column("id", String(64), primary_key=True),
    Column("doc", LargeBinary, nullable=False),
)
"""Money in and out, without usage."""

HOUR: Final = Table(
    "views_hour",
    METADATA,
    Column("account", String(80), primary_key=True),
    Column("hour", BigInteger, primary_key=True),
    Column("access_key", String(64), primary_key=True),
    Column("provider", String(80), primary_key=True),
    Column("cost", BigInteger, nullable=False),
    Column("requests", BigInteger, nullable=False),
    Column("errors", BigInteger, nullable=False),
)
"""Sums per UTC hour (Unix hours)."""

ENDING: Final = Table(
    "views_ending",
    METADATA,
    Column("account", String(80), primary_key=True),
    Column("request", String(64), primary_key=True),
    Column("ending", String(16), nullable=False),
    Column("charged", BigInteger, nullable=False),
)
"""How a request ended, for those that did not end with an ordinary settlement."""

BALANCE: Final = Table(
    "views_balance",
    METADATA,
    Column("account", String(80), primary_key=True),
    Column("available", BigInteger, nullable=False),
    Column("held", BigInteger, nullable=False),
    Column("debt", BigInteger, nullable=False),
)
WATERMARK: Final = Table(
    "views_watermark",
    METADATA,
    Column("journal", SmallInteger, primary_key=True, autoincrement=False),
    Column("seq", BigInteger, nullable=False),
    Column("hash", LargeBinary, nullable=False),
)
"""How far the read models have come; written in the same transaction as the rows."""

PROJECTED: Final = (USAGE, MOVEMENT, HOUR, ENDING, BALANCE)
