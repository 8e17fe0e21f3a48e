"""Durable things: `engine` (SQLite and PostgreSQL through one door), `migrate` (alembic trees), `outbox` (facts that
must not be lost before the ledger has them)."""
