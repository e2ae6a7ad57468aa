"""Opening either database with what the store relies on."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Connection, Engine, create_engine, event, make_url
from sqlalchemy.exc import ArgumentError

from trivet.errors import FailedPrecondition
from trivet.stores.state.database.clock import Clock

SECONDS = 5.0
"""The longest that a statement may take, a connection may take to open, and a lock may be waited for."""
IDLE_SECONDS = 3.0
"""The longest that a transaction may be left alone: a process that was stopped in one gives its locks up."""
THREADS = 4  # connections to PostgreSQL; SQLite has one, for it has one writer


def sqlite_engine(path: Path, clock: Clock) -> Engine:
    """A file that its owner alone reads; write-ahead log, synchronous=FULL, BEGIN IMMEDIATE."""
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
        connection.create_function("store_clock", 0, clock)
        for pragma in ("journal_mode=WAL", "synchronous=FULL"):
            connection.execute(f"PRAGMA {pragma}")

    @event.listens_for(engine, "begin")
    def begun(connection: Connection) -> None:
        connection.exec_driver_sql("BEGIN IMMEDIATE")

    return engine


def postgresql_engine(address: str, password: str | None) -> Engine:
    """READ COMMITTED, every wait bounded, and nothing kept in a session between transactions.

    Raises FailedPrecondition if `address` is no `postgresql://` URL; it is not asked yet.
    """
    try:
        url = make_url(address)
    except ArgumentError:
        raise FailedPrecondition("state.url is not a URL, expected postgresql://USER@HOST/DATABASE") from None
    if url.get_backend_name() != "postgresql":
        raise FailedPrecondition(f"state.url begins with {url.drivername}://, expected postgresql://")
    url = url.set(drivername="postgresql+psycopg")
    engine = create_engine(
        url if password is None else url.set(password=password),
        isolation_level="READ COMMITTED",
        use_native_hstore=False,  # saves a question at every connection
        pool_size=THREADS,
        max_overflow=0,
        pool_timeout=SECONDS,
        pool_pre_ping=True,  # the server may have been started again since
        connect_args={
            "connect_timeout": round(SECONDS),
            "tcp_user_timeout": round(SECONDS * 1000),
            "keepalives_idle": 5,
            "keepalives_interval": 2,
            "keepalives_count": 3,
            "application_name": "trivet",
            "prepare_threshold": None,  # prepared statements live in a session
        },
    )

    @event.listens_for(engine, "begin")
    def begun(connection: Connection) -> None:
        bounds = {
            "statement_timeout": SECONDS,
            "lock_timeout": SECONDS,
            "idle_in_transaction_session_timeout": IDLE_SECONDS,
        }
        settings = [f"set_config('{name}', '{round(seconds * 1000)}', true)" for name, seconds in bounds.items()]
        connection.exec_driver_sql(f"SELECT {', '.join(settings)}")

    return engine
