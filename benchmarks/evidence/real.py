"""What each leg is worth to a real instruction-tuned model: benchmarks/results/evidence_real.md.

It makes the model of models/real, asks the suite without an adapter while the adapter is trained in the background,
then the suite of all arms. Killed and run again it goes on: with the training at its last checkpoint, with the
questions where they were. The questions are in mixed order, so that the first of them stand for all.

  python -m benchmarks.evidence.real --limit 10 --to /tmp   a try
  python -m benchmarks.evidence.real --answered             asks nothing: the page of what has been answered so far
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import takewhile
from statistics import median
from typing import Any

import yaml

from benchmarks.evidence.page import Claim, about, ask, options_of, results, section
from benchmarks.measuring.machine import command, describe
from benchmarks.measuring.repository import ROOT
from trivet.cli.evaluation.run import Evaluation, EvaluationOptions
from trivet.config import Config, Overrides, load_config
from trivet.evaluation import wording
from trivet.evaluation.data import Example
from trivet.evaluation.report import CORRECT, build_report
from trivet.evaluation.runner import Pace
from trivet.evaluation.suite import Suite

MODEL, ADAPTER = "smollm2", "real-json-answer"
REAL = ROOT / "models" / "real"
RUNS = REAL / "runs"
RECIPE = REAL / "recipes" / "json-answer.yaml"
LEARNED = RUNS / "adapters" / ADAPTER / "1" / "adapter.yaml"
CHATS, HELD_OUT = 600, 20
NICE = "15"  # of the training: it takes what the questions leave
# The first has no adapter in it, so it is asked while one is trained.
CLAIMS = (
    Claim("handbook-desk", "shots+rag", ("prompt", "prompt+rag")),
    Claim("handbook-hard", "hybrid", (
        "base", "prompt", "rag", "adapter", "prompt+rag", "prompt+rag+schema", "shots+rag", "rag+adapter",
    )),
)  # fmt: skip
KINDS = {"fact": "one fact", "two": "two passages", "compare": "comparisons", "none": "no answer"}


@dataclass(frozen=True, slots=True)
class Asked:
    """A suite, and how many of its questions every arm has answered or is to answer."""

    claim: Claim
    suite: Suite
    limit: int


def main() -> None:
    """Make, train, ask, and write the page."""
    parser = options_of(__doc__, concurrency=8, kept="models/real/runs/served")
    parser.add_argument("--answered", action="store_true", help="ask nothing: the page of what has been answered")
    given = parser.parse_args()
    machine = describe(ROOT)
    if not given.answered:
        _run("models/real/make.py", MODEL)
    config = load_config(REAL / "trivet.yaml", Overrides(data_dir=given.data_dir))
    pace = Pace(given.concurrency)
    suites = [(claim, claim.load()) for claim in CLAIMS]
    if given.answered:
        asked = [Asked(claim, suite, answered(config, suite)) for claim, suite in suites]
        if not any(one.limit for one in asked):
            parser.error("no question has been answered by all arms of its suite")
    else:
        asked = [Asked(claim, suite, min(given.limit or 1 << 30, len(suite.main.examples))) for claim, suite in suites]
        with training():
            for one in asked[:-1]:
                Evaluation(config, one.suite, EvaluationOptions(limit=one.limit, pace=pace)).run()
    given.to.mkdir(parents=True, exist_ok=True)
    path = given.to / "evidence_real.md"
    path.write_text("\n".join(page(config, asked, machine, pace)) + "\n", encoding="utf-8")
    print(path)


def _run(script: str, *arguments: str) -> None:
    subprocess.run([sys.executable, str(ROOT / script), *arguments], check=True, stdout=sys.stderr, cwd=ROOT)


@contextmanager
def training() -> Iterator[None]:
    """The adapter is trained meanwhile, with one thread, and is there afterwards. What it says goes into a file."""
    if LEARNED.is_file():
        yield
        return
    if not (RUNS / "data" / "json-answer.jsonl").is_file():
        counts = ("--count", str(CHATS), "--held-out", str(HELD_OUT))
        _run("models/demo/chats.py", "json-answer", *counts, "--to", str(RUNS / "data"))
    said = RUNS / "training.log"
    print(f"training {ADAPTER} in the background: tail -f {said}", file=sys.stderr, flush=True)
    train = ["nice", "-n", NICE, sys.executable, "-m", "trivet.cli", "adapter", "train", str(RECIPE)]
    with said.open("w") as file, subprocess.Popen(train, stdout=file, stderr=file, cwd=ROOT) as process:
        try:
            yield
            print("waiting for the training", file=sys.stderr, flush=True)
            process.wait()
        finally:
            process.terminate()  # it goes on at its last checkpoint when this is run again
    if process.returncode:
        raise SystemExit(f"the training failed with {process.returncode}: see {said}")


def answered(config: Config, suite: Suite) -> int:
    """How many of the first questions every arm has answered."""
    evaluation = Evaluation(config, suite, EvaluationOptions())
    keys = {outcome.key for outcome in evaluation.outcomes}

    def whole(example: Example) -> bool:
        return all((evaluation.digest, arm.name, example.id) in keys for arm in suite.main.arms)

    return sum(1 for _ in takewhile(whole, suite.main.examples))


def page(config: Config, asked: Sequence[Asked], machine: dict[str, Any], pace: Pace) -> Iterator[str]:
    """The page; asks what has not been answered."""
    about_model = yaml.safe_load((REAL / "models.yaml").read_text())[MODEL]
    yield from ("# Evidence on a real model", "")
    yield f"What prompt, index and adapter are worth to {about_model['about']}."
    yield from ("", f"- `make evidence-real`, or `{command('evidence.real')}`")
    begun = [one for one in reversed(asked) if one.limit]
    judged = [ask(one.claim, config, one.suite, EvaluationOptions(limit=one.limit, pace=pace)) for one in begun]
    yield from about(config, machine, judged[0].report.level)
    package = f"{about_model['package']} {about_model['version']}"
    yield f"- weights from the package {package}, four bits once: figures are of these weights alone"
    yield f"- up to {pace.concurrency} requests at a time, on a machine that others used too: times are for comparison"
    yield "- what it does not show: larger models, and what an adapter costs in general reading"
    yield from ("", "## The adapter", "", *_adapter())
    for one, found in zip(begun, judged, strict=True):
        total = len(one.suite.main.examples)
        yield from ("", f"## {found.report.suite}", "", found.report.description, "")
        yield f"Suite {found.report.digest}; {extent(one.limit, total)}."
        yield from ("", f"**{found.standing}**", *by_kind(config, one), "", *results(found, 3))
    for one in asked:
        if not one.limit:
            yield from ("", f"## {one.claim.suite}", "", "**Not asked yet.**")


def extent(limit: int, total: int) -> str:
    """How much of a suite the page is about."""
    if limit == total:
        return f"all {total} questions"
    return f"the first {limit} of {total} questions, in mixed order. **The other {total - limit} have not been asked**"


def _adapter() -> Iterator[str]:
    told = yaml.safe_load(LEARNED.read_text())
    recipe, cost, held_out = told["recipe"], told["cost"], told["metrics"]["held_out"]
    yield f"`{told['name']}@{told['version']}`, LoRA of rank {recipe['rank']}, learned strict JSON and refusals from"
    yield f"chats about invented things: {recipe['steps']} steps, {told['data']['tokens_seen']:,} tokens,"
    yield f"{cost['hours']:.2f} hours of one thread on this machine ({cost['usd']:.4f} USD at a made-up price)."
    yield f"Of {held_out['n']} chats that it did not learn from it has {_share(held_out)} right, the model alone"
    yield f"{_share(held_out['base'])}."


def _share(told: dict[str, Any]) -> str:
    return f"{100 * told['share']:.1f}% [{100 * told['low']:.0f}, {100 * told['high']:.0f}]"


def by_kind(config: Config, one: Asked) -> Iterator[str]:
    """Right answers by kind of question, which the ids begin with, and how long an answer took."""
    evaluation = Evaluation(config, one.suite, EvaluationOptions(limit=one.limit))
    outcomes = {outcome.key: outcome for outcome in evaluation.outcomes}
    rows = {arm.name: [arm.name] for arm in evaluation.suite.main.arms}
    headings = ["arm"]
    for kind, name in KINDS.items():
        examples = tuple(one for one in evaluation.suite.main.examples if one.id.startswith(f"{kind}-"))
        if not examples:
            continue
        headings.append(f"{name}, n = {len(examples)}")
        part = replace(evaluation.suite.main, examples=examples)
        report = build_report(replace(evaluation.suite, main=part), evaluation.digest, outcomes, {})
        for arm in report.parts[0].arms:
            rows[arm.name].append(wording.share(arm.estimates[CORRECT]))
    for name in rows:
        times = [outcomes[evaluation.digest, name, one.id].total_ms for one in evaluation.suite.main.examples]
        known = [time for time in times if time is not None]
        rows[name].append(f"{median(known) / 1000:.1f}" if known else "–")
    title = "Right by kind of question, in percent, [95% interval]"
    yield from section(title, [*headings, "seconds, median"], list(rows.values()), 3)


if __name__ == "__main__":
    main()
