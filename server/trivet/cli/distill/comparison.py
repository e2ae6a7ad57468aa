"""The student beside its teacher and the prompted baseline: what it lost, what it saves, whether that is accepted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from trivet.cli.distill.recipe import STUDENT, Distillation
from trivet.cli.evaluation.run import Evaluation, EvaluationOptions
from trivet.config import Config
from trivet.evaluation.arms import Arm
from trivet.evaluation.gate import Check, general_check, holds, judge
from trivet.evaluation.outcomes import Outcome
from trivet.evaluation.report import Comparison, Report
from trivet.evaluation.statistics import Bootstrap, Interval, percentile_interval
from trivet.evaluation.suite import Suite, general_arm

AMOUNTS: Mapping[str, str] = {
    "input_tokens": "input tokens",
    "uncached_tokens": "input tokens not cached",
    "output_tokens": "output tokens",
    "ttft_ms": "ms to the first token",
    "total_ms": "ms to the last token",
    "cost": "nano-USD",
}


@dataclass(frozen=True, slots=True)
class Saving:
    """Means of a request, and the share that the student needs less; None where an amount is not known."""

    name: str
    teacher: float | None
    student: float | None
    share: float | None
    interval: Interval | None


@dataclass(frozen=True, slots=True)
class Compared:
    """`report` against the teacher; `checks` say whether the student may take over."""

    report: Report
    savings: tuple[Saving, ...]
    checks: tuple[Check, ...]

    @property
    def accepted(self) -> bool:
        """All checks hold."""
        return all(check.passed for check in self.checks)


def compare(recipe: Distillation, config: Config, options: EvaluationOptions) -> Compared:
    """Put the suite's questions to teacher, baseline and student, what was not asked before."""
    suite = with_student(recipe)
    against = Evaluation(config, suite, replace(options, baseline=recipe.teacher.name))
    report = against.run()
    outcomes = against.outcomes
    found = savings(outcomes, recipe.teacher.name)
    accept = recipe.file.accept
    checks = [lost(report, accept.loss), *_gained(recipe, config, suite, options, report)]
    checks.append(saved(found[0], accept.saving))
    return Compared(report, found, tuple(checks))


def with_student(recipe: Distillation) -> Suite:
    """The suite's own questions for teacher, baseline and student alone; the general part for the weights of these."""
    suite, student = recipe.suite, recipe.student
    arms: dict[str, Arm] = {arm.name: arm for arm in (recipe.baseline, recipe.teacher, student)}
    main = replace(suite.main, arms=tuple(arms.values()), baseline=recipe.teacher.name)
    if suite.general is None or student.weights is None:
        return replace(suite, main=main, general=None)
    wanted = {general_arm(arm.weights) for arm in arms.values() if arm.weights is not None}
    part = suite.general
    kept = [arm for arm in part.arms if arm.name == part.baseline or arm.name in wanted]
    bare = next(arm for arm in part.arms if arm.name == part.baseline)
    kept.append(replace(bare, name=general_arm(student.weights), adapter=student.adapter))
    return replace(suite, main=main, general=replace(part, arms=tuple(kept)))


def lost(report: Report, margin: float) -> Check:
    """Whether the student is shown to lose fewer than `margin` points against its teacher."""
    part = report.parts[0]
    comparison = _comparison(report)
    interval = comparison.difference.interval
    low = float("-inf") if interval is None else interval.low
    name = f"at most {margin:g} points lost against {part.baseline}, shown by the interval"
    return Check(name, bool(holds(low, margin)), f"{_points(comparison)}, n = {part.n}")


def savings(outcomes: Sequence[Outcome], teacher: str) -> tuple[Saving, ...]:
    """Over the questions that both answered, from the receipts; intervals are of one paired bootstrap."""
    by_arm = {name: {one.example: one for one in outcomes if one.arm == name} for name in (teacher, STUDENT)}
    shared = [name for name, one in by_arm[teacher].items() if not one.error and _answered(by_arm[STUDENT].get(name))]
    bootstrap = Bootstrap(len(shared)) if shared else None
    return tuple(
        _saving(name, [(by_arm[teacher][one], by_arm[STUDENT][one]) for one in shared], bootstrap) for name in AMOUNTS
    )


def saved(tokens: Saving, least: float) -> Check:
    """Whether the interval of the saved share of input tokens lies above `least`."""
    low = float("-inf") if tokens.interval is None else tokens.interval.low
    if tokens.share is None or tokens.interval is None:
        found = "not known"
    else:
        found = f"{100 * tokens.share:.1f}% [{100 * tokens.interval.low:.1f}, {100 * tokens.interval.high:.1f}]"
    passed = low >= least if least else low > 0
    return Check(f"input tokens down by {f'{100 * least:g}% at least' if least else 'any share'}", passed, found)


def _gained(
    recipe: Distillation, config: Config, suite: Suite, options: EvaluationOptions, report: Report
) -> list[Check]:
    """The gate against the baseline; the general part alone where the teacher is the baseline."""
    if recipe.baseline.name == recipe.teacher.name:
        return [general_check(report, recipe.student.weights)] if len(report.parts) > 1 else []
    again = Evaluation(config, suite, replace(options, baseline=recipe.baseline.name, fresh=False))
    weights = {arm.name: arm.weights for arm in again.suite.main.arms}
    return list(judge(again.run(), STUDENT, recipe.file.accept.gain, weights).checks)


def _answered(one: Outcome | None) -> bool:
    return one is not None and not one.error


def _saving(name: str, pairs: Sequence[tuple[Outcome, Outcome]], bootstrap: Bootstrap | None) -> Saving:
    values = [(_amount(name, teacher), _amount(name, student)) for teacher, student in pairs]
    if bootstrap is None or any(value is None for pair in values for value in pair):
        return Saving(name, None, None, None, None)
    amounts = np.array(values, dtype=np.float64)
    teacher, student = amounts[:, 0], amounts[:, 1]
    if not teacher.sum():
        return Saving(name, 0.0, float(student.mean()), None, None)
    interval = percentile_interval(1 - bootstrap.ratios(student, teacher))
    return Saving(
        name, float(teacher.mean()), float(student.mean()), float(1 - student.sum() / teacher.sum()), interval
    )


def _amount(name: str, one: Outcome) -> float | None:
    if name == "uncached_tokens":
        return None if one.input_tokens is None or one.cached_tokens is None else one.input_tokens - one.cached_tokens
    found: float | None = getattr(one, name)
    return found


def _comparison(report: Report) -> Comparison:
    found = report.parts[0].arm(STUDENT).comparison
    assert found is not None  # the teacher is the baseline
    return found


def _points(comparison: Comparison) -> str:
    difference = comparison.difference
    ends = difference.interval
    between = "?" if ends is None else f"{100 * ends.low:+.1f}, {100 * ends.high:+.1f}"
    return f"{100 * (difference.value or 0.0):+.1f} points [{between}]"
