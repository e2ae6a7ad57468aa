"""Everything that a server would find wrong when it starts, at once."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from trivet.adapters.preflight.base_model import BaseModel
from trivet.adapters.preflight.preflight import check
from trivet.adapters.sources.source import AdapterSource
from trivet.app.backend import adapter_backend
from trivet.app.doors.listeners import address_problems
from trivet.app.models import engine_argument_problems, unfetched_models
from trivet.app.project.owner import owner_of
from trivet.app.prompts import prompt_problems, uneven_prompts
from trivet.config import Config, Overrides, examine_config
from trivet.errors import AdapterRejected, ConfigError, NotFound
from trivet.types.variant import VersionRef


@dataclass(frozen=True, slots=True)
class Findings:
    """`problems` keep a server from starting, or a variant from being served; `notes` do not.

    `config`: what is right of the configuration; None if nothing is.
    """

    problems: tuple[str, ...]
    notes: tuple[str, ...]
    config: Config | None


def read_checked(path: Path, overrides: Overrides) -> Config:
    """The configuration, for a server. Raises ConfigError with all that is wrong with it and its prompts; blocks."""
    examined = examine_config(path, overrides)
    if examined.config is None:
        raise ConfigError(examined.problems)
    if examined.problems:
        raise ConfigError([*examined.problems, *prompt_problems(examined.config)])
    return examined.config


def check_project(path: Path, overrides: Overrides) -> Findings:
    """Look at every file that the configuration leads to; blocks, and changes nothing."""
    examined = examine_config(path, overrides)
    if examined.config is None:
        return Findings(examined.problems, (), None)
    config = examined.config
    problems = [*examined.problems, *prompt_problems(config)]
    notes = uneven_prompts(config)
    _adapters(config, problems, notes)
    problems += engine_argument_problems(config)
    notes += unfetched_models(config)
    if (owner := owner_of(config.data_dir)) is not None:
        notes.append(f"process {owner} serves {config.data_dir}: the listeners' addresses are not tried")
    else:
        problems += [_located(config, problem) for problem in address_problems(config)]
    return Findings(tuple(problems), tuple(notes), config)


def _located(config: Config, problem: str) -> str:
    return f"{config.path}:1: {problem}" if problem.startswith("server.") else problem


def _adapters(config: Config, problems: list[str], notes: list[str]) -> None:
    """Adapters in local folders, as loading would find them; `notes` gets those that nothing is served with."""
    if not config.file.backends:
        return
    backend = adapter_backend(config)
    section, model = config.file.backends[backend], config.model_folder(backend)
    if not (model / "config.json").is_file():
        return  # the configuration's own check has told
    base = BaseModel(model)
    try:
        base.shards  # noqa: B018  # it reads them
    except (OSError, ValueError, LookupError) as error:
        problems.append(
            f"{config.path}:1: backends.{backend}.model: its weights cannot be read ({error}), expected "
            "model.safetensors, or model.safetensors.index.json with what it names"
        )
        return
    named = {v.adapter for route in config.routes.values() for v in route.variants.values() if v.adapter is not None}
    for root, ref in _local(config):
        try:
            AdapterSource((root,), config.file.adapter_source.max_bytes).find(ref)
            check(root / ref.name / ref.version, ref, base, section.max_lora_rank)
        except (AdapterRejected, NotFound) as error:
            (problems if ref in named else notes).append(f"{root / ref.name / ref.version}:1: {error}")


def _local(config: Config) -> Iterator[tuple[Path, VersionRef]]:
    """Each adapter's folder: those that variants name, and those that look like adapters."""
    named = {v.adapter for route in config.routes.values() for v in route.variants.values() if v.adapter is not None}
    for root in config.adapter_roots:
        if isinstance(root, Path) and root.is_dir():
            there = {ref for ref in named if (root / ref.name / ref.version).is_dir()}
            for ref in sorted({*there, *AdapterSource((root,), 1).list()}):
                yield root, ref
