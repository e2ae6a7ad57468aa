"""What the exports of all models share: the digest they are cached by, a process to make them in, a whole folder."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
import shutil
import sys
import tempfile
from asyncio.subprocess import DEVNULL, PIPE
from collections.abc import Iterator
from pathlib import Path

from trivet.errors import FailedPrecondition

_PARTS = {".json", ".txt", ".model", ".safetensors", ".bin"}
_LAST_LINES = 3


def model_digest(folder: Path) -> str:
    """SHA-256 over what decides a model's outputs, and a little more; 64 hex digits."""
    digest = hashlib.sha256()
    for path in sorted(folder.rglob("*")):
        if path.is_file() and path.suffix in _PARTS and path.parent.name not in ("onnx", "openvino"):
            digest.update(f"{path.relative_to(folder)}\0{file_digest(path)}\n".encode())
    return digest.hexdigest()


def file_digest(path: Path) -> str:
    """SHA-256 of a file, 64 hex digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


async def export_model(exporter: str, model: Path, precision: str, target: Path, *, told: str) -> None:
    """Run `python -m exporter` (it takes --model, --precision and --target), because it imports PyTorch.

    `told` names the model to people. Raises FailedPrecondition with the exporter's last words.
    """
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", exporter),
        *("--model", str(model), "--precision", precision, "--target", str(target)),
        stdin=DEVNULL,
        stdout=DEVNULL,
        stderr=PIPE,
        env=dict(os.environ),  # copied: the engine's start changes it in another thread
    )
    try:
        _, errors = await process.communicate()
    except asyncio.CancelledError:
        process.kill()
        await process.wait()
        raise
    if process.returncode != 0:
        last = " | ".join(errors.decode(errors="replace").strip().splitlines()[-_LAST_LINES:])
        raise FailedPrecondition(f"{told} cannot be exported to ONNX ({precision}): {last}")


@contextlib.contextmanager
def whole_folder(target: Path) -> Iterator[Path]:
    """A folder to write in, which becomes `target` at the end: it appears whole or not at all."""
    target.parent.mkdir(parents=True, exist_ok=True)
    work = Path(tempfile.mkdtemp(prefix=".export-", dir=target.parent))
    try:
        yield work
        if not target.exists():  # else another process was faster, with the same bytes in effect
            work.rename(target)
    finally:
        shutil.rmtree(work, ignore_errors=True)
