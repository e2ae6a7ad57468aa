"""A suite: questions, arms that answer them, and what counts as right. `suite.yaml` is read strictly."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field

from trivet.config.yaml_lines import YamlDocument, parse, read_yaml
from trivet.errors import ConfigError
from trivet.evaluation.arms import Arm, ArmName, ArmSection, Count, Name, Ref, SuiteSection, arms_of, weights_of
from trivet.evaluation.data import Example, read_examples
from trivet.evaluation.metrics import Judgement
from trivet.evaluation.reply import Form, schema_problem

GENERAL_BASE = "general/base"


class JsonSection(SuiteSection):
    """Where a JSON answer holds its value, and whether it found one."""

    value: str = "answer"
    found: str | None = None


class GeneralSection(SuiteSection):
    """Questions that have nothing to do with what the adapters learned, for each adapter and for the bare model.

    `margin`: how many points an adapter may lose at most against the bare model.
    """

    data: str
    prompt: Ref
    margin: Annotated[float, Field(gt=0, le=100)]
    correct: Annotated[list[Judgement], Field(min_length=1)]
    max_tokens: Count | None = None


class SuiteFile(SuiteSection):
    """The whole of `suite.yaml`. Paths are relative to it."""

    version: Literal[1] = 1
    description: str = ""
    data: str
    prompts: str | None = None
    indexes: dict[Name, str] = Field(default_factory=dict)
    max_tokens: Count = 64
    json_schema: dict[str, Any] | None = None
    json_fields: JsonSection = JsonSection()
    unknown: list[str] = Field(default_factory=list)
    labels: list[str] = Field(default_factory=list)
    correct: Annotated[list[Judgement], Field(min_length=1)]
    baseline: ArmName
    arms: Annotated[dict[ArmName, ArmSection], Field(min_length=2)]
    general: GeneralSection | None = None


@dataclass(frozen=True, slots=True)
class Part:
    """Examples that are all put to all of these arms. `baseline` is the name of one of them."""

    examples: tuple[Example, ...]
    arms: tuple[Arm, ...]
    baseline: str
    correct: tuple[Judgement, ...]


@dataclass(frozen=True, slots=True)
class Suite:
    """A suite that was read and checked. `general_margin` in points. `indexes`: folders, beside the configuration's."""

    name: str
    path: Path
    description: str
    form: Form
    main: Part
    general: Part | None = None
    general_margin: float = 0.0
    prompts: Path | None = None
    indexes: Mapping[str, Path] = field(default_factory=dict)

    @property
    def parts(self) -> tuple[Part, ...]:
        """The suite's own questions, then the general ones."""
        return (self.main,) if self.general is None else (self.main, self.general)

    @property
    def arms(self) -> tuple[Arm, ...]:
        """All arms of all parts; their names are unique."""
        return tuple(arm for part in self.parts for arm in part.arms)

    def arm(self, name: str) -> Arm:
        """One of its own questions' arms; ConfigError names those that it has."""
        found = next((arm for arm in self.main.arms if arm.name == name), None)
        if found is None:
            known = ", ".join(arm.name for arm in self.main.arms)
            raise ConfigError([f"{self.path}:1: arms: no arm {name!r}; known: {known}"])
        return found

    def digest(self, ingredients: Mapping[str, str]) -> str:
        """What decides the answers, as 16 hexadecimal digits: questions, arms, schema, and the `ingredients` (digests
        of prompts, adapters, indexes, the model). What only judges them is no part of it, so a suite can be judged
        anew without asking again."""
        asked = [
            [[(one.id, one.question, *one.earlier) for one in part.examples], [arm.asked for arm in part.arms]]
            for part in self.parts
        ]
        known = json.dumps([asked, self.form.json_schema, dict(ingredients)], sort_keys=True)
        return hashlib.sha256(known.encode("utf-8", "surrogatepass")).hexdigest()[:16]


def load_suite(path: Path) -> Suite:
    """Read `suite.yaml` and its data; ConfigError with `file:line: field: problem` for all that is wrong."""
    path = path.resolve()
    document = read_yaml(path)
    file = parse(document, SuiteFile)
    problems = list(_problems(document, file))
    data = _examples(path.parent / file.data, problems)
    general = () if file.general is None else _examples(path.parent / file.general.data, problems)
    if not problems:
        problems += _data_problems(document, file, data, general)
    if problems:
        raise ConfigError(problems)
    form = Form(
        file.json_schema,
        file.json_fields.value,
        file.json_fields.found,
        tuple(file.unknown),
        tuple(file.labels),
    )
    main = Part(data, tuple(arms_of(file.arms, file.max_tokens)), file.baseline, tuple(file.correct))
    folder = None if file.prompts is None else path.parent / file.prompts
    indexes = {name: (path.parent / where).resolve() for name, where in file.indexes.items()}
    suite = Suite(path.parent.name, path, file.description, form, main, prompts=folder, indexes=indexes)
    if file.general is None:
        return suite
    part = Part(general, tuple(_general_arms(file, file.general)), GENERAL_BASE, tuple(file.general.correct))
    return replace(suite, general=part, general_margin=file.general.margin)


def _examples(path: Path, problems: list[str]) -> tuple[Example, ...]:
    try:
        return read_examples(path)
    except ConfigError as error:
        problems += error.problems
        return ()


def _general_arms(file: SuiteFile, section: GeneralSection) -> Iterator[Arm]:
    tokens = section.max_tokens or file.max_tokens
    yield Arm(GENERAL_BASE, section.prompt, tokens)
    found = {name: arm for arm in file.arms.values() if (name := weights_of(arm.adapter, arm.backend))}
    for name, arm in sorted(found.items()):
        yield Arm(general_arm(name), section.prompt, tokens, arm.adapter, backend=arm.backend)


def general_arm(weights: str) -> str:
    """The arm of the general part that shows what these weights (`Arm.weights`) do to it."""
    return f"general/{weights}"


def _problems(document: YamlDocument, file: SuiteFile) -> Iterator[str]:
    arms = list(arms_of(file.arms, file.max_tokens))
    names = [arm.name for arm in arms]
    if file.baseline not in names:
        yield document.problem(("baseline",), f"no arm {file.baseline!r}; known: {', '.join(names)}")
    routes: dict[str, str] = {}
    for name in file.arms:
        if name.endswith("+schema"):
            yield document.problem(("arms", name), "ends in +schema, which is how `json_schema: with` names an arm")
    for arm in [*arms, *(_general_arms(file, file.general) if file.general else ())]:
        other = routes.setdefault(arm.route, arm.name)
        if other != arm.name:
            yield document.problem(("arms", arm.name), f"has the same route as {other!r}, {arm.route}")
    for name, section in file.arms.items():
        if section.stuffed is not None and section.retrieval is not None:
            yield document.problem(("arms", name, "stuffed"), "beside retrieval, expected one of them")
        if section.reasoning is not None and section.reasoning.thought is not None and section.json_schema != "without":
            yield document.problem(("arms", name, "reasoning"), "has a thought, which a schema leaves no room for")
        if section.json_schema != "without" and file.json_schema is None:
            yield document.problem(("arms", name, "json_schema"), "the suite has no json_schema")
    used = {name for arm in arms for name in (arm.index, arm.stuffed) if name is not None}
    for name in file.indexes:
        if not (document.path.parent / file.indexes[name] / "index.yaml").is_file():
            yield document.problem(("indexes", name), f"no index.yaml in {file.indexes[name]}")
        if name not in used:
            yield document.problem(("indexes", name), "is searched by no arm")
    if file.json_schema is not None and (problem := schema_problem(file.json_schema)):
        yield document.problem(("json_schema",), f"not a JSON schema: {problem}")
    if file.json_schema is not None and file.labels:
        yield document.problem(("labels",), "beside json_schema, expected one of them")


def _data_problems(
    document: YamlDocument, file: SuiteFile, data: Sequence[Example], general: Sequence[Example]
) -> Iterator[str]:
    yield from _judged(document, ("correct",), file, file.correct, data)
    if file.general is not None:
        yield from _judged(document, ("general", "correct"), file, file.general.correct, general)
    unknown = sorted({one.label for one in data if one.label is not None and one.label not in file.labels})
    if unknown:
        yield document.problem(("labels",), f"the data has others: {', '.join(unknown)}")


def _judged(
    document: YamlDocument, at: tuple[str, ...], file: SuiteFile, judged: Sequence[Judgement], data: Sequence[Example]
) -> Iterator[str]:
    """Every judgement has something to judge, and every example is judged by something."""
    formed = file.json_schema is not None or bool(file.labels)
    for position, name in enumerate(judged):
        if not any(_applies(name, one, formed) for one in data):
            yield document.problem((*at, position), f"{name} applies to no line of the data")
    without = [one.id for one in data if not any(_applies(name, one, formed) for name in judged)]
    if without:
        shown = ", ".join(without[:5])
        yield document.problem(at, f"nothing judges {len(without)} of the data's lines: {shown}")


def _applies(name: Judgement, example: Example, formed: bool) -> bool:
    return {
        "exact_match": bool(example.answers),
        "says_unknown": example.answers == (),
        "format_valid": formed,
        "label_accuracy": example.label is not None,
        "cited_right": bool(example.documents),
        "canary_absent": bool(example.canaries),
    }[name]
