"""Taking an adapter that was trained elsewhere into a folder of adapters, without a server."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from trivet.adapters.preflight import manifest, peft_config, weights
from trivet.adapters.preflight.preflight import FILES, digest
from trivet.adapters.settings import MAX_BYTES, AdapterSettings
from trivet.adapters.staging.export_folder import ExportFolder
from trivet.adapters.staging.staging import AdapterStaging
from trivet.app.backend import adapter_backend
from trivet.config import Config
from trivet.errors import AdapterRejected, FailedPrecondition
from trivet.types.adapter import FolderAdapter, StagedAdapter
from trivet.types.variant import VersionRef

MAX_RANK = 512  # of any engine; for a base that no backend serves
_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,62}")
_VERSION = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")
_CHECKPOINT = re.compile(r"checkpoint-(\d+)")


@dataclass(frozen=True, slots=True)
class ImportBase:
    """The base model that an adapter is held against. `max_rank` is its engine's."""

    model: Path
    max_rank: int
    max_bytes: int


@dataclass(frozen=True, slots=True)
class Imported:
    """An adapter's new folder. `changed`: the files' bytes are others than the trainer's (names, copies of the
    base's weights)."""

    ref: VersionRef
    folder: Path
    digest: str
    rank: int
    changed: bool


def import_adapter(
    load: Callable[[], Config], folder: Path, name: str, *, base: str | None = None, to: Path | None = None
) -> Imported:
    """Copy PEFT's two files out of `folder` into `<to>/<name>/<version>/`, checked, with a manifest.

    `name`: with `@version`, or without it for the next free number. `base`: a backend of the configuration or a model's
    folder; by default the backend that takes adapters. `to`: by default the configuration's first local folder of
    adapters; with a model's folder and this, no configuration is loaded. The new version appears whole or not at all.
    Raises AdapterRejected, FailedPrecondition if the version is there, and what `load` does.
    """
    _check_source(folder)
    against = _base(load, base)
    root = to if to is not None else _first_root(load())
    ref = _reference(name, root)
    target = root / ref.name / ref.version
    _refuse_existing(target, ref)
    try:
        with ExportFolder(target, mark=manifest.FILE) as export:
            staged = _stage(folder, ref, against, export.scratch)
            for file in FILES:
                shutil.copyfile(staged.path / file, export.finished / file)
            _refuse_existing(target, ref)
            export.publish()
    finally:
        with suppress(OSError):
            target.parent.rmdir()  # of a first version that was refused
    changed = digest(folder / peft_config.FILE, folder / weights.FILE) != staged.digest
    return Imported(ref, target, staged.digest, staged.rank, changed)


def _stage(folder: Path, ref: VersionRef, against: ImportBase, scratch: Path) -> StagedAdapter:
    settings = AdapterSettings(
        (FolderAdapter(ref, folder),), scratch, against.model, against.max_rank, max_bytes=against.max_bytes
    )
    try:
        return AdapterStaging(settings).stage(ref)
    except AdapterRejected as problem:
        raise AdapterRejected(f"{problem}{_other_base(folder, against.model)}") from problem


def _other_base(folder: Path, model: Path) -> str:
    """What may explain a misfit: the base that the adapter says it is for."""
    try:
        named = peft_config.read_content(folder / peft_config.FILE).get("base_model_name_or_path")
    except (AdapterRejected, OSError):
        return ""
    if not isinstance(named, str) or Path(named).name == model.name:
        return ""
    return f". It was trained on {named[:200]!r} by its own words (base_model_name_or_path), and held against {model}"


def _check_source(folder: Path) -> None:
    if (folder / manifest.FILE).exists():
        raise FailedPrecondition(
            f"{folder} has an {manifest.FILE} already: copy it to <adapters>/<name>/<version> as it is"
        )
    if (folder / peft_config.FILE).exists():
        return
    numbers = [(int(match[1]), path) for path in folder.iterdir() if (match := _CHECKPOINT.fullmatch(path.name))]
    hint = f"; its last checkpoint is {max(numbers)[1]}" if numbers else ""
    raise AdapterRejected(f"{folder} has no {peft_config.FILE}, expected what PEFT's save_pretrained writes{hint}")


def _base(load: Callable[[], Config], base: str | None) -> ImportBase:
    if base is not None and (Path(base) / "config.json").is_file():
        return ImportBase(Path(base).resolve(), MAX_RANK, MAX_BYTES)
    config = load()
    name = adapter_backend(config) if base is None else base
    if name not in config.file.backends:
        known = ", ".join(config.file.backends)
        raise FailedPrecondition(f"{base!r} is neither a model's folder (no config.json) nor a backend; known: {known}")
    section = config.file.backends[name]
    return ImportBase(config.model_folder(name), section.max_lora_rank, config.file.adapter_source.max_bytes)


def _first_root(config: Config) -> Path:
    for place in config.adapter_roots:
        if isinstance(place, Path):
            return place
    raise FailedPrecondition("the configuration has no local folder of adapters: name one with --to")


def _reference(name: str, root: Path) -> VersionRef:
    name, at, version = name.partition("@")
    if not _NAME.fullmatch(name):
        raise AdapterRejected(f"{name!r} is not a name: expected small letters, digits, '.', '_' and '-'")
    if at and not _VERSION.fullmatch(version):
        raise AdapterRejected(f"{version!r} is not a version: expected letters, digits, '.', '_' and '-'")
    return VersionRef(name, version or _next_version(root / name))


def _next_version(folder: Path) -> str:
    numbers = [int(path.name) for path in folder.iterdir() if path.name.isdecimal()] if folder.is_dir() else []
    return str(max(numbers, default=0) + 1)


def _refuse_existing(target: Path, ref: VersionRef) -> None:
    if target.exists():
        raise FailedPrecondition(f"{ref} exists ({target}), and a version is never overwritten: name another one")
