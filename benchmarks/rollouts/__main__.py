"""Simulates rollouts through the server's own statistics and decisions.

    python -m benchmarks.rollouts --quick              # some cells; fails if one does not hold
    python -m benchmarks.rollouts --runs 1000          # all cells
    python -m benchmarks.rollouts --controlled 100     # some cells through the controller and the state store
    python -m benchmarks.rollouts --runs 0 --page benchmarks/results/rollouts.md

How it is measured
- Simulated requests go through the tests and decisions that the server uses. The tests look after every 8 requests,
  which is one second. Six guardrails share an alpha of 0.05 over all steps.
- Units differ in activity: they send requests in proportion to draws from Pareto(1.3).
- Each run has a seed of its own: (--seed, CRC-32 of the cell's name, number of the run). A share's bounds are exact
  one-sided binomial ones at 95% each.
- Controls use a wrong method on purpose. They have to exceed the promised share, or the simulation would show nothing.
- Some runs are made again through the recorder, the controller and a SQLite state store, with a clock that the
  simulation moves. Each has to end as the simulation says, at the same second. Every 20th decision and each one that
  changes something is compared with all numbers that it rests on, to 1e-9.

What it does not show
- Real traffic: times, costs, formats and errors are drawn from the distributions in `traffic.py`.
- The server: no request is sent. What a gateway records of one is made up from the traffic.
- More than its runs can tell: the bounds say how much that is.

Results are kept after each cell in --data, so that a run may be stopped and continued.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import sys
import time
from pathlib import Path
from typing import Any
from zlib import crc32

from rich.progress import Progress

from benchmarks.measuring.machine import describe
from benchmarks.measuring.method import method
from benchmarks.measuring.repository import ROOT
from benchmarks.rollouts.cells import CONTROLLED, QUICK, Cell, cells
from benchmarks.rollouts.controlled import Differs, held, place
from benchmarks.rollouts.report import THROUGH_CONTROLLER, page, verdict
from benchmarks.rollouts.runs import run

QUICK_RUNS = 250


def main() -> int:
    """Exit status 1 if a cell does not hold, a control does not fail, or the controller decides otherwise."""
    arguments = _arguments()
    known = cells()
    names = QUICK if arguments.quick else tuple(name for name in known if arguments.only in name)
    runs = QUICK_RUNS if arguments.quick else arguments.runs
    data: Path | None = None if arguments.quick else arguments.data
    results = json.loads(data.read_text()) if data is not None and data.exists() else {}
    if arguments.controlled:
        return _through_controller(arguments, results)
    with Progress(transient=True) as progress:
        for name in names:
            if runs > results.get(name, {}).get("runs", 0):
                results[name] = _answered(name, known[name], runs, arguments.seed, progress)
                if data is not None:
                    data.write_text(json.dumps(results, indent=1))
            if name in results:
                progress.console.print(_line(name, known[name], results[name]))
    if data is not None and arguments.page is not None:
        arguments.page.write_text(page(known, results, _about(arguments.seed), "\n".join(method(__doc__))))
    verdicts = {verdict(known[name], results[name]) for name in names if name in results}
    return int(not verdicts <= {"holds", "told", "fails as it should"})


def _through_controller(arguments: argparse.Namespace, results: dict[str, Any]) -> int:
    """Kept after each run: they take some seconds each."""
    known, ended = cells(), 0
    for name in CONTROLLED:
        if arguments.only not in name:
            continue
        mine = results.setdefault(
            THROUGH_CONTROLLER + name, dict.fromkeys(("runs", "happened", "halted", "compared"), 0)
        )
        with place() as where:
            for number in range(mine["runs"], arguments.controlled):
                question, seed = known[name].question, (arguments.seed, crc32(name.encode()), number)
                try:
                    found = asyncio.run(held(question, where, seed))
                except Differs as problem:
                    sys.stderr.write(f"{name}, run {number}: {problem}\n")
                    return 1
                mine["runs"] += 1
                mine["happened"] += known[name].happened(found.answer)
                mine["halted"] += bool(found.halted)
                mine["compared"] += found.compared
                arguments.data.write_text(json.dumps(results, indent=1))
        sys.stdout.write(f"{name}: {mine}\n")
        ended += 1
    return int(not ended)


def _answered(name: str, cell: Cell, runs: int, seed: int, progress: Progress) -> dict[str, Any]:
    task = progress.add_task(name, total=runs)
    begin, happened, answers = time.process_time(), 0, []
    for number in range(runs):
        answer = run(cell.question, (seed, crc32(name.encode()), number))
        if cell.happened(answer):
            happened += 1
            answers.append(answer)
        progress.advance(task)
    progress.remove_task(task)
    requests = [found for one in answers if (found := one.rolled_back or one.promoted) is not None]
    units = [one.units for one in answers if one.units is not None]
    return {
        "runs": runs,
        "happened": happened,
        "median_requests": statistics.median(requests) if requests else None,
        "median_units": statistics.median(units) if units else None,
        "cpu_seconds": round(time.process_time() - begin, 1),
        "seed": seed,
    }


def _line(name: str, cell: Cell, result: dict[str, Any]) -> str:
    share = result["happened"] / result["runs"]
    return f"{name}: {cell.counted.value} {share:.2%} of {result['runs']}, {verdict(cell, result)}"


def _about(seed: int) -> str:
    found = describe(ROOT)
    return (
        "Simulated traffic through `trivet.rollouts`, the statistics and decisions of the server. "
        f"`python -m benchmarks.rollouts --seed {seed}` writes this page.\n\n"
        f"{found['date'][:10]}, revision {found['revision']}, {found['cpu']}, {found['cores']} cores, "
        f"Python {found['python']}."
    )


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Simulates rollouts through the server's own statistics.")
    parser.add_argument("--quick", action="store_true", help=f"some cells, {QUICK_RUNS} runs each, no page")
    parser.add_argument("--runs", type=int, default=1000, help="runs of each cell; 0: the page alone")
    parser.add_argument("--controlled", type=int, default=0, help="runs through the controller instead")
    parser.add_argument("--only", default="", help="cells with this in their name")
    parser.add_argument("--seed", type=int, default=20_261_128)
    parser.add_argument("--data", type=Path, default=Path("rollouts.json"), help="where results are kept")
    parser.add_argument("--page", type=Path, help="the page to write")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
