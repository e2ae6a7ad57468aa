"""Whole repositories of embedding models, which sentence-transformers reads: fetched once."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

from trivet.errors import FailedPrecondition
from trivet.model_hub.repository import HubReference

_WANTED = ["*.json", "*.txt", "*.model", "*.safetensors", "*/pytorch_model.bin"]
_UNWANTED = ["onnx/*", "openvino/*", "*.onnx"]


def fetched(reference: HubReference, cache: Path) -> Path:
    """The model's folder below `cache`, fetched if it is not there; it appears whole or not at all (blocking).

    What is there is never looked for again, so a restart needs no network and gets no other model. Raises
    FailedPrecondition.
    """
    target = cache / reference.folder
    if target.is_dir():
        return target
    from huggingface_hub import snapshot_download

    cache.mkdir(parents=True, exist_ok=True)
    work = Path(tempfile.mkdtemp(prefix=".fetch-", dir=cache))
    try:
        snapshot_download(
            reference.name,
            revision=reference.revision,
            local_dir=work,
            allow_patterns=_WANTED,
            ignore_patterns=_UNWANTED,
        )
        shutil.rmtree(work / ".cache", ignore_errors=True)  # the hub's own notes
        if not target.exists():  # else another process was faster
            work.rename(target)
    except Exception as error:  # the hub's client raises its own, its transport's and the file system's errors
        raise FailedPrecondition(
            f"model {reference.name!r} cannot be fetched from the hub: {type(error).__name__}: {error}"
        ) from error
    finally:
        shutil.rmtree(work, ignore_errors=True)
    return target
