"""A recipe for an adapter: one YAML file, checked whole before anything is trained."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, StringConstraints

from trivet.config.fields.kinds import Count, Name, NotNegative, Positive, Section, Text
from trivet.config.yaml_lines import YamlDocument, parse, read_yaml
from trivet.errors import ConfigError
from trivet.evaluation.reply import schema_problem
from trivet.training import Job, Method, Recipe
from trivet.training.folder import ADAPTER_FILES, digest
from trivet.training.recipe import Goal, Invoked, Reward, Rewarded

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


class RewardsSection(Section):
    """What answers are rewarded for, judged as evaluations judge; the other fields are a suite's."""

    judged: Annotated[list[Reward], Field(min_length=1)]
    json_schema: dict[str, Any] | None = None
    value: Text = "answer"
    found: Text | None = None
    unknown: list[Text] = Field(default_factory=list)
    labels: list[Text] = Field(default_factory=list)

    def rewarded(self) -> Rewarded:
        """The same, as training takes it."""
        lists = {name: tuple(getattr(self, name)) for name in ("judged", "unknown", "labels")}
        return Rewarded(json_schema=self.json_schema, value=self.value, found=self.found, **lists)


class TrainingSection(Section):
    """What decides the weights, beside base and chats."""

    objective: Goal = "sft"
    method: Method = "lora"
    invocation: Invoked = "generation"
    start: str | None = None
    rank: Count = 8
    alpha: Count = 16
    steps: Count = 1000
    lr: Rate = 1e-3
    warm_up: Annotated[int, Field(ge=0)] = 30
    batch_tokens: Count = 2048
    accumulation: Count = 1
    checkpointing: bool = False
    seed: int = 1
    beta: Rate = 0.1
    group: Annotated[int, Field(ge=2, le=256)] = 8
    temperature: Rate = 1.0
    max_new_tokens: Count = 64
    rewards: RewardsSection | None = None


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
    problems = [*_missing(document, file, folder), *_idle(document, file)]
    if file.training.warm_up > steps:
        problems.append(document.problem(("training", "warm_up"), f"is {file.training.warm_up}, of {steps} steps"))
    if problems:
        raise ConfigError(problems)

    start = None if file.training.start is None else (folder / file.training.start).resolve()
    section = file.training.model_dump(exclude={"rewards"}) | {"steps": steps, "threads": threads}
    section["start"] = "" if start is None else digest(start)
    if file.training.rewards is not None:
        section["rewarded"] = file.training.rewards.rewarded()
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
        start=start,
    )


def _idle(document: YamlDocument, file: RecipeFile) -> Iterator[str]:
    """What is wanting for the objective, or would have no effect on it."""
    section = file.training
    goal = section.objective
    if goal == "grpo" and section.rewards is None:
        yield document.problem(("training", "objective"), "is grpo, expected rewards beside it")
    if goal == "grpo" and section.method == "alora":
        yield document.problem(("training", "method"), "is alora, which has to be trained by sft or dpo")
    if section.method == "alora" and section.checkpointing:
        yield document.problem(("training", "checkpointing"), "beside method alora, expected one of them")
    if "invocation" in section.model_fields_set and section.method != "alora":
        yield document.problem(
            ("training", "invocation"), f"has an effect with method alora alone, not {section.method}"
        )
    for name in ("beta", "group", "temperature", "max_new_tokens", "rewards"):
        owner = "dpo" if name == "beta" else "grpo"
        if name in section.model_fields_set and goal != owner:
            yield document.problem(("training", name), f"has an effect with objective {owner} alone, not with {goal}")
    rewards = section.rewards
    if rewards is None:
        return
    wanted = {"label_accuracy": bool(rewards.labels), "format_valid": bool(rewards.labels or rewards.json_schema)}
    for index, name in enumerate(rewards.judged):
        if not wanted.get(name, True):
            yield document.problem(("training", "rewards", "judged", index), f"{name} needs labels or a json_schema")
    if rewards.json_schema is not None and (problem := schema_problem(rewards.json_schema)):
        yield document.problem(("training", "rewards", "json_schema"), f"not a JSON schema: {problem}")


def _paths(folder: Path, names: Sequence[str]) -> tuple[Path, ...]:
    return tuple(folder / name for name in names)


def _missing(document: YamlDocument, file: RecipeFile, folder: Path) -> Iterator[str]:
    yield from base_problems(document, file.base, folder)
    start = file.training.start
    if start is not None and not all((folder / start / name).is_file() for name in ADAPTER_FILES):
        yield document.problem(("training", "start"), f"{folder / start} has no {' and '.join(ADAPTER_FILES)}")
    for field, names in (("data", file.data), ("held_out", file.held_out or [])):
        whole = not isinstance(document.data[field], list) if names else True
        for index, name in enumerate(names):
            if not (folder / name).is_file():
                yield document.problem((field,) if whole else (field, index), f"{folder / name} is not a file")
            elif names.index(name) != index:
                yield document.problem((field, index), f"{name} is named twice")


def base_problems(document: YamlDocument, section: Base, folder: Path) -> Iterator[str]:
    """What is missing of a recipe's base; its path is relative to `folder`."""
    base = folder / section.path
    if not base.is_dir():
        yield document.problem(("base", "path"), f"{base} is not a folder")
        return
    for name in _BASE_FILES:
        if not (base / name).is_file():
            yield document.problem(("base", "path"), f"{base} has no {name}")
    if not any((base / f"model.safetensors{ending}").is_file() for ending in ("", ".index.json")):
        yield document.problem(("base", "path"), f"{base} has no model.safetensors")
