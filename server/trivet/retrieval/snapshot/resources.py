"""What indexes are kept in and made with."""

from __future__ import annotations

from dataclasses import dataclass, field

from trivet.retrieval.embedding.embedders import Embedders
from trivet.retrieval.fair_semaphore import FairSemaphore
from trivet.retrieval.passages.process.pool import SplittingPool
from trivet.retrieval.snapshot.builder import SnapshotBuilder
from trivet.stores.document_log import DocumentLog
from trivet.stores.qdrant.store import QdrantStore
from trivet.stores.snapshot_catalogue import SnapshotCatalogue

# The log is written by one thread, and syncs each commit: more would only wait there, in the order in which they came.
COMMITS_AT_ONCE = 2


@dataclass(frozen=True, slots=True)
class IndexResources:
    """For all indexes together."""

    vectors: QdrantStore
    log: DocumentLog
    catalogue: SnapshotCatalogue
    embedders: Embedders
    builder: SnapshotBuilder
    splitting: SplittingPool
    commits: FairSemaphore = field(
        default_factory=lambda: FairSemaphore(COMMITS_AT_ONCE)
    )  # into the log and the vector engine
