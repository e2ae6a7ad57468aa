"""Collections on disk: one folder each, with the engine's shard, which knows its own parameters."""

from __future__ import annotations

import re
import shutil
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import qdrant_edge as edge
from qdrant_client import grpc as proto

from trivet.vector.strict import Missing, allow

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,199}")
_UNFINISHED = "~"  # no collection's name begins so

_DISTANCES = {
    proto.Distance.Cosine: edge.Distance.Cosine,
    proto.Distance.Dot: edge.Distance.Dot,
    proto.Distance.Euclid: edge.Distance.Euclid,
    proto.Distance.Manhattan: edge.Distance.Manhattan,
}


class Collection:
    """One open collection. `unflushed` counts writes since the last flush.

    A write is in the write-ahead log when `update` returns, so killing the process loses none of them; flushing only
    shortens the replay at the next start.
    """

    def __init__(self, folder: Path) -> None:
        self.shard = edge.EdgeShard.load(str(folder))
        self.unflushed = 0

    def update(self, operation: edge.UpdateOperation) -> None:
        """Apply one operation: all of it or, after a crash before this returns, perhaps none of it."""
        self.unflushed += 1
        self.shard.update(operation)

    def flush(self) -> None:
        """Write everything out of the log into the segments."""
        self.shard.flush()
        self.unflushed = 0

    def close(self) -> None:
        """Flush and let go of the files."""
        self.flush()
        self.shard.close()


class Collections:
    """All collections of a data folder, open."""

    def __init__(self, folder: Path) -> None:
        """Open every collection; what an earlier process left half created or half deleted is removed."""
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self._open: dict[str, Collection] = {}
        self.uses = 0  # grows with every call that reads or writes points
        for path in sorted(folder.iterdir()):
            if path.name.startswith(_UNFINISHED):
                shutil.rmtree(path)
            elif path.is_dir():
                self._open[path.name] = Collection(path)

    def __iter__(self) -> Iterator[tuple[str, Collection]]:
        return iter(sorted(self._open.items()))

    def __contains__(self, name: object) -> bool:
        return name in self._open

    def __getitem__(self, name: str) -> Collection:
        """The collection; raises Missing."""
        self.uses += 1
        try:
            return self._open[name]
        except KeyError:
            raise Missing(f"Collection `{name}` doesn't exist!") from None

    def create(self, spec: Any) -> None:
        """Create one; it appears whole or not at all. Raises ValueError if the name is taken or not usable."""
        name = spec.collection_name
        if not _NAME.fullmatch(name):
            raise ValueError(f"collection name {name!r}: letters, digits, '.', '_' and '-' only")
        if name in self._open:
            raise ValueError(f"Collection `{name}` already exists!")
        config = _config(spec)
        unfinished = self._folder / f"{_UNFINISHED}{uuid.uuid4().hex}"
        edge.EdgeShard.create(str(unfinished), config).close()
        unfinished.rename(self._folder / name)
        self._open[name] = Collection(self._folder / name)

    def delete(self, name: str) -> bool:
        """Delete one; False if there was none."""
        collection = self._open.pop(name, None)
        if collection is None:
            return False
        collection.shard.close()
        dead = (self._folder / name).rename(self._folder / f"{_UNFINISHED}{uuid.uuid4().hex}")
        shutil.rmtree(dead)
        return True

    @property
    def unflushed(self) -> int:
        """Operations that are only in the write-ahead logs."""
        return sum(collection.unflushed for collection in self._open.values())

    def flush(self) -> None:
        """Flush those with unflushed writes."""
        for collection in self._open.values():
            if collection.unflushed:
                collection.flush()

    def close(self) -> None:
        """Flush and close all."""
        for collection in self._open.values():
            collection.close()
        self._open.clear()


def _config(spec: Any) -> edge.EdgeConfig:
    """The engine's configuration for a CreateCollection; replication and sharding mean nothing for one copy."""
    cluster = ("replication_factor", "write_consistency_factor", "shard_number", "timeout")
    allow(spec, ("collection_name", "vectors_config", "sparse_vectors_config", *cluster))
    vectors: dict[str, edge.EdgeVectorParams] = {}
    if spec.HasField("vectors_config"):
        config = spec.vectors_config
        single = config.WhichOneof("config") == "params"
        named = {"": config.params} if single else config.params_map.map
        vectors = {name: _dense(params) for name, params in named.items()}
    sparse = {name: _sparse(params) for name, params in spec.sparse_vectors_config.map.items()}
    return edge.EdgeConfig(vectors=vectors or None, sparse_vectors=sparse or None, wal_enabled=True)


def _dense(params: Any) -> edge.EdgeVectorParams:
    allow(params, ("size", "distance"))
    if params.distance not in _DISTANCES:
        raise ValueError("VectorParams.distance must be set")
    return edge.EdgeVectorParams(params.size, _DISTANCES[params.distance])


def _sparse(params: Any) -> edge.EdgeSparseVectorParams:
    allow(params, ("modifier",))
    idf = params.HasField("modifier") and params.modifier == proto.Modifier.Idf
    return edge.EdgeSparseVectorParams(modifier=edge.Modifier.Idf if idf else None)
