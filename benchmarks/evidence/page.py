"""A suite's report as a page: what was asked of what, tables with intervals, the gate's verdict."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.measuring.repository import ROOT
from benchmarks.measuring.tables import table
from trivet.adapters.preflight.base_model import BaseModel
from trivet.cli.evaluation.run import Evaluation, EvaluationOptions, find_suite
from trivet.config import Config
from trivet.evaluation import wording
from trivet.evaluation.gate import Verdict
from trivet.evaluation.report import PartReport, Report
from trivet.evaluation.suite import Suite, load_suite

MARGIN = 2.0


@dataclass(frozen=True, slots=True)
class Claim:
    """The arm that a suite is about: it is held against the suite's baseline by the gate, and against each rival."""

    suite: str
    arm: str
    rivals: tuple[str, ...]

    def load(self) -> Suite:
        """The suite in this repository."""
        return load_suite(find_suite(str(ROOT / "evals" / self.suite)))


@dataclass(frozen=True, slots=True)
class Judged:
    """One suite's answers: its report, the same seen from the claim's arm, and the gate's verdict on that arm."""

    claim: Claim
    report: Report
    against: PartReport
    verdict: Verdict

    @property
    def standing(self) -> str:
        """Whether the arm wins, as a sentence."""
        return _sentence(wording.standing(self.against, self.claim.rivals))


def options_of(description: str | None, *, concurrency: int, kept: str) -> argparse.ArgumentParser:
    """What every run of suites is told. `concurrency`: requests at a time unless told; `kept`: where answers are."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--to", type=Path, default=ROOT / "benchmarks" / "results", help="folder of the pages")
    add("--data-dir", type=Path, help=f"where answers are kept (default: {kept})")
    add("--limit", type=int, help="only the first so many questions of each part")
    add(
        "--concurrency",
        type=int,
        default=concurrency,
        help=f"requests at a time (default {concurrency}); times mean most with one",
    )
    return parser


def ask(claim: Claim, config: Config, suite: Suite, options: EvaluationOptions) -> Judged:
    """Ask what has not been answered, and judge it."""
    evaluation = Evaluation(config, suite, options)
    report = evaluation.run()
    # The same answers once more, seen from the arm that the claim is about: nothing is asked.
    against = Evaluation(config, suite, EvaluationOptions(baseline=claim.arm, limit=options.limit)).run().parts[0]
    return Judged(claim, report, against, evaluation.judge(report, claim.arm, MARGIN))


def about(config: Config, machine: dict[str, Any], level: float) -> Iterator[str]:
    """What answered, and where."""
    changed = " and changes not committed" if machine["changed"] else ""
    packages = ", ".join(f"{name} {version}" for name, version in machine["packages"].items())
    yield f"- {machine['date']}, revision {machine['revision']}{changed}"
    yield f"- {machine['cpu']}, {machine['cores']} cores, {machine['memory_gib']} GiB, {machine['system']}"
    yield f"- Python {machine['python']}, {packages}; load average before the run {machine['load_average']:.2f}"
    for name, backend in config.file.backends.items():
        model = BaseModel(config.resolve(backend.model))
        yield f"- model of `{name}`: {backend.model}, fingerprint {model.fingerprint[:12]}"
    yield f"- intervals: {100 * level:g}%, Wilson's for shares, paired bootstrap over questions for the others"


def results(judged: Judged, level: int = 2) -> Iterator[str]:
    """The tables of every part, and the gate, under headings of this level and the next."""
    for part in judged.report.parts:
        yield from _part(part, judged.against if part is judged.report.parts[0] else None, level)
    yield from _gate(judged.verdict, level)


def _part(part: PartReport, against: PartReport | None, level: int) -> Iterator[str]:
    title = "General questions, which no adapter may forget" if part.name == "general" else "Questions"
    yield f"{'#' * level} {title}"
    yield ""
    yield f"n = {part.n}. `correct`: all that applies of {', '.join(part.correct)}."
    sections = [
        ("Shares in percent, [95% interval]", wording.cells(part, wording.QUALITY_COLUMNS)),
        (_against(part), wording.comparisons(part)),
    ]
    if against is not None:
        sections.append((_against(against), wording.comparisons(against)))
    sections.append(("Each request: medians, means, millionths of a dollar", wording.cells(part, wording.COST_COLUMNS)))
    for heading, (columns, rows) in sections:
        yield from section(heading, columns, rows, level + 1)
    remarks = wording.remarks(part)
    if remarks:
        yield from ("", *(f"- {remark}" for remark in remarks))
    yield ""


def _against(part: PartReport) -> str:
    return f"Against {part.baseline}: points, [95% interval], McNemar's exact test"


def section(heading: str, columns: Sequence[str], rows: Sequence[Sequence[str]], level: int) -> Iterator[str]:
    """A table under its heading; nothing without rows."""
    if rows:
        yield from ("", f"{'#' * level} {heading}", "")
        yield from table(columns, rows)


def _gate(verdict: Verdict, level: int) -> Iterator[str]:
    yield from (f"{'#' * level} The gate: {verdict.candidate} against {verdict.baseline}", "")
    rows = [(check.name, check.found, "holds" if check.passed else "FAILS") for check in verdict.checks]
    yield from table(("condition", "found", ""), rows)
    yield ""
    advice = f" {_sentence(verdict.advice)}." if verdict.advice else ""
    yield f"{verdict.candidate} {'passes' if verdict.passed else 'does not pass'}.{advice}"


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:]
