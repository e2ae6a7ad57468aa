"""Merging an adapter into the base that it is for, without a server."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from trivet.adapters.merging.merged_model import MARK, TOKENIZER, MergedModel
from trivet.adapters.merging.merged_weights import MAX_RANK
from trivet.adapters.preflight.base_model import BaseModel
from trivet.adapters.settings import AdapterSettings
from trivet.adapters.staging.export_folder import ExportFolder
from trivet.adapters.staging.staging import AdapterStaging
from trivet.app.adapters.manager import folder_ref
from trivet.config import Config
from trivet.errors import AdapterRejected, FailedPrecondition
from trivet.types.adapter import AdapterLocation, FolderAdapter
from trivet.types.variant import VersionRef


class Watcher(Protocol):
    """Who is told how far it is."""

    def begin(self, stage: str, total: int, done: int = 0) -> None:
        """A stage of `total` parts begins, of which some were done before."""
        ...

    def advance(self, detail: str = "") -> None:
        """One more part is done."""
        ...


def merge_adapter(
    config: Config, wanted: str, target: Path, watcher: Watcher, *, backend: str | None = None, replace: bool = False
) -> Mapping[str, Any]:
    """Write the backend's model with the adapter merged in to `target`; what its `merged.yaml` says.

    `wanted`: name@version in the configured places, or any folder with PEFT's two files. `backend`: whose model; by
    default the one that takes adapters. Raises NotFound, AdapterRejected, and FailedPrecondition if the target is there
    or the backend is in doubt.
    """
    model = config.model_folder(_backend(config, backend))
    roots: Sequence[AdapterLocation]
    if "@" in wanted and not Path(wanted).is_dir():
        try:
            roots, ref = config.adapter_roots, VersionRef.parse(wanted)
        except ValueError as error:
            raise AdapterRejected(str(error)) from error
    else:
        folder = Path(wanted).resolve()
        ref = folder_ref(folder)
        roots = (FolderAdapter(ref, folder),)
    return merge(model, roots, ref, target, watcher, replace=replace)


def merge(
    model: Path,
    roots: Sequence[AdapterLocation],
    ref: VersionRef,
    target: Path,
    watcher: Watcher,
    *,
    replace: bool = False,
) -> Mapping[str, Any]:
    """The same by places: `model` is the base's folder, `roots` are places with `<name>/<version>/`."""
    with ExportFolder(target, mark=MARK, replace=replace) as export:
        settings = AdapterSettings(tuple(roots), export.scratch, model, MAX_RANK, to_merge=True, beside=TOKENIZER)
        merged = MergedModel(BaseModel(model), AdapterStaging(settings).stage(ref))
        watcher.begin("merging", merged.tensors)
        told = merged.write(export.finished, watcher.advance)
        export.publish()
    return told


def _backend(config: Config, name: str | None) -> str:
    backends = config.file.backends
    if name is not None:
        if name not in backends:
            raise FailedPrecondition(f"no backend {name!r}; known: {', '.join(backends)}")
        return name
    fitting = [name for name, section in backends.items() if section.enable_lora] or list(backends)
    if len(fitting) > 1:
        raise FailedPrecondition(f"several backends ({', '.join(fitting)}): name one with --backend")
    return fitting[0]
