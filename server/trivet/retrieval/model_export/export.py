"""What the exports of all models share: digest, process, whole folder, operators, quantisation."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import logging
import os
import shutil
import sys
import tempfile
from asyncio.subprocess import DEVNULL, PIPE
from collections.abc import Iterator
from pathlib import Path

from trivet.errors import FailedPrecondition

_log = logging.getLogger(__name__)

_DIGESTS = "digests.json"  # in an export, of its other files
OPSET = 23  # from which on attention is one operator: fewer steps, a tenth of a short text's time
_QUANTISED = ["MatMul", "Gather"]  # the quantiser takes the operator of attention for another one of that name
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
        digests = {path.name: file_digest(path) for path in sorted(work.iterdir())}
        (work / _DIGESTS).write_text(json.dumps(digests))
        if not target.exists():  # else another process was faster, with the same bytes in effect
            work.rename(target)
    finally:
        shutil.rmtree(work, ignore_errors=True)


def is_whole(export: Path) -> bool:
    """Whether an export is there with the bytes that were written; what is left of a damaged one is removed.

    It is a cache: its caller exports the model again.
    """
    if not export.exists():
        return False
    try:
        digests = json.loads((export / _DIGESTS).read_text())
        if all(file_digest(export / name) == digest for name, digest in digests.items()):
            return True
    except (OSError, ValueError, AttributeError):  # none of ours, or of an earlier version
        pass
    _log.warning("the exported model in %s is damaged, or of an earlier version: it is exported again", export)
    if export.is_dir():
        shutil.rmtree(export)
    else:
        export.unlink()
    return False


def quantise(graph: Path, target: Path) -> Path:
    """8-bit weights per channel, activations scaled at run time; `graph` is gone then.

    Per channel keeps an embedding's cosine above 0.98 (per tensor: 0.91); 7 bits of weight range avoid the saturation
    of 16-bit sums on processors with AVX2 and without VNNI, at no measurable loss.
    """
    from onnxruntime.quantization import QuantType, quantize_dynamic

    quantize_dynamic(
        *(graph, target),
        op_types_to_quantize=_QUANTISED,
        per_channel=True,
        reduce_range=True,
        weight_type=QuantType.QInt8,
    )
    graph.unlink()
    return target
