"""Where adapters come from: `<root>/<name>/<version>/`, and nothing outside a root."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path, PurePosixPath

from trivet.adapters.preflight.preflight import FILES
from trivet.adapters.sources.folder import FolderRoot
from trivet.adapters.sources.listing import Listing
from trivet.adapters.sources.object_store import ObjectRoot, s3_file_system
from trivet.adapters.sources.source_file import AdapterRoot, SourceBroken, SourceFile
from trivet.errors import AdapterRejected, AdapterSourceUnavailable, NotFound
from trivet.types.adapter import S3Root
from trivet.types.variant import VersionRef

WEIGHTS = FILES[-1]
MAX_TEXT_BYTES = 1 << 20
PICKLES = frozenset({".bin", ".pt", ".pth", ".pkl", ".pickle", ".ckpt", ".joblib"})
RETRY_AFTER = 5.0
_SAFE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")


class AdapterSource:
    """The allowed roots, first one first."""

    def __init__(self, roots: Sequence[Path | S3Root], max_bytes: int) -> None:
        self._roots: list[AdapterRoot] = [open_root(root) for root in roots]
        self._listings = [
            Listing(partial(_list, root)) if isinstance(root, ObjectRoot) else partial(_list, root)
            for root in self._roots
        ]
        self._max_bytes = max_bytes

    def find(self, ref: VersionRef) -> dict[str, SourceFile]:
        """The adapter's three files by name; blocks.

        Raises NotFound; AdapterRejected for a pickle, a link out of the root, a file that is missing or a size that is
        out of bounds; AdapterSourceUnavailable if a place that may have it cannot be read.
        """
        for part in (ref.name, ref.version):
            if not _SAFE_NAME.fullmatch(part):
                raise AdapterRejected(f"adapter {ref}: {part!r} is no name: expected letters, digits, '.', '_' and '-'")
        try:
            for root in self._roots:
                files = root.find(ref)
                if files is not None:
                    return self._checked(files)
        except AdapterRejected as problem:
            raise AdapterRejected(f"adapter {ref}: {problem}") from problem
        except SourceBroken as problem:
            raise AdapterSourceUnavailable(f"adapter {ref}: {problem}", RETRY_AFTER) from problem
        raise NotFound(f"adapter {ref}: none of the {len(self._roots)} adapter folders has {ref.name}/{ref.version}")

    def list(self) -> Iterator[VersionRef]:
        """Every adapter version that has a manifest, checked or not.

        Does not wait for a network: of other places than local folders it tells what the last listing had, and has
        them listed again, beside, if that is some seconds old.
        """
        for listing in self._listings:
            yield from listing()

    def limit(self, name: str) -> int:
        """The largest allowed size of a file, in bytes."""
        return self._max_bytes if name == WEIGHTS else MAX_TEXT_BYTES

    def _checked(self, files: Mapping[str, SourceFile]) -> dict[str, SourceFile]:
        for name in sorted(files):
            if PurePosixPath(name).suffix.lower() in PICKLES:
                raise AdapterRejected(f"{name} may be a pickle, expected safetensors only")
        for name in FILES:
            if name not in files:
                raise AdapterRejected(f"{name} is missing, expected {', '.join(FILES)}")
            size, limit = files[name].size, self.limit(name)
            if not 0 < size <= limit:
                raise AdapterRejected(f"{name} has {size} bytes, expected 1 to {limit}")
        return {name: files[name] for name in FILES}


def _list(root: AdapterRoot) -> list[VersionRef]:
    """What has a name that can be loaded."""
    return [ref for ref in root.list() if _SAFE_NAME.fullmatch(ref.name) and _SAFE_NAME.fullmatch(ref.version)]


def open_root(root: Path | S3Root) -> AdapterRoot:
    """The place that a setting means; nothing is read yet."""
    if isinstance(root, S3Root):
        return ObjectRoot(partial(s3_file_system, root), f"{root.bucket}/{root.prefix}", str(root))
    return FolderRoot(root)
