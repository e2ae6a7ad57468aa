"""What indexes are kept in and made with."""

from __future__ import annotations

from dataclasses import dataclass, field

from trivet.retrieval.embedding.embedders import Embedders
from trivet.retrieval.passages.process.pool import SplittingPool
from trivet.retrieval.snapshot import builder as snapshot_builder
from trivet.retrieval.snapshot.turns import IndexTurns
from trivet.stores.coordination import Alone, Coordination
from trivet.stores.document_log import DocumentLog
from trivet.stores.qdrant.store import QdrantStore
from trivet.stores.snapshot_catalogue import SnapshotCatalogue


@dataclass(frozen=True, slots=True)
class IndexResources:
    """For all indexes together."""

    vectors: QdrantStore
    log: DocumentLog
    catalogue: SnapshotCatalogue
    embedders: Embedders
    builder: snapshot_builder.SnapshotBuilder
    splitting: SplittingPool
    turns: IndexTurns = field(default_factory=IndexTurns)
    coordination: Coordination = field(default_factory=Alone)
