"""A recipe for an adapter: one YAML file, checked whole before anything is trained."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, StringConstraints

from trivet.config.fields.kinds import Count, Name, NotNegative, Positive, Section
from trivet.config.yaml_lines import YamlDocument, parse, read_yaml
from trivet.errors import ConfigError
from trivet.training import Job, Recipe

_BASE_FILES = ("config.json", "tokenizer.json", "tokenizer_config.json")
_EXPONENT = re.compile(r"[-+]?[0-9.]+[eE][-+]?[0-9]+")


def _number(value: Any) -> Any:
    if isinstance(value, str) and _EXPONENT.fullmatch(value):
        raise ValueError("YAML takes this for text, write it as in 0.001 or 1.0e-3")
    return value


Version = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$")]
Rate = Annotated[Positive, BeforeValidator(_number)]
Files = Annotated[list[str], Field(min_length=1), BeforeValidator(lambda v: [v] if isinstance(v, str) else v)]


class Base(Section):
    """The model that the adapter is for: a Hugging Face folder, and what servers call it."""

    path: str
    name: Annotated[str, StringConstraints(min_length=1)]


class TrainingSection(Section):
    """What decides the weights, beside base and chats."""

    rank: Count = 8
    alpha: Count = 16
    steps: Count = 1000
    lr: Rate = 1e-3
    warm_up: Annotated[int, Field(ge=0)] = 30
    batch_tokens: Count = 2048
    seed: int = 1


class RecipeFile(Section):
    """The recipe. Paths are relative to its folder."""

    name: Name
    version: Version
    base: Base
    data: Files
    held_out: Files | None = None
    training: TrainingSection = TrainingSection()
    price_per_hour: NotNegative | None = None
    checkpoint_steps: Count = 50
    out: str = "adapters"


def load_recipe(path: Path, *, out: Path | None = None, steps: int | None = None, threads: int = 1) -> Job:
    """Read and check it; ConfigError with one line per problem. `out` and `steps` go before the file's."""
    document = read_yaml(path)
    file = parse(document, RecipeFile)
    folder = path.parent
    if steps is None:
        steps = file.training.steps
    problems = [*_missing(document, file, folder)]
    if file.training.warm_up > steps:
        problems.append(document.problem(("training", "warm_up"), f"is {file.training.warm_up}, of {steps} steps"))
    if problems:
        raise ConfigError(problems)

    section = file.training.model_dump() | {"steps": steps, "threads": threads}
    return Job(
        name=file.name,
        version=file.version,
        base=(folder / file.base.path).resolve(),
        base_name=file.base.name,
        data=_paths(folder, file.data),
        out=folder / file.out if out is None else out,
        recipe=Recipe(**section),
        held_out=_paths(folder, file.held_out or []),
        price_per_hour=file.price_per_hour,
        checkpoint_steps=file.checkpoint_steps,
    )


def _paths(folder: Path, names: Sequence[str]) -> tuple[Path, ...]:
    return tuple(folder / name for name in names)


def _missing(document: YamlDocument, file: RecipeFile, folder: Path) -> Iterator[str]:
    base = folder / file.base.path
    if not base.is_dir():
        yield document.problem(("base", "path"), f"{base} is not a folder")
    else:
        for name in _BASE_FILES:
            if not (base / name).is_file():
                yield document.problem(("base", "path"), f"{base} has no {name}")
        if not any((base / f"model.safetensors{ending}").is_file() for ending in ("", ".index.json")):
            yield document.problem(("base", "path"), f"{base} has no model.safetensors")
    for field, names in (("data", file.data), ("held_out", file.held_out or [])):
        whole = not isinstance(document.data[field], list) if names else True
        for index, name in enumerate(names):
            if not (folder / name).is_file():
                yield document.problem((field,) if whole else (field, index), f"{folder / name} is not a file")
            elif names.index(name) != index:
                yield document.problem((field, index), f"{name} is named twice")
