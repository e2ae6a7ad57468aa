"""State stores for tests, on each database that they run on."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.stores.postgres_server import PostgresServer, postgres_server
from trivet.stores.state import StateStore


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    """One PostgreSQL server for all tests of a worker. Who stops it starts it again."""
    with postgres_server() as server:
        yield server


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.process)])
def state_place(request: pytest.FixtureRequest, tmp_path: Path) -> Path | str:
    """Where an empty state store is: a file, or the URL of a database."""
    if request.param == "sqlite":
        return tmp_path / "state.sqlite"
    server: PostgresServer = request.getfixturevalue("postgres")
    return server.new_database()


@pytest.fixture
def state_store(state_place: Path | str) -> Iterator[StateStore]:
    """An empty store on each database."""
    opened = StateStore.open(state_place)
    yield opened
    opened.close()
