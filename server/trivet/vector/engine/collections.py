"""Collections on disk: one folder each, with the engine's shard, which knows its own parameters."""

from __future__ import annotations

import logging
import os
import re
import shutil
import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import qdrant_edge as edge
from qdrant_client import grpc as proto

from trivet.vector.engine.collection import Collection
from trivet.vector.engine.collection_loader import CollectionLoader, is_fault, is_machine
from trivet.vector.strict import Missing, allow

_log = logging.getLogger(__name__)

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,199}")
_UNFINISHED = "~"  # no collection's name begins so

_DISTANCES = {
    proto.Distance.Cosine: edge.Distance.Cosine,
    proto.Distance.Dot: edge.Distance.Dot,
    proto.Distance.Euclid: edge.Distance.Euclid,
    proto.Distance.Manhattan: edge.Distance.Manhattan,
}


class Collections:
    """All collections of a data folder, open."""

    def __init__(self, folder: Path, *, sets_aside: bool = True) -> None:
        """Open every collection; what an earlier process left half created or half deleted is removed.

        One that cannot be opened is set aside, or without `sets_aside` left alone: see
        `trivet.vector.engine.collection_loader`.
        """
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self._open: dict[str, Collection] = {}
        self.uses = 0  # grows with every call that reads or writes points
        self._opening = CollectionLoader(folder.parent, sets_aside=sets_aside)
        for path in sorted(folder.iterdir()):
            if path.name.startswith(_UNFINISHED):
                _remove(path)
            elif (collection := self._opening.open(path)) is not None:
                self._open[path.name] = collection

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

    @property
    def problems(self) -> Mapping[str, str]:
        """Collections that could not be opened, and why."""
        return self._opening.problems

    def set_aside(self, name: str) -> None:
        """Close a collection that cannot be read and keep its files elsewhere; nothing if there is none."""
        collection = self._open.pop(name, None)
        if collection is None:
            return
        try:
            collection.shard.close()
        except BaseException as error:
            if not is_fault(error):
                raise
        self._opening.set_aside(self._folder / name, "it cannot be read")

    def create(self, spec: Any) -> None:
        """Create one; it appears whole or not at all. Raises ValueError if the name is taken or not usable."""
        name = spec.collection_name
        self._check_free(name)
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
        dead = self._folder / f"{_UNFINISHED}{uuid.uuid4().hex}"
        try:
            (self._folder / name).rename(dead)
        except FileNotFoundError:  # somebody was faster
            return True
        _remove(dead)
        return True

    def attach(self, name: str, folder: Path) -> None:
        """Take over a finished collection: its folder, on this file system and open nowhere, becomes one of ours.

        Once it is moved it is ours for good: also a crash before it is opened changes nothing, the next start opens it.
        So a call that was not answered may be made again: without the folder and with the collection it does nothing.
        Raises Missing if there is no such folder, ValueError if the name is taken or the folder cannot be moved or
        opened; then it is where it was.
        """
        if name in self._open and not folder.exists():
            return
        self._check_free(name)
        if not folder.is_dir():
            raise Missing(f"there is no collection in {folder}")
        sync_tree(folder)
        target = self._folder / name
        _move(folder, target)
        try:
            self._open[name] = Collection(target)
        except BaseException as error:
            _move(target, folder)
            if not is_fault(error):
                raise
            raise ValueError(f"{folder} is not a collection that can be opened: {error}") from error

    def detach(self, name: str, folder: Path) -> None:
        """The reverse: flush and close it, and move its folder to `folder`, which must not exist yet.

        A call that was not answered may be made again, as with `attach`.
        """
        if name not in self._open and folder.is_dir():
            return
        if folder.exists():
            raise ValueError(f"{folder} exists already")
        collection = self._open.get(name)
        if collection is None:
            raise Missing(f"Collection `{name}` doesn't exist!")
        folder.parent.mkdir(parents=True, exist_ok=True)
        collection.close()
        del self._open[name]
        _move(self._folder / name, folder)

    def _check_free(self, name: str) -> None:
        if not _NAME.fullmatch(name):
            raise ValueError(f"collection name {name!r}: letters, digits, '.', '_' and '-' only")
        if name in self._open:
            raise ValueError(f"Collection `{name}` already exists!")

    @property
    def unflushed(self) -> int:
        """Operations that are only in the write-ahead logs."""
        return sum(collection.unflushed for collection in self._open.values())

    def flush(self) -> None:
        """Flush those with unflushed writes; one that cannot be written, and not for want of space, is set aside."""
        for name, collection in list(self._open.items()):
            if not collection.unflushed:
                continue
            try:
                collection.flush()
            except BaseException as error:
                if not is_fault(error):
                    raise
                _log.exception("collection %s cannot be flushed", name)
                if not is_machine(error):
                    self.set_aside(name)

    def close(self) -> None:
        """Flush and close all; what could not be flushed is in the write-ahead log."""
        for name, collection in self._open.items():
            try:
                collection.close()
            except BaseException as error:
                if not is_fault(error):
                    raise
                _log.exception("collection %s cannot be flushed", name)
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


def _remove(path: Path) -> None:
    """What is nothing's any more; what cannot be removed now is removed at the next start."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def _move(source: Path, target: Path) -> None:
    """Rename a folder durably; ValueError if it cannot be done at once, as between file systems."""
    if target.exists():
        raise ValueError(f"{target} exists already")
    try:
        source.rename(target)
    except OSError as error:
        raise ValueError(f"{source} cannot be moved to {target}: {error.strerror}") from error
    for parent in {source.parent, target.parent}:
        _sync(parent)


def sync_tree(folder: Path) -> None:
    """Let everything in a folder be on the disk."""
    for root, _, files in os.walk(folder):
        for name in files:
            _sync(Path(root) / name)
        _sync(Path(root))


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
