"""One collection: the engine's shard, and how much was written since it was last optimised."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import qdrant_edge as edge

_MANIFEST = "trivet.json"  # beside the engine's own files
_BOOKED = 1000  # points: so many may be forgotten by a crash
_VECTORS = "segments/*/vector_storage-*/vectors/chunk_*"


class VectorsLost(Exception):
    """A file of vectors is not what it was: the engine would open the collection and take them for zeros."""


class Collection:
    """One open collection. `unflushed` counts operations since the last flush.

    A write is in the write-ahead log when `update` returns, so killing the process loses none of them; flushing only
    shortens the replay at the next start.
    """

    def __init__(self, folder: Path) -> None:
        """Open it. Raises VectorsLost, and what the engine raises."""
        self._folder = folder
        self._manifest_file = folder / _MANIFEST
        manifest = _read(self._manifest_file)
        _check_vectors(folder, manifest)
        self.shard = edge.EdgeShard.load(str(folder))
        self.unflushed = 0
        self._unoptimised = _number(manifest.get("unoptimised"))
        self._noted = {**manifest, "unoptimised": self._unoptimised}

    @property
    def points(self) -> int:
        """How many points there are."""
        return int(self.shard.info().points_count)

    @property
    def unoptimised(self) -> int:
        """Points written, and other operations, since `optimise`; a crash may have lost the last thousand from it."""
        return self._unoptimised

    def update(self, operation: edge.UpdateOperation, points: int = 1) -> None:
        """Apply one operation: all of it or, after a crash before this returns, perhaps none of it.

        `points`: how many it writes, where that is known.
        """
        self.unflushed += 1
        self.shard.update(operation)
        self._unoptimised += max(1, points)
        if self._unoptimised >= self._noted["unoptimised"] + _BOOKED:
            self._book()

    def flush(self) -> None:
        """Write everything out of the log into the segments."""
        self.shard.flush()
        self._book()
        self.unflushed = 0

    def optimise(self) -> bool:
        """Build the search graphs and drop what was overwritten; False if nothing was to do. Takes minutes at 100,000
        points, in which nothing else in this process runs: never where queries are answered."""
        changed = bool(self.shard.optimize())
        self._unoptimised = 0
        self.flush()
        return changed

    def close(self) -> None:
        """Flush and let go of the files."""
        self.flush()
        self.shard.close()

    def _book(self) -> None:
        manifest = {"unoptimised": self._unoptimised, "vectors": _vector_files(self._folder)}
        if manifest != self._noted:
            unfinished = self._manifest_file.with_suffix(".tmp")
            unfinished.write_text(json.dumps(manifest))
            unfinished.replace(self._manifest_file)
            self._noted = manifest


def _vector_files(folder: Path) -> dict[str, int]:
    """The files of vectors and their sizes: they never shrink, nor go before their segment does."""
    return {str(path.relative_to(folder)): path.stat().st_size for path in sorted(folder.glob(_VECTORS))}


def _check_vectors(folder: Path, manifest: Mapping[str, Any]) -> None:
    noted = manifest.get("vectors")
    for name, size in (noted if isinstance(noted, dict) else {}).items():
        path = folder / name
        if not path.parents[2].is_dir():  # the whole segment: optimised away, or else its points are missed
            continue
        if not path.is_file():
            raise VectorsLost(f"{name} is missing")
        if path.stat().st_size < _number(size):
            raise VectorsLost(f"{name} has {path.stat().st_size} bytes, expected {size}")


def _read(manifest: Path) -> dict[str, Any]:
    try:
        found = json.loads(manifest.read_text())
    except (OSError, ValueError):  # none yet, or half written by a power cut
        return {}
    return found if isinstance(found, dict) else {}


def _number(value: Any) -> int:
    return value if isinstance(value, int) else 0
