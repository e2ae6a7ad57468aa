"""What each leg is worth: the suites of `trivet eval`, all arms, written as tables into benchmarks/results/.

Answers are kept in the data folder: killed and run again it goes on, and a change of weights, prompts, questions or
anything else that decides answers begins anew.

  python -m benchmarks.evidence                 all suites, one request at a time
  python -m benchmarks.evidence tickets --limit 20 --to /tmp   a try
"""

from __future__ import annotations

import argparse
from typing import Any

from benchmarks.evidence.page import Claim, about, ask, options_of, results
from benchmarks.measuring.machine import command, describe
from benchmarks.measuring.repository import ROOT
from trivet.cli.evaluation.run import EvaluationOptions
from trivet.config import Config, Overrides, load_config
from trivet.evaluation.runner import Pace

CLAIMS = (
    # Twins that decode with the schema are rivals too, but for the hybrid's own; `stuffed` is asked where it fits.
    Claim("handbook", "hybrid", (
        "base", "base+schema", "prompt", "prompt+schema", "rag", "rag+schema", "adapter", "adapter+schema", "terse+rag",
        "prompt+rag", "prompt+rag+schema", "rag+adapter", "rag+adapter+schema", "stuffed", "stuffed+schema",
    )),
    Claim("json", "prompt+adapter", (
        "terse", "prompt", "prompt+schema", "adapter", "adapter+schema", "activated", "activated+schema",
    )),
    Claim("tickets", "prompt+adapter-2", (
        "base", "prompt", "adapter", "prompt+adapter", "adapter-2", "activated", "activated-2",
    )),
)  # fmt: skip


def main() -> None:
    """Ask, and write the pages."""
    parser = options_of(__doc__, concurrency=1, kept="the configuration's")
    suites = [claim.suite for claim in CLAIMS]
    parser.add_argument("suites", nargs="*", metavar="SUITE", help=f"of {', '.join(suites)}; default: all")
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
    options = EvaluationOptions(limit=given.limit, fresh=given.fresh, pace=Pace(given.concurrency))
    judged = ask(claim, config, claim.load(), options)
    report = judged.report
    lines = [f"# Evaluation: {report.suite}", "", report.description, ""]
    lines += [f"- `make evidence`, or `{command('evidence')}`; by hand `trivet eval {report.suite}`"]
    lines += [f"- suite {report.digest}", *about(config, machine, report.level)]
    lines += [
        "- what it does not show: larger or instruction-tuned models, for which the arms may rank differently, and "
        "times under other loads"
    ]
    lines += ["", f"**{judged.standing}**", "", *results(judged)]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
