"""What reading one document may take."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class DocumentLimits:
    """`seconds`: of CPU time, several times that on the clock. `memory`: bytes of the reading process. `pages` and
    `characters`: of a PDF and its text. `passages`: that a document is cut into.
    """

    seconds: int = 20
    memory: int = 1 << 30
    pages: int = 2_000
    characters: int = 4 << 20
    passages: int = 20_000


DEFAULT_LIMITS = DocumentLimits()
