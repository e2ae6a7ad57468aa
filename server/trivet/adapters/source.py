"""Where adapters come from: `<root>/<name>/<version>/`, and nothing outside a root."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterator, Sequence
from pathlib import Path

from trivet.adapters.preflight import FILES
from trivet.errors import AdapterRejected, NotFound
from trivet.types.variant import VersionRef

WEIGHTS = FILES[-1]
MAX_TEXT_BYTES = 1 << 20
PICKLES = frozenset({".bin", ".pt", ".pth", ".pkl", ".pickle", ".ckpt", ".joblib"})
_SAFE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")


class AdapterSource:
    """The allowed roots, first one first."""

    def __init__(self, roots: Sequence[Path], max_bytes: int) -> None:
        self._roots = tuple(roots)
        self._max_bytes = max_bytes

    def find(self, ref: VersionRef) -> dict[str, Path]:
        """The adapter's three files by name, with links resolved.

        Raises NotFound, or AdapterRejected for a pickle, a link out of the root, something that is not a plain file,
        or a size that is out of bounds. Messages never name a path outside the adapter's folder.
        """
        for part in (ref.name, ref.version):
            if not _SAFE_NAME.fullmatch(part):
                raise AdapterRejected(f"adapter {ref}: {part!r} is no name: expected letters, digits, '.', '_' and '-'")
        for root in self._roots:
            folder = root / ref.name / ref.version
            if folder.is_dir():
                return self._files(ref, root.resolve(), folder)
        raise NotFound(f"adapter {ref}: none of the {len(self._roots)} adapter folders has {ref.name}/{ref.version}")

    def list(self) -> Iterator[VersionRef]:
        """Every adapter version that has a manifest, checked or not."""
        for root in self._roots:
            for path in sorted(root.glob(f"*/*/{FILES[0]}")):
                yield VersionRef(path.parent.parent.name, path.parent.name)

    def _files(self, ref: VersionRef, root: Path, folder: Path) -> dict[str, Path]:
        _inside(ref, root, folder, "the folder")
        for entry in sorted(folder.iterdir()):
            if entry.suffix.lower() in PICKLES:
                raise AdapterRejected(f"adapter {ref}: {entry.name} may be a pickle, expected safetensors only")
        return {name: self._file(ref, root, folder / name) for name in FILES}

    def _file(self, ref: VersionRef, root: Path, path: Path) -> Path:
        if not os.path.lexists(path):
            raise AdapterRejected(f"adapter {ref}: {path.name} is missing, expected {', '.join(FILES)}")
        resolved = _inside(ref, root, path, path.name)
        status = resolved.stat()
        if not stat.S_ISREG(status.st_mode):
            raise AdapterRejected(f"adapter {ref}: {path.name} is not a plain file")
        limit = self._max_bytes if path.name == WEIGHTS else MAX_TEXT_BYTES
        if not 0 < status.st_size <= limit:
            raise AdapterRejected(f"adapter {ref}: {path.name} has {status.st_size} bytes, expected 1 to {limit}")
        return resolved


def _inside(ref: VersionRef, root: Path, path: Path, what: str) -> Path:
    try:
        resolved = path.resolve(strict=True)
    except OSError as problem:
        raise AdapterRejected(f"adapter {ref}: {what} is a link to nothing") from problem
    if not resolved.is_relative_to(root):
        raise AdapterRejected(f"adapter {ref}: {what} is a link out of the adapters' folder, expected a file inside it")
    return resolved
