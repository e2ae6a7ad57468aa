"""Bringing the schema up to date, at the first use of a store."""

from __future__ import annotations

from pathlib import Path

from alembic.config import Config as AlembicConfig
from alembic.runtime.environment import EnvironmentContext
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, inspect, text

from trivet.errors import FailedPrecondition

STATE_VERSION = 6
"""Of a file, in its PRAGMA user_version: the number of the newest migration."""
_LOCK = 7_237_145  # of this program; any number that others do not use
_MIGRATIONS = Path(__file__).parent / "migrations"


def migrate(connection: Connection) -> None:
    """All in the connection's transaction, under a lock: of gateways that start together one does it.

    Raises FailedPrecondition if the schema is of a newer version, or what is there is no state store.
    """
    postgresql = connection.dialect.name == "postgresql"
    if postgresql:
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _LOCK})
    config = AlembicConfig()
    config.set_main_option("script_location", str(_MIGRATIONS).replace("%", "%%"))
    config.set_main_option("version_locations", str(_MIGRATIONS / "versions").replace("%", "%%"))
    config.set_main_option("path_separator", "newline")
    config.attributes["connection"] = connection
    scripts = ScriptDirectory.from_config(config)
    found, head = MigrationContext.configure(connection).get_current_revision(), scripts.get_current_head()
    if found == head:
        return
    _check_ours(connection, found, {script.revision for script in scripts.walk_revisions()}, head)
    with EnvironmentContext(config, scripts, fn=lambda at, _: scripts._upgrade_revs("head", at)):
        scripts.run_env()
    if not postgresql:
        connection.exec_driver_sql(f"PRAGMA user_version = {STATE_VERSION:d}")


def _check_ours(connection: Connection, found: str | None, known: set[str], head: str | None) -> None:
    if found is None and (tables := inspect(connection).get_table_names()):
        raise FailedPrecondition(
            f"there are tables that are not the state store's ({', '.join(sorted(tables)[:5])}), expected a database "
            "of its own"
        )
    if found is not None and found not in known:
        raise FailedPrecondition(
            f"the state store has schema version {found}, which a newer Trivet made; this one knows up to {head}: use "
            "the version that wrote it"
        )
