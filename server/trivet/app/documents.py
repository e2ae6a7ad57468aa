"""Opening the document log: a file in the data folder, or tables in the database that gateways share."""

from __future__ import annotations

import asyncio
import logging
import secrets
from contextlib import AsyncExitStack
from dataclasses import dataclass

from trivet.app.rollouts.gateway_name import own_name
from trivet.app.state.opening import state_password
from trivet.config import Config
from trivet.retrieval.service import open_database
from trivet.stores.coordination import Alone, Coordination
from trivet.stores.data_folder import DataFolder, refuse_without
from trivet.stores.document_log import DocumentLog
from trivet.stores.shared import SharedCoordination, SharedDatabase, set_aside, take_over
from trivet.stores.snapshot_catalogue import SnapshotCatalogue
from trivet.types.budget import Quota, Quotas

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Documents:
    """The log, what is made of it, and who else writes to it."""

    log: DocumentLog
    catalogue: SnapshotCatalogue
    coordination: Coordination


def shares_documents(config: Config) -> bool:
    """Gateways share the log where they share both the state store and the vector engine."""
    return config.file.state.url != "sqlite" and config.file.qdrant.url is not None


async def open_documents(stack: AsyncExitStack, config: Config, folder: DataFolder) -> Documents:
    """Open until `stack` is closed. A log in the folder is moved into the shared one first.

    Raises FailedPrecondition if it is damaged, of a newer version, lost, or has an index that the shared one has
    already; RetrievalUnavailable if the database that has the shared one is away.
    """
    if shares_documents(config):
        return await _shared(stack, config, folder)
    refuse_without(folder.documents, [folder.vectors / "collections", folder.vectors / "set-aside"])
    database = open_database(folder.documents)  # a damaged one is told before anything else is touched
    stack.callback(database.close)
    return Documents(DocumentLog(database, _quotas(config)), SnapshotCatalogue(database), Alone())


async def _shared(stack: AsyncExitStack, config: Config, folder: DataFolder) -> Documents:
    name = own_name(folder.gateway_name)
    database = await asyncio.to_thread(SharedDatabase.open, config.file.state.url, state_password(config))
    stack.callback(database.close)
    if folder.documents.exists():
        await _move(folder, database, name)
    coordination = SharedCoordination(database, f"{name}/{secrets.token_hex(4)}")
    await coordination.start()
    stack.push_async_callback(coordination.close)
    log = DocumentLog(database, _quotas(config), coordination.admit)
    return Documents(log, SnapshotCatalogue(database), coordination)


async def _move(folder: DataFolder, database: SharedDatabase, name: str) -> None:
    own = open_database(folder.documents)
    try:
        moved = await take_over(own, database, name)
    finally:
        own.close()
    kept = set_aside(folder.documents)
    logger.warning("%d entries of documents.sqlite are in the shared document log; the file is kept as %s", moved, kept)


def _quotas(config: Config) -> Quotas:
    section = config.file.quotas
    return Quotas(
        Quota(section.max_documents, section.max_bytes),
        {name: Quota(own.max_documents, own.max_bytes) for name, own in section.tenants.items()},
    )
