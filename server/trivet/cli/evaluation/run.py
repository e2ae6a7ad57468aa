"""An evaluation from beginning to end: the arms' server, the questions that are still open, the report."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import click
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from trivet.cli.console.bars import bars
from trivet.cli.evaluation.config import Derived, derive, ingredients
from trivet.cli.server.process import ServerProcess
from trivet.client import Client, Target
from trivet.config import Config, load_config
from trivet.errors import ConfigError, FailedPrecondition
from trivet.evaluation.arms import Arm
from trivet.evaluation.data import Example
from trivet.evaluation.gate import Verdict, judge
from trivet.evaluation.outcomes import Outcome, OutcomeLog
from trivet.evaluation.report import Report, build_report
from trivet.evaluation.runner import Pace, Question, Runner, questions
from trivet.evaluation.suite import Part, Suite, general_arm, load_suite

RESULTS = "results.jsonl"


@dataclass(frozen=True, slots=True)
class EvaluationOptions:
    """What the command line says. `arms` and `baseline`: the suite's own if empty. `target`: a running server.
    `general`: whether to ask the general part, if the suite has one."""

    arms: tuple[str, ...] = ()
    baseline: str = ""
    limit: int | None = None
    general: bool = True
    fresh: bool = False
    pace: Pace = field(default_factory=Pace)
    target: Target | None = None


class Evaluation:
    """One suite with one configuration. Results are kept in `<data>/evals/<suite>/<digest>/`."""

    def __init__(self, config: Config, suite: Path | Suite, options: EvaluationOptions) -> None:
        """Reads and checks the suite, if it is a file; ConfigError says what is wrong in it."""
        self._config = config
        self._options = options
        whole = load_suite(suite) if isinstance(suite, Path) else suite
        target = options.target
        known = ingredients(config, whole) if target is None else {"address": target.address}
        self.digest = whole.digest(known)
        self.suite = narrow(whole, options)
        self.folder = config.data_dir / "evals" / whole.name / self.digest

    def run(self) -> Report:
        """Ask what is still open, and report on all of it. Killed and run again, it continues where it was."""
        with self._log() as log:
            refused = self._ask(log)
            return build_report(self.suite, self.digest, log.outcomes, refused)

    def ask(self) -> Mapping[tuple[str, str, str], Outcome]:
        """Ask what is still open, as `run` does, and give the answers by suite digest, arm and example, of which no
        statistics are made. FailedPrecondition if an arm cannot be asked."""
        with self._log() as log:
            for name, reason in self._ask(log).items():
                raise FailedPrecondition(f"arm {name!r} cannot be asked: {reason}")
            return log.outcomes

    @property
    def kept(self) -> int:
        """How many answers of this evaluation are on disk."""
        path = self.folder / RESULTS
        return path.read_bytes().count(b"\n") if path.exists() else 0

    @property
    def outcomes(self) -> tuple[Outcome, ...]:
        """The answers of this evaluation that are on disk."""
        with OutcomeLog(self.folder / RESULTS) as log:
            return tuple(outcome for key, outcome in log.outcomes.items() if key[0] == self.digest)

    def derive(self) -> Derived:
        """Write a configuration with the arms' routes beside the configuration's own, for a server to be asked by
        `run_on`."""
        return derive(self._config, self.suite, self.folder, own_routes=True)

    def run_on(self, client: Client, derived: Derived) -> Report:
        """As `run`, but on a server that was started on `derived` and whose indexes are built."""
        with self._log() as log:
            wanted = self._wanted(derived.refused)
            self._put(client, log, wanted, self._done(log, wanted))
            return build_report(self.suite, self.digest, log.outcomes, derived.refused)

    def judge(self, report: Report, candidate: str, margin: float) -> Verdict:
        """The gate's verdict on a report of this evaluation."""
        return judge(report, candidate, margin, {arm.name: arm.weights for arm in self.suite.arms})

    def _ask(self, log: OutcomeLog) -> Mapping[str, str]:
        target = self._options.target
        derived = derive(self._config, self.suite, self.folder) if target is None else None
        refused = derived.refused if derived else {}
        wanted = self._wanted(refused)
        done = self._done(log, wanted)
        if done == len(wanted):
            return refused
        if derived:
            load_config(derived.path)  # a missing adapter is told here, before anything starts
        with self.server(derived, target) as client:
            self._put(client, log, wanted, done)
        return refused

    def _log(self) -> OutcomeLog:
        self.folder.mkdir(parents=True, exist_ok=True)
        return OutcomeLog(self.folder / RESULTS, fresh=self._options.fresh)

    def _wanted(self, refused: Collection[str]) -> list[Question]:
        return [item for part in self.suite.parts for item in questions(part, refused)]

    def _done(self, log: OutcomeLog, wanted: Collection[Question]) -> int:
        return sum((self.digest, item.arm.name, item.example.id) in log.outcomes for item in wanted)

    def _put(self, client: Client, log: OutcomeLog, wanted: Collection[Question], done: int) -> None:
        columns = (BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TimeRemainingColumn())
        with bars(TextColumn("{task.description}"), *columns, transient=False) as bar:
            task = bar.add_task(f"{self.suite.name}: questions", total=len(wanted), completed=done)
            Runner(self.suite, self.digest, log, client, self._options.pace).run(wanted, lambda: bar.advance(task))

    @contextmanager
    def server(self, derived: Derived | None, target: Target | None = None) -> Iterator[Client]:
        """A server on `derived` whose indexes are built, for this process alone; else the one that `target` names."""
        if derived is None:
            with Client(target or Target()) as client:
                yield client
            return
        data = self._config.data_dir / "evals" / "server"
        with ServerProcess(derived.path, data) as server, Client(server.target) as client:
            for name in derived.indexes:
                click.echo(f"  building  index {name}", err=True)
                for event in client.build_index(name, strict=True):
                    if event.HasField("built"):
                        click.echo(f"  ready     {event.built.passages} passages", err=True)
            yield client


def answers_of(
    config: Config, suite: Suite, name: str, examples: Sequence[Example], arm: Arm, options: EvaluationOptions
) -> tuple[Mapping[str, Outcome], str]:
    """Each example's answer by one arm, by its id, and the digest of what decided them; kept under `name`, so that what
    is there already is not asked again. FailedPrecondition if the arm cannot be asked."""
    part = Part(tuple(examples), (arm,), arm.name, suite.main.correct)
    evaluation = Evaluation(config, replace(suite, name=name, main=part, general=None), options)
    found = evaluation.ask()
    return {one.id: found[evaluation.digest, arm.name, one.id] for one in examples}, evaluation.digest


def narrow(suite: Suite, options: EvaluationOptions) -> Suite:
    """The suite with the wished arms, baseline and number of examples. ConfigError for an arm that it does not have."""
    known = [arm.name for arm in suite.main.arms]
    baseline = options.baseline or suite.main.baseline
    names = {*options.arms, baseline} if options.arms else set(known)
    missing = sorted((names | {baseline}) - set(known))
    if missing:
        raise ConfigError([f"{suite.path}: no arm {name!r}; known: {', '.join(known)}" for name in missing])
    arms = tuple(arm for arm in suite.main.arms if arm.name in names)
    narrowed = replace(suite, main=replace(_first(suite.main, options.limit), arms=arms, baseline=baseline))
    if suite.general is None or not options.general:
        return replace(narrowed, general=None)
    return replace(narrowed, general=_general(_first(suite.general, options.limit), arms))


def _first(part: Part, limit: int | None) -> Part:
    return part if limit is None else replace(part, examples=part.examples[:limit])


def _general(part: Part, arms: Collection[Arm]) -> Part | None:
    """The general part for the weights of these arms; none if they have none but the bare model's."""
    wanted = {general_arm(arm.weights) for arm in arms if arm.weights is not None}
    kept = tuple(arm for arm in part.arms if arm.name in wanted or arm.name == part.baseline)
    return replace(part, arms=kept) if wanted else None


def find_suite(name: str) -> Path:
    """A suite by its file, its folder, or its name below `evals/`."""
    tried = [Path(name), Path(name) / "suite.yaml", Path("evals") / name / "suite.yaml"]
    for path in tried:
        if path.is_file():
            return path
    raise FailedPrecondition(f"no suite {name!r}: tried {', '.join(str(path) for path in tried)}")
