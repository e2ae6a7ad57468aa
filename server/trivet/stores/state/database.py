"""The connection to the state store: SQLite in the data folder, or PostgreSQL."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

from alembic.config import Config as AlembicConfig
from alembic.runtime.environment import EnvironmentContext
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import URL, Connection, Engine, create_engine, event, make_url, text
from sqlalchemy.exc import ArgumentError, DBAPIError, IntegrityError, ProgrammingError

from trivet.errors import FailedPrecondition, StateUnavailable

ResultT = TypeVar("ResultT")

SECONDS = 5.0
"""The longest that a statement may take, a connection may take to open, and a lock may be waited for."""
_THREADS = 4  # connections to PostgreSQL; SQLite has one, for it has one writer
_MIGRATION_LOCK = 7_237_145  # of this program; any number that others do not use
_MIGRATIONS = Path(__file__).parent / "migrations"


class StateDatabase:
    """Every piece of work is one transaction: after `kill -9` it is there whole or not at all.

    SQLite: write-ahead log, synchronous=FULL, BEGIN IMMEDIATE (https://sqlite.org/wal.html). PostgreSQL: nothing is
    kept in a session between transactions, so a pooler in transaction mode may stand before it.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._threads = ThreadPoolExecutor(1 if self.embedded else _THREADS, "state-store")

    @property
    def embedded(self) -> bool:
        """It is a file of this data folder, and no other gateway has it."""
        return self._engine.dialect.name == "sqlite"

    @property
    def url(self) -> URL:
        """Where it is, the password included."""
        return self._engine.url

    @classmethod
    def open(cls, where: Path | str) -> StateDatabase:
        """Open a SQLite file, made if it is not there, or a `postgresql://` URL, and bring its schema up to date.

        Blocks. Raises StateUnavailable if it cannot be reached, FailedPrecondition if it is no state store of ours or
        of a newer version.
        """
        engine = _sqlite(where) if isinstance(where, Path) else _postgresql(where)
        try:
            with engine.begin() as connection:
                _migrate(connection)
        except DBAPIError as error:
            engine.dispose()
            if isinstance(where, Path):
                raise FailedPrecondition(
                    f"{where.name} cannot be opened: {_said(error)}. `trivet doctor` says more; a backup "
                    "(`trivet restore`) mends it"
                ) from error
            raise StateUnavailable(f"the state store cannot be opened: {_said(error)}") from error
        except BaseException:
            engine.dispose()
            raise
        return cls(engine)

    async def run(self, work: Callable[[Connection], ResultT]) -> ResultT:
        """`work` in a transaction; committed, and on the disk, when this returns. Raises StateUnavailable.

        Cancelled, it is done all the same or not at all.
        """
        return await asyncio.get_running_loop().run_in_executor(self._threads, self._transaction, work)

    def close(self) -> None:
        """Finish what was asked for and close every connection."""
        self._threads.shutdown()
        self._engine.dispose()

    def _transaction(self, work: Callable[[Connection], ResultT]) -> ResultT:
        try:
            with self._engine.begin() as connection:
                return work(connection)
        except (IntegrityError, ProgrammingError):  # mistakes of this program, not of the store
            raise
        except DBAPIError as error:
            raise StateUnavailable(f"the state store is away: {_said(error)}") from error


def now(connection: Connection) -> float:
    """The store's clock, in seconds since 1970: PostgreSQL's own, whatever a gateway's says."""
    if connection.dialect.name == "sqlite":
        return time.time()
    return float(connection.execute(text("SELECT extract(epoch FROM clock_timestamp())")).scalar_one())


def _said(error: DBAPIError) -> str:
    """What the driver says, on one line, without the statement and its parameters."""
    return " ".join(str(error.orig).split())


def _sqlite(path: Path) -> Engine:
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    os.close(descriptor)
    engine = create_engine(
        URL.create("sqlite", database=str(path)),
        connect_args={"timeout": SECONDS, "check_same_thread": False},
        pool_size=1,
        max_overflow=0,
    )

    @event.listens_for(engine, "connect")
    def prepared(connection: Any, _record: object) -> None:
        connection.isolation_level = None  # transactions begin where we say, not where the driver does
        for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON"):
            connection.execute(f"PRAGMA {pragma}")

    @event.listens_for(engine, "begin")
    def begun(connection: Connection) -> None:
        connection.exec_driver_sql("BEGIN IMMEDIATE")

    return engine


def _postgresql(address: str) -> Engine:
    try:
        url = make_url(address)
    except ArgumentError:
        raise FailedPrecondition("state.url is no URL, expected postgresql://USER@HOST/DATABASE") from None
    if url.get_backend_name() != "postgresql":
        raise FailedPrecondition(f"state.url begins with {url.drivername}://, expected postgresql://")
    engine = create_engine(
        url.set(drivername="postgresql+psycopg"),
        pool_size=_THREADS,
        max_overflow=0,
        pool_timeout=SECONDS,
        pool_pre_ping=True,
        connect_args={
            "connect_timeout": round(SECONDS),
            "tcp_user_timeout": round(SECONDS * 1000),
            "application_name": "trivet",
            "prepare_threshold": None,  # prepared statements live in a session
        },
    )

    @event.listens_for(engine, "begin")
    def begun(connection: Connection) -> None:
        milliseconds = round(SECONDS * 1000)
        connection.exec_driver_sql(
            f"SELECT set_config('statement_timeout', '{milliseconds}', true), "
            f"set_config('lock_timeout', '{milliseconds}', true), "
            f"set_config('idle_in_transaction_session_timeout', '{milliseconds}', true)"
        )

    return engine


def _migrate(connection: Connection) -> None:
    """Bring the schema up to date, under a lock, so that of gateways that start together one does it."""
    if connection.dialect.name == "postgresql":
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _MIGRATION_LOCK})
    config = AlembicConfig()
    config.set_main_option("script_location", str(_MIGRATIONS))
    config.set_main_option("version_locations", str(_MIGRATIONS / "versions"))
    config.set_main_option("path_separator", "newline")
    config.attributes["connection"] = connection
    scripts = ScriptDirectory.from_config(config)
    known = {script.revision for script in scripts.walk_revisions()}
    found = MigrationContext.configure(connection).get_current_revision()
    if found is not None and found not in known:
        raise FailedPrecondition(
            f"the state store has schema version {found}, which a newer Trivet made; this one knows up to "
            f"{scripts.get_current_head()}"
        )
    with EnvironmentContext(config, scripts, fn=lambda at, _: scripts._upgrade_revs("head", at)):
        scripts.run_env()
