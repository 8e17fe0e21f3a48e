"""Who may do what in PostgreSQL: each service with tables has a role of its own there.

The owner (`tollway`) migrates and is the operator's; `tollway_auth` and `tollway_ledger` reach their own tables, and
the ledger's role can only read and append blocks, so that not even a ledger that was taken over rewrites history.
Where the roles do not exist (a database of the operator's own), nothing is granted.
"""

from collections.abc import Iterator
from typing import Final

from sqlalchemy import DDL, Connection, inspect, text

from tollway.store.engine import open_engine

OWNER: Final = "tollway"
READ: Final = "SELECT"
APPEND: Final = "SELECT, INSERT"
CHANGE: Final = "SELECT, INSERT, UPDATE, DELETE"
PREFIXES: Final[tuple[tuple[str, str, str], ...]] = (
    ("auth_", "tollway_auth", CHANGE),
    ("ledger_block", "tollway_ledger", APPEND),
    ("ledger_checkpoint", "tollway_ledger", APPEND),
    ("ledger_", "tollway_ledger", CHANGE),
    ("views_", "tollway_ledger", CHANGE),
    ("alembic_version_auth", "tollway_auth", READ),
    ("alembic_version_journal", "tollway_ledger", READ),
    ("alembic_version_views", "tollway_ledger", READ),
)
"""What a table's name begins with, whose it is, and what that role may do; the first row that fits counts."""

ROLES: Final = tuple(dict.fromkeys(role for _, role, _ in PREFIXES))


def grant(url: str) -> list[str]:
    """Give every role exactly what the table says; the tables that were granted. Safe to repeat."""
    engine = open_engine(url)
    try:
        with engine.begin() as connection:
            return list(_granted(connection)) if connection.dialect.name == "postgresql" else []
    finally:
        engine.dispose()


def _granted(connection: Connection) -> Iterator[str]:
    known = set(connection.execute(text("SELECT rolname FROM pg_roles")).scalars())
    quote = connection.dialect.identifier_preparer.quote
    for table in inspect(connection).get_table_names():
        owned = next(((role, what) for prefix, role, what in PREFIXES if table.startswith(prefix)), None)
        if owned is None or owned[0] not in known:
            continue
        role, what = owned
        connection.execute(DDL(f"REVOKE ALL ON {quote(table)} FROM {quote(role)}"))
        connection.execute(DDL(f"GRANT {what} ON {quote(table)} TO {quote(role)}"))
        yield table
