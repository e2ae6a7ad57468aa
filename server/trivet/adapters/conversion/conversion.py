"""An adapter as a trainer wrote it, made one as it is served: PEFT's names, no copies of the base, a manifest."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import yaml

from trivet.adapters.conversion.names import is_original, peft_name
from trivet.adapters.preflight import manifest, peft_config, weights
from trivet.adapters.preflight.base_model import HEAD, BaseModel
from trivet.adapters.preflight.preflight import digest
from trivet.adapters.tensors.safetensors_header import HeaderError, TensorEntry, read_header, write_header
from trivet.adapters.tensors.tensor_data import equal
from trivet.adapters.tensors.tensor_name import TensorName
from trivet.errors import AdapterRejected
from trivet.types.variant import VersionRef

MAX_RANK = 1 << 16
Renamed = dict[str, TensorEntry]


def convert(folder: Path, ref: VersionRef, base: BaseModel, origin: Mapping[str, str]) -> None:
    """Change PEFT's two files in `folder`, a copy of our own, where that must be, and write its manifest; blocks.

    Only names change, copies of the base's own tensors go, and `modules_to_save` if nothing is left of them: all
    that is learned stays. `origin`: where it is from, for the manifest. Raises AdapterRejected.
    """
    config = peft_config.read_peft_config(folder / peft_config.FILE, MAX_RANK, to_merge=True)
    path = folder / weights.FILE
    try:
        entries = read_header(path)
    except HeaderError as problem:
        raise AdapterRejected(f"{weights.FILE}: {problem}") from problem
    kept = _renamed(entries, base, path)
    if list(kept) != list(entries):
        _rewrite(path, kept)
    if config.whole and not any(_is_whole(name) for name in kept):
        content = peft_config.read_content(folder / peft_config.FILE) | {"modules_to_save": None}
        _replace(folder / peft_config.FILE, (json.dumps(content, indent=2) + "\n").encode())
    _replace(
        folder / manifest.FILE,
        yaml.safe_dump(_manifest(folder, ref, base, config, origin), sort_keys=False).encode(),
    )


def _renamed(entries: Mapping[str, TensorEntry], base: BaseModel, path: Path) -> Renamed:
    found: Renamed = {}
    for old, entry in entries.items():
        if is_original(old):
            continue
        name = peft_name(old, base)
        if name in found and equal((path, found[name]), (path, entry)):
            continue  # a module that was resized and trained whole is saved twice
        if name in found:
            raise AdapterRejected(f"tensor {old}: is {name}, which is there twice")
        if not (_is_whole(name) and _is_bases(name, (path, entry), base)):
            found[name] = entry
    return found


def _is_whole(name: str) -> bool:
    tensor = TensorName.parse(name)
    return tensor is not None and tensor.whole


def _is_bases(name: str, stored: tuple[Path, TensorEntry], base: BaseModel) -> bool:
    tensor = TensorName.parse(name)
    assert tensor is not None
    module = base.embedding if tensor.module == HEAD and base.tied else tensor.module
    for shard, tensors in base.shards.items():
        if entry := tensors.get(f"{module}.{tensor.part}"):
            return equal(stored, (shard, entry))
    return False


def _rewrite(path: Path, kept: Renamed) -> None:
    """The same tensors by other names, in their order."""
    new = path.with_name(f".{path.name}.new")
    ordered = sorted(kept.items(), key=lambda item: item[1].start)
    with path.open("rb") as old, new.open("xb") as file:
        write_header(file, [(name, entry.dtype, entry.shape) for name, entry in ordered])
        for _, entry in ordered:
            entry.copy(old, file, path.name)
    _publish(new, path)


def _replace(path: Path, content: bytes) -> None:
    new = path.with_name(f".{path.name}.new")
    new.write_bytes(content)
    _publish(new, path)


def _publish(new: Path, path: Path) -> None:
    with new.open("rb") as file:
        os.fsync(file.fileno())
    new.chmod(0o400)
    new.replace(path)


def _manifest(
    folder: Path, ref: VersionRef, base: BaseModel, config: peft_config.PeftConfig, origin: Mapping[str, str]
) -> dict[str, Any]:
    named = peft_config.read_content(folder / peft_config.FILE).get("base_model_name_or_path")
    return {
        "name": ref.name,
        "version": ref.version,
        **({"kind": "alora", "invocation": list(config.invocation)} if config.invocation else {}),
        "base": {
            "name": named[:200] if isinstance(named, str) and named else base.folder.name,
            "fingerprint": base.fingerprint,
        },
        "rank": config.rank,
        "digest": digest(folder / peft_config.FILE, folder / weights.FILE),
        "source": dict(origin),
        "created": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
    }
