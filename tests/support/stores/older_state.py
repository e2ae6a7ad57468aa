"""A state store as an older version of Trivet left it."""

from __future__ import annotations

from pathlib import Path

import sqlalchemy as sa
from alembic.config import Config
from alembic.runtime.environment import EnvironmentContext
from alembic.script import ScriptDirectory

from trivet.stores.state.database import migration

ROWS = (
    "INSERT INTO desired_adapter VALUES ('local', 'tone', '1', '{digest}', 1.0)",
    "INSERT INTO feedback VALUES ('acme', 'r1', 1, 0.5, 'fine', '', '', 1.0)",
)
DIGEST = "d" * 64


def _engine(place: Path | str) -> sa.Engine:
    url = (
        f"sqlite:///{place}" if isinstance(place, Path) else place.replace("postgresql://", "postgresql+psycopg://", 1)
    )
    return sa.create_engine(url)


def write_state(place: Path | str, revision: str) -> None:
    """The schema of that revision, with an adapter and a feedback in it."""
    engine, config = _engine(place), Config()
    folder = str(Path(migration.__file__).parent / "migrations")
    config.set_main_option("script_location", folder)
    config.set_main_option("version_locations", f"{folder}/versions")
    config.set_main_option("path_separator", "newline")
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        scripts = ScriptDirectory.from_config(config)
        with EnvironmentContext(config, scripts, fn=lambda at, _: scripts._upgrade_revs(revision, at)):
            scripts.run_env()
        for row in ROWS:
            connection.execute(sa.text(row.format(digest=DIGEST)))
        if isinstance(place, Path):
            connection.exec_driver_sql(f"PRAGMA user_version = {int(revision)}")
    engine.dispose()


def mark_newer(place: Path | str) -> None:
    """As if a version that is not written yet had brought it up to date."""
    engine = _engine(place)
    with engine.begin() as connection:
        connection.execute(sa.text("UPDATE alembic_version SET version_num = '9999'"))
    engine.dispose()
