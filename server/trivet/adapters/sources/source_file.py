"""A file of an adapter where it comes from, before it is copied."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import BinaryIO, Protocol

from trivet.types.variant import VersionRef


class SourceChanged(Exception):
    """The file is not the one that was listed any more."""


class SourceBroken(Exception):
    """Reading stopped half-way, for a reason that may pass."""


@dataclass(frozen=True, slots=True)
class SourceFile:
    """`size` in bytes, as listed. `tag` changes with the content; None where a copy is never continued.

    `open` gives the bytes from an offset on. It and what it opens raise SourceChanged, SourceBroken,
    AdapterSourceUnavailable and AdapterRejected.
    """

    name: str
    size: int
    tag: str | None
    open: Callable[[int], BinaryIO]


class AdapterRoot(Protocol):
    """One allowed place. Every method blocks."""

    def find(self, ref: VersionRef) -> Mapping[str, SourceFile] | None:
        """The files directly in the version's folder by name; None if there is no such folder.

        Raises AdapterRejected for one that leads out of the root, AdapterSourceUnavailable if the place cannot be read.
        """

    def list(self) -> Iterator[VersionRef]:
        """Every adapter version that has a manifest, checked or not; raises AdapterSourceUnavailable."""
