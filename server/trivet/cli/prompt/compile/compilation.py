"""The compilation of one arm's prompt: the searches, the suite's verdict, and what is told of both."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from trivet import __version__
from trivet.cli.evaluation.config import prompt_file
from trivet.cli.evaluation.run import Evaluation, EvaluationOptions
from trivet.cli.prompt.compile.candidate import Candidate, read_candidate
from trivet.cli.prompt.compile.material import Material
from trivet.cli.prompt.compile.trials import Trials
from trivet.config import Config
from trivet.errors import FailedPrecondition
from trivet.evaluation.arms import Arm
from trivet.evaluation.gate import Verdict
from trivet.evaluation.report import Report
from trivet.evaluation.runner import Pace
from trivet.evaluation.suite import Suite
from trivet.training.folder import fingerprint
from trivet.types.variant import VersionRef

CURRENT, COMPILED = "current", "compiled"
TOKENS = ("input_tokens", "cached_tokens", "output_tokens")


@dataclass(frozen=True, slots=True)
class Search:
    """What is searched, and how far. `reflect`: the backend that rewrites the system text; None searches none."""

    shots: int
    candidates: int
    reflect: str | None
    calls: int
    concurrency: int


@dataclass(frozen=True, slots=True)
class Compiled:
    """What there is, the best that was found, and what the suite says of the two. `asked`: answers of the searches."""

    start: Candidate
    best: Candidate
    report: Report
    verdict: Verdict
    asked: int


class Compilation:
    """Of one arm of a suite. Answers are kept: what was interrupted asks the rest when it is run again."""

    def __init__(self, config: Config, suite: Suite, arm: Arm, learned: Material, search: Search) -> None:
        self._config = config
        self._suite = replace(suite, main=replace(suite.main, arms=(arm,), baseline=arm.name), general=None)
        self._arm = arm
        self._learned = learned
        self._search = search
        self._options = EvaluationOptions(pace=Pace(search.concurrency))
        evaluation = Evaluation(config, self._suite, self._options)
        self._trials = Trials(config, self._suite, arm, evaluation, self._options.pace)

    @property
    def prompt_file(self) -> Path:
        """The version that it starts from."""
        return prompt_file(self._config, self._suite, self._arm)

    def run(self, margin: float) -> Compiled:
        """Search, and have the suite judge what was found, by `margin` percentage points.

        FailedPrecondition if a search's library is missing, or if nothing better was found.
        """
        start = read_candidate(VersionRef.parse(self._arm.prompt), self.prompt_file)
        best = self._searched(start)
        if best.digest == start.digest:
            raise FailedPrecondition(
                f"nothing better than {self._arm.prompt} was found on {len(self._learned.validation)} questions: more "
                "--candidates, more --data, or another --seed"
            )
        judged = Evaluation(self._config, self._compared(start, best), replace(self._options, baseline=CURRENT))
        report = judged.run()
        return Compiled(start, best, report, judged.judge(report, COMPILED, margin), self._trials.asked)

    def told(self, compiled: Compiled) -> dict[str, Any]:
        """Where the version comes from, and what it is worth."""
        search, learned, part = self._search, self._learned, compiled.report.parts[0]
        arms = {one.name: one for one in part.arms}
        difference = arms[COMPILED].comparison
        assert difference is not None
        libraries = [library for library, used in (("dspy", search.shots), ("gepa", search.reflect)) if used]
        return {
            "compiled_from": self._arm.prompt,
            "compiled_at": datetime.now(UTC).isoformat(timespec="seconds"),
            "trivet": __version__,
            "libraries": {name: version(name) for name in libraries},
            "search": {**asdict(search), "answers_asked": compiled.asked},
            "data": {
                "digest": learned.digest,
                "training": len(learned.training),
                "validation": len(learned.validation),
                "left_out": dict(learned.left_out.most_common()),
            },
            "suite": {
                "name": self._suite.name,
                "questions": part.n,
                "arm": self._arm.name,
                "answers": compiled.report.digest,
            },
            "models": self._models(),
            "correct": {name: _estimate(arms[name].estimates["correct"]) for name in (CURRENT, COMPILED)},
            "difference": _estimate(difference.difference),
            "passed": compiled.verdict.passed,
            "tokens": {
                name: {kind: arms[name].estimates[kind].value for kind in TOKENS} for name in (CURRENT, COMPILED)
            },
            "shots": {CURRENT: len(compiled.start.shots), COMPILED: len(compiled.best.shots)},
        }

    def _searched(self, start: Candidate) -> Candidate:
        best, trials, learned, search = start, self._trials, self._learned, self._search
        answers = {example.id: answer for example, answer in learned.training}
        try:
            with trials.serving(start, search.reflect):
                if search.reflect is not None:
                    from trivet.cli.prompt.compile.instructions import instructions

                    training = [example for example, _ in learned.training]
                    best = instructions(
                        trials, best, training, learned.validation, told=lambda one: answers.get(one.id, ""),
                        calls=search.calls, concurrency=search.concurrency,
                    )  # fmt: skip
                if search.shots:
                    from trivet.cli.prompt.compile.few_shot import few_shot

                    best = few_shot(
                        trials, best, learned.training, learned.validation, shots=search.shots,
                        candidates=search.candidates, concurrency=search.concurrency,
                    )  # fmt: skip
        except ModuleNotFoundError as error:
            if error.name not in {"dspy", "gepa"}:
                raise
            raise FailedPrecondition(f"compiling needs {error.name}: pip install 'trivet[compile]'") from error
        return best

    def _compared(self, start: Candidate, best: Candidate) -> Suite:
        arms = tuple(
            replace(self._arm, name=name, prompt=f"candidate-{one.digest}@1")
            for name, one in ((CURRENT, start), (COMPILED, best))
        )
        main = replace(self._suite.main, arms=arms, baseline=CURRENT)
        return replace(self._suite, main=main, prompts=self._trials.folder / "candidates")

    def _models(self) -> dict[str, str]:
        """By backend, the digest of its model's files: with another model, compile again."""
        wanted = [self._arm.backend] if self._arm.backend is not None else list(self._config.file.backends)
        found = {}
        for name in wanted:
            folder = self._config.model_folder(name)
            if (folder / "tokenizer.json").is_file() and (folder / "config.json").is_file():
                found[name] = fingerprint(folder)
        return found


def _estimate(one: Any) -> dict[str, Any]:
    interval = one.interval
    return {
        "value": one.value,
        "low": None if interval is None else interval.low,
        "high": None if interval is None else interval.high,
        "n": one.n,
    }
