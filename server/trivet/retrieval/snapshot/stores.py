"""What indexes are kept in and made with."""

from __future__ import annotations

from dataclasses import dataclass

from trivet.retrieval.documents.process.pool import SplittingPool
from trivet.retrieval.embedding.embedders import Embedders
from trivet.retrieval.snapshot.builder import SnapshotBuilder
from trivet.stores.document_log import DocumentLog
from trivet.stores.qdrant import QdrantStore
from trivet.stores.snapshot_catalogue import SnapshotCatalogue


@dataclass(frozen=True, slots=True)
class Stores:
    """For all indexes together."""

    vectors: QdrantStore
    log: DocumentLog
    catalogue: SnapshotCatalogue
    embedders: Embedders
    builder: SnapshotBuilder
    splitting: SplittingPool
