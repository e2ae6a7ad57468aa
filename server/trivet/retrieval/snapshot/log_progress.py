"""How far a snapshot has followed the document log."""

from __future__ import annotations

from trivet.stores.records import DocumentKey


class LogProgress:
    """Everything in the log up to `position` is in the snapshot.

    At first it follows: entries are applied in order, and `reached` says how far. Once it has caught up, and is the one
    that writers write to, entries come out of order: a document is begun before its entry is logged, so that the
    entry's seq is beyond what was known then, and one whose write has failed stays open until it has been repaired.
    """

    def __init__(self, position: int) -> None:
        self._following: int | None = position
        self._highest = position
        self._open: dict[DocumentKey, int] = {}

    @property
    def position(self) -> int:
        """The seq up to which nothing is missing."""
        known = self._highest if self._following is None else self._following
        return min([known, *self._open.values()])

    @property
    def following(self) -> bool:
        """Entries are applied in order, by whoever follows the log; otherwise writers write to it."""
        return self._following is not None

    @property
    def open(self) -> list[DocumentKey]:
        """Documents that are being written, and those whose write has failed."""
        return list(self._open)

    def is_open(self, key: DocumentKey) -> bool:
        """It is being written, or its write has failed."""
        return key in self._open

    def begin(self, key: DocumentKey) -> bool:
        """An entry of this document is about to be logged; one writer per document. False if it was open already."""
        if key in self._open:
            return False
        self._open[key] = self._highest
        return True

    def abandon(self, key: DocumentKey) -> None:
        """Nothing was logged."""
        self._open.pop(key, None)

    def done(self, key: DocumentKey, seq: int) -> None:
        """The document's newest entry, which has this seq, is in the snapshot."""
        self._highest = max(self._highest, seq)
        self._open.pop(key, None)

    def reached(self, seq: int) -> None:
        """Nothing up to this seq is missing but what is open."""
        self._highest = max(self._highest, seq)
        if self._following is not None:
            self._following = max(self._following, seq)

    def caught_up(self) -> None:
        """Nothing is missing but what is open: from now on writers write to it."""
        self._following = None

    def follow(self) -> None:
        """Writers write to it no longer."""
        self._following = self.position
        self._open.clear()

    def restart(self) -> None:
        """The snapshot was found empty: everything is to be applied again."""
        self._following = 0
