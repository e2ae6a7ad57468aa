"""How a collection lies on a Qdrant server or cluster: fixed when it is created, changed by making a new snapshot."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from qdrant_client import models

_QUANTILE = 0.99  # of the values' range that eight bits cover; the rest is cut off


@dataclass(frozen=True, slots=True)
class CollectionLayout:
    """`replicas` of each of the `shards` (None: the server's choice); a write is done when `write_consistency` replicas
    have it. `int8`: searches go over vectors of eight-bit numbers in memory, the best are scored again exactly.
    """

    replicas: int = 1
    shards: int | None = None
    write_consistency: int = 1
    int8: bool = False

    def creation(self) -> dict[str, Any]:
        """What `create_collection` is told besides the vectors."""
        told: dict[str, Any] = {
            "replication_factor": self.replicas,
            "write_consistency_factor": self.write_consistency,
        }
        if self.shards is not None:
            told["shard_number"] = self.shards
        if self.int8:
            scalar = models.ScalarQuantizationConfig(type=models.ScalarType.INT8, quantile=_QUANTILE, always_ram=True)
            told["quantization_config"] = models.ScalarQuantization(scalar=scalar)
        return told

    def search(self) -> models.SearchParams | None:
        """What the search by meaning is told."""
        if not self.int8:
            return None
        return models.SearchParams(quantization=models.QuantizationSearchParams(rescore=True))


ONE_COPY = CollectionLayout()
