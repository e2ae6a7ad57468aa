"""Preflight: an adapter's files are checked completely before the engine loads them."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

from trivet.adapters.preflight import manifest as manifests
from trivet.adapters.preflight import peft_config, weights
from trivet.adapters.preflight.base_model import BaseModel
from trivet.errors import AdapterRejected
from trivet.types.variant import VersionRef

FILES = (manifests.FILE, peft_config.FILE, weights.FILE)


@dataclass(frozen=True, slots=True)
class PreflightResult:
    """What a sound adapter is. `digest`: SHA-256, 64 hex digits. `invocation`: see `StagedAdapter`."""

    digest: str
    rank: int
    invocation: tuple[int, ...] = ()


def check(folder: Path, ref: VersionRef, base: BaseModel, max_rank: int, *, to_merge: bool = False) -> PreflightResult:
    """Check the three files of `ref` in `folder`, which nobody else may be writing to; blocks.

    `to_merge`: DoRA and whole modules pass too.
    Raises AdapterRejected: the message names the tensor or field, what was found and what was expected.
    """
    manifest = manifests.read_manifest(folder / manifests.FILE, ref)
    config = peft_config.read_peft_config(folder / peft_config.FILE, max_rank, to_merge=to_merge)
    if manifest.rank != config.rank:
        raise AdapterRejected(
            f"{manifests.FILE}: rank is {manifest.rank}, expected {config.rank} as in {peft_config.FILE}"
        )
    _check_invocation(manifest.invocation, config, base)
    if to_merge and config.invocation:
        raise AdapterRejected(
            f"{peft_config.FILE}: {peft_config.INVOCATION} is {list(config.invocation)}: an activated LoRA acts on "
            "some tokens alone, so it cannot be merged"
        )
    found = digest(folder / peft_config.FILE, folder / weights.FILE)
    if manifest.digest != found:
        raise AdapterRejected(f"{manifests.FILE}: digest is {manifest.digest}, but the files have {found}")
    if manifest.base_fingerprint and manifest.base_fingerprint != base.fingerprint:
        raise AdapterRejected(
            f"{manifests.FILE}: base.fingerprint is {manifest.base_fingerprint}, "
            f"but the base model that is served has {base.fingerprint}"
        )
    weights.check_weights(folder / weights.FILE, config, base, to_merge=to_merge)
    return PreflightResult(found, config.rank, config.invocation)


def _check_invocation(told: tuple[int, ...], config: peft_config.PeftConfig, base: BaseModel) -> None:
    """The manifest's, which is to say what the adapter is, against what PEFT acts by, and against the base."""
    if told != config.invocation:
        field = f"{peft_config.INVOCATION} in {peft_config.FILE} is {list(config.invocation) or None}"
        expected = f"`kind: alora` and `invocation: {list(config.invocation)}`" if config.invocation else "kind lora"
        raise AdapterRejected(f"{manifests.FILE}: invocation is {list(told) or None}, but {field}; expected {expected}")
    rows = base.vocabulary.get(base.embedding, (base.config.get("vocab_size"), 0))[0]
    beyond = [token for token in config.invocation if isinstance(rows, int) and token >= rows]
    if beyond:
        raise AdapterRejected(
            f"{peft_config.FILE}: {peft_config.INVOCATION} names token {beyond[0]}, the base model has {rows}"
        )
    if config.invocation and base.embedding in weights.chosen_modules(config, base):
        raise AdapterRejected(
            f"{peft_config.FILE}: target_modules names {base.embedding}, which an activated LoRA cannot adapt: PEFT "
            "activates linear layers alone"
        )


def digest(config: Path, tensors: Path) -> str:
    """SHA-256 over the bytes of `adapter_config.json` and then of `adapter_model.safetensors`, in hex; blocks."""
    total = hashlib.sha256()
    for path in (config, tensors):
        with path.open("rb") as file:
            while block := file.read(1 << 20):
                total.update(block)
    return total.hexdigest()
