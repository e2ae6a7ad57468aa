"""Opening the state store: SQLite in the data folder, or the PostgreSQL database of the configuration."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from trivet.config import Config
from trivet.errors import FailedPrecondition, StateUnavailable
from trivet.stores.data_folder import DataFolder, refuse_without
from trivet.stores.state import StateStore

logger = logging.getLogger(__name__)


@asynccontextmanager
async def open_state(config: Config, folder: DataFolder) -> AsyncIterator[StateStore]:
    """The state store, open meanwhile; desired adapters of an older version's file are moved into it.

    Raises FailedPrecondition if it is damaged or of a newer version, or the file was lost. A PostgreSQL server that is
    away is no error.
    """
    where = _place(config, folder)
    password = state_password(config)
    if isinstance(where, Path) and not folder.older_desired_adapters.exists():
        refuse_without(where, [folder.adapters])
    store = await asyncio.to_thread(StateStore.open, where, password=password)
    _note_place(where, folder)
    try:
        moved = await store.desired_adapters.take_over(folder.older_desired_adapters)
        if moved:
            logger.info("%d desired adapters of adapters.sqlite are in the state store now", moved)
    except StateUnavailable as error:
        logger.warning("adapters.sqlite is not moved into the state store yet, the next start does it: %s", error)
    except BaseException:
        store.close()
        raise
    try:
        yield store
    finally:
        store.close()


def _place(config: Config, folder: DataFolder) -> Path | str:
    url = config.file.state.url
    return folder.state if url == "sqlite" else url


def _note_place(where: Path | str, folder: DataFolder) -> None:
    """The doctor and backups see the folder, and not the configuration."""
    if isinstance(where, Path):
        folder.state_elsewhere.unlink(missing_ok=True)
    else:
        folder.state_elsewhere.write_text(f"{where}\n")


def state_password(config: Config) -> str | None:
    """Of the database; raises FailedPrecondition if its file cannot be read."""
    try:
        return config.state_password()
    except OSError as error:
        raise FailedPrecondition(f"state.password_file cannot be read: {error.filename}: {error.strerror}") from error
