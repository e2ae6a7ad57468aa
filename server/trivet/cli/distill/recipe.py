"""A recipe for a distillation: one YAML file, checked whole before anything is asked."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from pydantic import Field

from trivet.cli.adapter.recipe import Base, Files, TrainingSection, Version, base_problems
from trivet.config.fields.kinds import Count, Name, NotNegative, Section
from trivet.config.yaml_lines import YamlDocument, parse, read_yaml
from trivet.errors import ConfigError
from trivet.evaluation.arms import Arm, ArmName, ArmSection, Ref
from trivet.evaluation.suite import Suite, load_suite
from trivet.training.folder import ADAPTER_FILES

STUDENT = "student"
Share = Annotated[float, Field(ge=0, lt=1, allow_inf_nan=False)]
Points = Annotated[float, Field(gt=0, le=100, allow_inf_nan=False)]


class LogSection(Section):
    """Questions that people asked a route: the newest `most`."""

    route: Name
    most: Count = 5000


class QuestionsSection(Section):
    """Where questions come from; at least one of both."""

    files: Files | None = None
    log: LogSection | None = None


class AcceptSection(Section):
    """When the student may take over: `loss` points lost against the teacher at most, `gain` points won over the
    baseline at least, `saving` of the input tokens (a share) at least."""

    loss: Points = 3.0
    gain: NotNegative = 2.0
    saving: Share = 0.0


class DistillationFile(Section):
    """The recipe. Paths are relative to its folder. `failures`: how many times as often as others an answer is learned
    that the baseline does not give. `replay`: chats that are learned beside the teacher's answers, so that
    what the base can do is not forgotten."""

    name: Name
    version: Version
    suite: str
    teacher: ArmName
    baseline: ArmName | None = None
    judge: ArmSection | None = None
    prompt: Ref
    questions: QuestionsSection
    held_out: Share = 0.1
    failures: Annotated[int, Field(ge=1, le=100)] = 1
    replay: Files | None = None
    base: Base
    training: TrainingSection = TrainingSection()
    accept: AcceptSection = AcceptSection()
    price_per_hour: NotNegative | None = None
    out: str = "adapters"


@dataclass(frozen=True, slots=True)
class Distillation:
    """A recipe that was read and checked, with its suite. `student`: the arm that the adapter will be."""

    file: DistillationFile
    folder: Path
    suite: Suite
    teacher: Arm
    baseline: Arm
    student: Arm

    @property
    def name(self) -> str:
        """name@version."""
        return f"{self.file.name}@{self.file.version}"


def load_distillation(path: Path) -> Distillation:
    """Read it and its suite; ConfigError with one line per problem."""
    document = read_yaml(path)
    file = parse(document, DistillationFile)
    where = path.parent / file.suite
    suite_path = where / "suite.yaml" if where.is_dir() else where
    problems = [*base_problems(document, file.base, path.parent), *_idle(document, file)]
    problems += _missing(document, ("questions", "files"), file.questions.files, path.parent)
    problems += _missing(document, ("replay",), file.replay, path.parent)
    if file.training.start is not None:
        weights = [f"{file.training.start}/{name}" for name in ADAPTER_FILES]
        problems += _missing(document, ("training", "start"), weights, path.parent)
    if not suite_path.is_file():
        problems.append(document.problem(("suite",), f"{suite_path} is not a file"))
    if problems:
        raise ConfigError(problems)
    suite = load_suite(suite_path)
    arms = {arm.name: arm for arm in suite.main.arms}
    baseline = file.baseline or suite.main.baseline
    for field, name in (("teacher", file.teacher), ("baseline", baseline)):
        if name not in arms:
            problems.append(document.problem((field,), f"the suite has no arm {name!r}; known: {', '.join(arms)}"))
    if problems:
        raise ConfigError(problems)
    teacher = arms[file.teacher]
    problems += _not_distilled(document, suite, teacher)
    if problems:
        raise ConfigError(problems)
    student = Arm(
        STUDENT, file.prompt, teacher.max_tokens, adapter=f"{file.name}@{file.version}", constrained=teacher.constrained
    )
    return Distillation(file, path.parent, suite, teacher, arms[baseline], student)


def _missing(
    document: YamlDocument, field: tuple[str, ...], names: Sequence[str] | None, folder: Path
) -> Iterator[str]:
    for name in names or ():
        if not (folder / name).is_file():
            yield document.problem(field, f"{folder / name} is not a file")


def _idle(document: YamlDocument, file: DistillationFile) -> Iterator[str]:
    if file.questions.files is None and file.questions.log is None:
        yield document.problem(("questions",), "has neither files nor log, expected at least one of them")
    if file.training.objective != "sft":
        yield document.problem(
            ("training", "objective"), f"is {file.training.objective}, expected sft: answers are imitated"
        )
    if file.training.warm_up > file.training.steps:
        yield document.problem(("training", "warm_up"), f"is {file.training.warm_up}, of {file.training.steps} steps")


def _not_distilled(document: YamlDocument, suite: Suite, teacher: Arm) -> Iterator[str]:
    """What must not, or cannot, go into weights."""
    if teacher.index is not None or teacher.stuffed is not None:
        yield document.problem(
            ("teacher",),
            f"{teacher.name!r} reads documents, whose facts change and belong into no weights: expected an arm without "
            "retrieval, or questions that hold their passages",
        )
    if STUDENT in {arm.name for arm in suite.main.arms}:
        yield document.problem(("suite",), f"has an arm {STUDENT!r}, which is the name of what is trained")
