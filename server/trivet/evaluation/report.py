"""From answers to what they are worth: scores with intervals, costs, and each arm against the baseline."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from trivet.evaluation.metrics import QUALITY, Judgement, combined, score
from trivet.evaluation.outcomes import Outcome
from trivet.evaluation.reply import ReplyReader
from trivet.evaluation.statistics import (
    LEVEL,
    Bootstrap,
    Floats,
    Interval,
    holm,
    mcnemar,
    percentile_interval,
    wilson,
)
from trivet.evaluation.suite import Part, Suite

CORRECT = "correct"
_AMOUNTS = ("input_tokens", "cached_tokens", "output_tokens", "cost")
Answers = Mapping[tuple[str, str], Outcome]  # by arm and example


@dataclass(frozen=True, slots=True)
class Estimate:
    """A number measured on `n` examples. None: nothing to measure it on, or (interval) nothing to say."""

    value: float | None
    interval: Interval | None
    n: int


@dataclass(frozen=True, slots=True)
class Comparison:
    """An arm against the baseline, on the same examples: the difference of their `correct` shares.

    `gained` and `lost`: examples that only the arm, or only the baseline, has right. `p_value` is McNemar's;
    `p_adjusted` is Holm's over all comparisons of the part.
    """

    baseline: str
    difference: Estimate
    gained: int
    lost: int
    p_value: float
    p_adjusted: float


@dataclass(frozen=True, slots=True)
class ArmReport:
    """One arm. `refused` says why it was not asked; then nothing was measured.

    `estimates`: `correct` and the quality metrics (shares), `ttft_ms` (median), `ttft_p95_ms`, tokens and `cost` (means
    per request; costs in nano-USD), and `cost_per_correct`.
    """

    name: str
    estimates: Mapping[str, Estimate]
    comparison: Comparison | None = None
    failed: int = 0
    degraded: int = 0
    refused: str = ""


@dataclass(frozen=True, slots=True)
class PartReport:
    """All arms on the same `n` examples. `chance`: what guessing a label scores (uniformly; always the commonest)."""

    name: Literal["main", "general"]
    n: int
    baseline: str
    correct: tuple[Judgement, ...]
    arms: tuple[ArmReport, ...]
    chance: Mapping[str, float]

    def arm(self, name: str) -> ArmReport:
        """One arm; KeyError if there is none of that name."""
        return {arm.name: arm for arm in self.arms}[name]


@dataclass(frozen=True, slots=True)
class Report:
    """The whole of it. `level` is that of all intervals."""

    suite: str
    description: str
    digest: str
    level: float
    general_margin: float
    parts: tuple[PartReport, ...]


def build_report(
    suite: Suite, digest: str, outcomes: Mapping[tuple[str, str, str], Outcome], refused: Mapping[str, str]
) -> Report:
    """Every example of every arm that is not in `refused` (arm: why) must have its outcome under `digest`."""
    answers = {(arm, example): outcome for (of, arm, example), outcome in outcomes.items() if of == digest}
    reader = ReplyReader(suite.form)
    names: tuple[Literal["main", "general"], ...] = ("main", "general")
    parts = [
        _part(name, part, answers, reader, refused, suite.form.labels)
        for name, part in zip(names, suite.parts, strict=False)
    ]
    return Report(suite.name, suite.description, digest, LEVEL, suite.general_margin, tuple(parts))


def _part(
    name: Literal["main", "general"],
    part: Part,
    answers: Answers,
    reader: ReplyReader,
    refused: Mapping[str, str],
    labels: Sequence[str],
) -> PartReport:
    bootstrap = Bootstrap(len(part.examples))
    columns: dict[str, dict[str, Floats]] = {}
    reports: list[ArmReport] = []
    for arm in part.arms:
        if arm.name in refused:
            reports.append(ArmReport(arm.name, {}, refused=refused[arm.name]))
            continue
        given = [answers[arm.name, example.id] for example in part.examples]
        columns[arm.name] = _columns(part, given, reader)
        reports.append(
            ArmReport(
                arm.name,
                _estimates(columns[arm.name], bootstrap),
                failed=sum(bool(outcome.error) for outcome in given),
                degraded=sum(bool(outcome.degraded) for outcome in given),
            )
        )
    compared = _compare(reports, columns, part.baseline, bootstrap)
    return PartReport(name, len(part.examples), part.baseline, part.correct, compared, _chance(part, labels))


def _columns(part: Part, given: Sequence[Outcome], reader: ReplyReader) -> dict[str, Floats]:
    """One value per example and metric; NaN where it does not apply or is not known."""
    rows: list[dict[str, float | None]] = []
    for example, outcome in zip(part.examples, given, strict=True):
        scores = score(example, outcome, reader)
        row: dict[str, float | None] = {CORRECT: combined(scores, part.correct)}
        row |= {name: scores[name] for name in QUALITY}
        row |= {name: getattr(outcome, name) for name in ("ttft_ms", *_AMOUNTS)}
        if outcome.error:
            row["cost"] = 0.0  # refused before anything was computed: nobody pays, and nothing is right
        rows.append(row)
    return {name: np.array([_number(row[name]) for row in rows], dtype=np.float64) for name in rows[0]}


def _number(value: float | None) -> float:
    return float("nan") if value is None else float(value)


def _estimates(columns: Mapping[str, Floats], bootstrap: Bootstrap) -> dict[str, Estimate]:
    found: dict[str, Estimate] = {}
    for name in (CORRECT, *QUALITY):
        values = columns[name][~np.isnan(columns[name])]
        if name == "token_f1":
            found[name] = _mean(columns[name], bootstrap)
        elif len(values):
            right = int(values.sum())
            found[name] = Estimate(right / len(values), wilson(right, len(values)), len(values))
        else:
            found[name] = Estimate(None, None, 0)
    times = columns["ttft_ms"][~np.isnan(columns["ttft_ms"])]
    for name, rank in (("ttft_ms", 0.5), ("ttft_p95_ms", 0.95)):
        found[name] = Estimate(float(np.quantile(times, rank)) if len(times) else None, None, len(times))
    found |= {name: _mean(columns[name], bootstrap) for name in _AMOUNTS}
    found["cost_per_correct"] = _cost_per_correct(columns, bootstrap)
    return found


def _mean(values: Floats, bootstrap: Bootstrap) -> Estimate:
    applies = ~np.isnan(values)
    n = int(applies.sum())
    if not n:
        return Estimate(None, None, 0)
    filled = np.where(applies, values, 0.0)
    drawn = bootstrap.ratios(filled, applies.astype(np.float64))
    return Estimate(float(filled.sum() / n), percentile_interval(drawn), n)


def _cost_per_correct(columns: Mapping[str, Floats], bootstrap: Bootstrap) -> Estimate:
    """What all requests cost over how many were right; None if a cost is not known, or nothing was right."""
    costs, right = columns["cost"], columns[CORRECT]
    n = len(costs)
    if np.isnan(costs).any() or np.isnan(right).any() or not right.sum():
        return Estimate(None, None, n)
    return Estimate(float(costs.sum() / right.sum()), percentile_interval(bootstrap.ratios(costs, right)), n)


def _compare(
    reports: Sequence[ArmReport], columns: Mapping[str, Mapping[str, Floats]], baseline: str, bootstrap: Bootstrap
) -> tuple[ArmReport, ...]:
    if baseline not in columns:
        return tuple(reports)
    compared: dict[str, Comparison] = {}
    for name in columns:
        if name == baseline:
            continue
        differences = columns[name][CORRECT] - columns[baseline][CORRECT]
        gained, lost = int((differences > 0).sum()), int((differences < 0).sum())
        interval = percentile_interval(bootstrap.means(differences))
        estimate = Estimate(float(differences.mean()), interval, len(differences))
        p_value = mcnemar(gained, lost)
        compared[name] = Comparison(baseline, estimate, gained, lost, p_value, p_value)
    adjusted = holm([item.p_value for item in compared.values()])
    final = {name: replace(item, p_adjusted=p) for (name, item), p in zip(compared.items(), adjusted, strict=True)}
    return tuple(replace(report, comparison=final.get(report.name)) for report in reports)


def _chance(part: Part, labels: Sequence[str]) -> dict[str, float]:
    given = [example.label for example in part.examples if example.label is not None]
    if not given:
        return {}
    return {"uniform": 1 / len(labels), "commonest": max(given.count(label) for label in labels) / len(given)}
