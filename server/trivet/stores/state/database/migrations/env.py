"""Run by alembic with the connection that `stores.state.database` holds the lock on."""

from __future__ import annotations

from alembic import context

from trivet.stores.state.schema import metadata

context.configure(connection=context.config.attributes["connection"], target_metadata=metadata)
context.run_migrations()
