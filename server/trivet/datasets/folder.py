"""An exported data set: its files, and where they come from."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from trivet.errors import FailedPrecondition

MANIFEST = "export.json"


def write_folder(
    folder: Path,
    files: Mapping[str, Iterable[Mapping[str, Any]]],
    manifest: Mapping[str, Any],
    texts: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """Write JSON lines, texts beside them, and the manifest, which gets the digests and the numbers of lines.

    Gives the manifest. The folder is there whole or not at all. Raises FailedPrecondition if there is something of that
    name, OSError.
    """
    if folder.exists():
        raise FailedPrecondition(f"{folder} is there already, expected a name that is not")
    partial = folder.with_name(f".{folder.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)  # of an export that was killed
    partial.mkdir(parents=True)
    try:
        written = {name: _write_lines(partial / name, lines) for name, lines in files.items()}
        for name, text in (texts or {}).items():
            (partial / name).write_text(text, encoding="utf-8")
        whole = {**manifest, "files": written}
        (partial / MANIFEST).write_text(json.dumps(whole, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
        partial.rename(folder)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise
    return whole


def _write_lines(path: Path, lines: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    digest, count = hashlib.sha256(), 0
    with path.open("wb") as file:
        for line in lines:
            data = json.dumps(line, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"
            digest.update(data)
            count += 1
            file.write(data)
        file.flush()
        os.fsync(file.fileno())
    return {"lines": count, "sha256": digest.hexdigest()}
