"""What each leg is worth: the suites of `trivet eval`, all arms, written as tables into benchmarks/results/.

Answers are kept in the data folder: killed and run again it goes on, and a change of weights, prompts, questions or
anything else that decides answers begins anew.

  python -m benchmarks.evidence                 all suites, one request at a time
  python -m benchmarks.evidence tickets --limit 20 --to /tmp   a try
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.measuring.machine import command, describe
from benchmarks.measuring.repository import ROOT
from benchmarks.measuring.tables import table
from trivet.adapters.preflight.base_model import BaseModel
from trivet.cli.evaluation.run import Evaluation, EvaluationOptions, find_suite
from trivet.config import Config, Overrides, load_config
from trivet.evaluation import wording
from trivet.evaluation.gate import Verdict
from trivet.evaluation.report import PartReport, Report
from trivet.evaluation.runner import Pace

MARGIN = 2.0


@dataclass(frozen=True, slots=True)
class Claim:
    """The arm that a suite is about: it is held against the suite's baseline by the gate, and against each rival."""

    suite: str
    arm: str
    rivals: tuple[str, ...]


CLAIMS = (
    # Twins that decode with the schema are rivals too, but for the hybrid's own; `stuffed` is asked where it fits.
    Claim("handbook", "hybrid", (
        "base", "base+schema", "prompt", "prompt+schema", "rag", "rag+schema", "adapter", "adapter+schema", "terse+rag",
        "prompt+rag", "prompt+rag+schema", "rag+adapter", "rag+adapter+schema", "stuffed", "stuffed+schema",
    )),
    Claim("json", "prompt+adapter", ("terse", "prompt", "prompt+schema", "adapter", "adapter+schema")),
    Claim("tickets", "prompt+adapter-2", ("base", "prompt", "adapter", "prompt+adapter", "adapter-2")),
)  # fmt: skip


def main() -> None:
    """Ask, and write the pages."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    suites = [claim.suite for claim in CLAIMS]
    parser.add_argument("suites", nargs="*", metavar="SUITE", help=f"of {', '.join(suites)}; default: all")
    parser.add_argument("--to", type=Path, default=ROOT / "benchmarks" / "results", help="folder of the pages")
    parser.add_argument("--data-dir", type=Path, help="where answers are kept (default: the configuration's)")
    parser.add_argument("--limit", type=int, help="only the first so many questions of each part")
    parser.add_argument("--concurrency", type=int, default=1, help="requests at a time (default 1: times mean most)")
    parser.add_argument("--fresh", action="store_true", help="ask everything again")
    given = parser.parse_args()
    if unknown := sorted(set(given.suites) - set(suites)):
        parser.error(f"no suite {', '.join(unknown)}, expected {', '.join(suites)}")
    machine = describe(ROOT)
    config = load_config(ROOT / "trivet.yaml", Overrides(data_dir=given.data_dir))
    given.to.mkdir(parents=True, exist_ok=True)
    for claim in CLAIMS:
        if claim.suite in (given.suites or suites):
            path = given.to / f"{claim.suite}.md"
            path.write_text(page(claim, config, machine, given), encoding="utf-8")
            print(path)


def page(claim: Claim, config: Config, machine: dict[str, Any], given: argparse.Namespace) -> str:
    """One suite's page; asks what has not been answered."""
    suite = find_suite(str(ROOT / "evals" / claim.suite))
    evaluation = Evaluation(
        config, suite, EvaluationOptions(limit=given.limit, fresh=given.fresh, pace=Pace(given.concurrency))
    )
    report = evaluation.run()
    verdict = evaluation.judge(report, claim.arm, MARGIN)
    # The same answers once more, seen from the arm that the claim is about: nothing is asked.
    against = Evaluation(config, suite, EvaluationOptions(baseline=claim.arm, limit=given.limit)).run().parts[0]
    lines = [f"# Evaluation: {report.suite}", "", report.description, ""]
    lines += [*_about(report, config, machine), "", f"**{_sentence(wording.standing(against, claim.rivals))}**", ""]
    for part in report.parts:
        lines += _part(part, against if part is report.parts[0] else None)
    lines += _gate(verdict)
    return "\n".join(lines) + "\n"


def _about(report: Report, config: Config, machine: dict[str, Any]) -> Iterator[str]:
    packages = ", ".join(f"{name} {version}" for name, version in machine["packages"].items())
    changed = " and changes not committed" if machine["changed"] else ""
    yield f"- `make evidence`, or `{command('evidence')}`; by hand `trivet eval {report.suite}`"
    yield f"- {machine['date']}, revision {machine['revision']}{changed}, suite {report.digest}"
    yield f"- {machine['cpu']}, {machine['cores']} cores, {machine['memory_gib']} GiB, {machine['system']}"
    yield f"- Python {machine['python']}, {packages}; load average before the run {machine['load_average']:.2f}"
    for name, backend in config.file.backends.items():
        model = BaseModel(config.resolve(backend.model))
        yield f"- model of `{name}`: {backend.model}, fingerprint {model.fingerprint[:12]}"
    yield f"- intervals: {100 * report.level:g}%, Wilson's for shares, paired bootstrap over questions for the others"
    yield (
        "- what it does not show: larger or instruction-tuned models, for which the arms may rank differently, and "
        "times under other loads"
    )


def _part(part: PartReport, against: PartReport | None) -> Iterator[str]:
    title = "General questions, which no adapter may forget" if part.name == "general" else "Questions"
    yield f"## {title}"
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
        yield from _section(heading, columns, rows)
    remarks = wording.remarks(part)
    if remarks:
        yield from ("", *(f"- {remark}" for remark in remarks))
    yield ""


def _against(part: PartReport) -> str:
    return f"Against {part.baseline}: points, [95% interval], McNemar's exact test"


def _section(heading: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    if rows:
        yield from ("", f"### {heading}", "")
        yield from table(columns, rows)


def _gate(verdict: Verdict) -> Iterator[str]:
    yield from (f"## The gate: {verdict.candidate} against {verdict.baseline}", "")
    rows = [(check.name, check.found, "holds" if check.passed else "FAILS") for check in verdict.checks]
    yield from table(("condition", "found", ""), rows)
    yield ""
    yield f"{verdict.candidate} {'passes' if verdict.passed else 'does not pass'}.{_advice(verdict)}"


def _advice(verdict: Verdict) -> str:
    return f" {_sentence(verdict.advice)}." if verdict.advice else ""


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:]


if __name__ == "__main__":
    main()
