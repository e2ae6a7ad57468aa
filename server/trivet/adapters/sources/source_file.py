"""A file of an adapter where it comes from, before it is copied."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import BinaryIO, Protocol

from trivet.types.variant import VersionRef


class SourceChanged(Exception):
    """The file is not the one that was listed any more."""


class SourceBroken(Exception):
    """Reading stopped half-way, for a reason that may pass."""


@dataclass(frozen=True, slots=True)
class SourceFile:
    """`size` in bytes, as listed. `tag` changes with the content; None where a copy is never continued. `stamp` is what
    else tells that the file may be another one.

    `open` gives the bytes from an offset on. It and what it opens raise SourceChanged, SourceBroken,
    AdapterSourceUnavailable and AdapterRejected.
    """

    name: str
    size: int
    tag: str | None
    open: Callable[[int], BinaryIO]
    stamp: str = ""


@dataclass(frozen=True, slots=True)
class FoundAdapter:
    """The files of an adapter, by name.

    `origin`: where it is from, if its place keeps no manifest for it; it then gets one here, with these words.
    """

    files: Mapping[str, SourceFile]
    origin: Mapping[str, str] = field(default_factory=dict)


class AdapterRoot(Protocol):
    """One allowed place. Every method blocks."""

    def find(self, ref: VersionRef, names: Sequence[str]) -> FoundAdapter | None:
        """Those of the files that the version's folder has; None if there is no such folder. Looks at no other file.

        Raises AdapterRejected for one that leads out of the root, AdapterSourceUnavailable and SourceBroken if the
        place cannot be read.
        """

    def list(self) -> Iterator[VersionRef]:
        """Every adapter version that it has, checked or not; raises what `find` does."""
