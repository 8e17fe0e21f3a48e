"""What alembic runs for each part: the connection and the version table come from `tollway.store.migrate`."""

from alembic import context

_given = context.config.attributes
_connection = _given.get("connection")
if _connection is None:
    raise RuntimeError("migrations run through tollway.store.migrate (`tollway migrate`), not through alembic itself")

context.configure(
    connection=_connection,
    version_table=_given["version_table"],
    render_as_batch=True,
    transactional_ddl=True,
)
with context.begin_transaction():
    context.run_migrations()
