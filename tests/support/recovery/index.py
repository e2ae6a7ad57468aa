"""An index of six documents, for tests of damaged data folders."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path

from trivet.retrieval.service import IndexService

CONFIG = """
version: 1
backends: {local: {kind: embedded, model: model}}
indexes: {handbook: index}
routes: {r: {variants: {only: {weight: 1, backend: local, prompt: p@1}}}}
"""
DOCUMENTS = {f"doc{number}": f"Document {number} is about the colour of lamp {number}." for number in range(6)}

Opened = Callable[[Path], AbstractAsyncContextManager[IndexService]]


def segments_of(root: Path) -> list[str]:
    """The folders of the segments of a data folder's collections."""
    return sorted(str(path.relative_to(root)) for path in root.glob("vectors/collections/*/segments/*"))
