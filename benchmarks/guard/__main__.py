"""Has the front end become dearer? Its processor time beside bare AsyncLLM's, held against a committed figure.

    python -m benchmarks.guard            three rounds, some three minutes; exit code 1 if it has grown by 15%
    python -m benchmarks.guard --write    the same, and what it finds is what is expected from now on

How it is measured
- `trivet serve` over gRPC and vLLM's AsyncLLM in a process of its own, with the same engine settings, take turns on the
  same prompts in windows of some seconds, at 1, 8 and 32 streams (see `benchmarks.path`). The figure is the ratio of
  their processor time for 1,000 tokens, without the engines' processes: the median of the rounds.
- Expected figures are in `benchmarks/guard/expected.json`, with the machine that they were found on. Without the file
  the ratios are printed, and nothing is judged.

What it does not show
- A ratio holds on other machines as far as their processors are alike in what they are good at; on one of another kind
  write the figures anew, from a revision that is known to be good.
- Growth below 15%, which is what a busy machine does to the ratio.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.measuring import machine
from benchmarks.measuring.repository import ROOT
from benchmarks.measuring.servers import TrivetServer, engine_environment, process_groups
from benchmarks.measuring.workload import PLAIN_ROUTE, Workload
from benchmarks.path.load.worker import Worker
from benchmarks.path.plan import progress_from_now

EXPECTED = Path(__file__).with_name("expected.json")
GROWTH = 1.15
STREAMS = (1, 8, 32)
STRIDE = 400  # prompts between the beginnings of two windows


def main() -> int:
    """Measure, compare, say what has grown."""
    given = _arguments()
    progress = progress_from_now()

    workload = Workload(given.folder.resolve())
    workload.make()
    found = {
        streams: median(ratios) for streams, ratios in _measure(workload, given.rounds, given.seconds, progress).items()
    }
    if given.write:
        described = {**machine.describe(ROOT), "ratios": {str(n): round(ratio, 3) for n, ratio in found.items()}}
        EXPECTED.write_text(json.dumps(described, indent=1, default=str) + "\n")
        return 0
    if not EXPECTED.exists():
        for streams, ratio in found.items():
            print(f"{streams:2} streams: {ratio:.2f} of bare AsyncLLM's processor time")
        print(f"nothing to hold it against: --write makes {EXPECTED.name}, on a quiet machine")
        return 0
    expected = {int(n): ratio for n, ratio in json.loads(EXPECTED.read_text())["ratios"].items()}
    grown = False
    for line, has_grown in judged(found, expected):
        print(line)
        grown = grown or has_grown
    return int(grown)


def judged(found: Mapping[int, float], expected: Mapping[int, float]) -> list[tuple[str, bool]]:
    """A line for each number of streams, and whether its ratio has grown by more than is let pass."""
    told = []
    for streams, ratio in found.items():
        grown = ratio > GROWTH * expected[streams]
        word = "GROWN" if grown else "ok"
        line = f"{streams:2} streams: {ratio:.2f} of bare AsyncLLM's processor time, expected {expected[streams]:.2f}"
        told.append((f"{line} ({ratio / expected[streams] - 1:+.0%}): {word}", grown))
    return told


def _measure(workload: Workload, rounds: int, seconds: float, progress: Any) -> dict[int, list[float]]:
    folder = workload.folder
    found: dict[int, list[float]] = {streams: [] for streams in STREAMS}
    with ExitStack() as stack:
        server = stack.enter_context(TrivetServer(workload))
        load = stack.enter_context(Worker("benchmarks.path.load", [str(folder)], folder / "load.log"))
        progress("trivet is ready")
        bare = stack.enter_context(
            Worker("benchmarks.path.bare_engine", [str(folder)], folder / "bare.log", engine_environment(folder))
        )
        engine = bare.ask(do="describe")["engine"]
        progress("bare AsyncLLM is ready")
        for turn in range(rounds):
            for number, streams in enumerate(STREAMS):
                command = {"do": "measure", "streams": streams, "seconds": seconds}
                command["offset"] = STRIDE * (turn * len(STREAMS) + number)

                def trivet(command: dict[str, Any] = command) -> float:
                    target = {"trivet": server.target.address, "route": PLAIN_ROUTE}
                    return _cpu(load.ask(**command, target=target, processes=process_groups(server.pid)))

                def alone(command: dict[str, Any] = command) -> float:
                    return _cpu(bare.ask(**command, processes={"front": [bare.pid], "engine": engine}))

                if turn % 2:
                    ours, theirs = trivet(), alone()
                else:
                    theirs, ours = alone(), trivet()
                found[streams].append(ours / theirs)
                told = f"{ours:.3f} and {theirs:.3f} s for 1,000 tokens"
                progress(f"round {turn + 1}/{rounds}, {streams:2} streams: {ours / theirs:.2f} ({told})")
    return found


def _cpu(cell: Mapping[str, Any]) -> float:
    return float(1000 * cell["cpu_seconds"]["front"] / cell["tokens"])


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3, help="how often each is measured (default: 3)")
    parser.add_argument("--seconds", type=float, default=4.0, help="length of a window (default: 4)")
    parser.add_argument("--write", action="store_true", help="make what is found what is expected")
    parser.add_argument("--folder", type=Path, default=ROOT / ".data" / "benchmark", help="model, caches and logs")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
