"""The schema, version by version (alembic). The newest equals `schema.metadata`; a test compares."""
