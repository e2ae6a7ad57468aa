"""One collection: the engine's shard, and how much was written since it was last optimised."""

from __future__ import annotations

import json
from pathlib import Path

import qdrant_edge as edge

_BOOKS = "trivet.json"  # beside the engine's own files
_BOOKED = 1000  # points: so many may be forgotten by a crash


class Collection:
    """One open collection. `unflushed` counts operations since the last flush.

    A write is in the write-ahead log when `update` returns, so killing the process loses none of them; flushing only
    shortens the replay at the next start.
    """

    def __init__(self, folder: Path) -> None:
        self._books = folder / _BOOKS
        self.shard = edge.EdgeShard.load(str(folder))
        self.unflushed = 0
        self._unoptimised = self._booked = _read(self._books)

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
        if self._unoptimised >= self._booked + _BOOKED:
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
        if self._unoptimised != self._booked:
            unfinished = self._books.with_suffix(".tmp")
            unfinished.write_text(json.dumps({"unoptimised": self._unoptimised}))
            unfinished.replace(self._books)
            self._booked = self._unoptimised


def _read(books: Path) -> int:
    try:
        return int(json.loads(books.read_text())["unoptimised"])
    except (FileNotFoundError, ValueError, KeyError, TypeError):  # none yet, or half written by a power cut
        return 0
