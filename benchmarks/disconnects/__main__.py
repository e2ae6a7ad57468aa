"""Clients over HTTP that close their connection: how soon their requests end.

    python -m benchmarks.disconnects               a hundred, some two minutes
    python -m benchmarks.disconnects --times 10    a look

How it is measured
- `trivet serve` with a real vLLM engine in a process of its own, and a random Llama of the demo model's size whose
  answers would take seconds. Beside eight closed loops, a client over a plain socket asks `/v1/chat/completions`, reads
  3 to 40 events of the stream, and closes.
- By the receipt: from the `close` until the request's end (`total_ms`), which begins when the server takes it up, a
  little after it was sent: by that little the figure is too small.
- By the engine: the HTTP door and the pipeline run in the measuring process, on a real engine in a process of its own.
  Alone, the time is until the engine's process says that it has no work left. Beside eight streams, which go to the
  engine past the door, it is until the engine's process has answered a call that was sent after the abort: both go
  through one queue, in order, and it reads that queue between two steps. What the call itself takes is in the time.

What it does not show
- A network, where a close takes its way, and proxies, which may keep their own connection open.
- A GPU, or a large model: the engine ends the request after the step that it is in, however long that takes.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.disconnects.engine import measure as of_engine
from benchmarks.disconnects.run import BESIDE, Results, measure
from benchmarks.measuring import machine
from benchmarks.measuring.machine import command, machine_lines
from benchmarks.measuring.method import method
from benchmarks.measuring.percentiles import percentile
from benchmarks.measuring.repository import ROOT
from benchmarks.measuring.tables import table
from benchmarks.measuring.workload import Workload
from benchmarks.path.plan import progress_from_now

GOAL = 100.0  # ms


def main() -> int:
    """Run it and print the page; 1 if a request went on for longer than the goal."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--times", type=int, default=100, help="clients of each kind (default: 100)")
    given = parser.parse_args()
    described, progress = machine.describe(ROOT), progress_from_now()
    with tempfile.TemporaryDirectory() as folder:
        results = measure(Workload(Path(folder)), given.times, progress)
        for others in (0, BESIDE):
            results.engine[others] = of_engine(Workload(Path(folder)), given.times, others)
    print("\n".join([report(described, results), *method(__doc__), ""]))
    return 1 if max(*results.beside, *(value for found in results.engine.values() for value in found)) > GOAL else 0


def report(described: Mapping[str, Any], results: Results) -> str:
    """Markdown."""
    rows = [(f"beside {BESIDE} streams", "its receipt is written", *_figures(results.beside))]
    for others, values in results.engine.items():
        until = "the engine has processed the abort" if others else "the engine has no work left"
        rows.append((f"beside {others} streams" if others else "alone", until, *_figures(values)))
    codes = ", ".join(f"{count} {code}" for code, count in sorted(results.codes.items()))
    return "\n".join(
        [
            "# Clients that leave",
            "",
            f"`{command('disconnects')}`. Milliseconds from the client's close, in the middle of a stream.",
            "",
            *table(("a client that leaves", "until", "number", "p50", "p99", "most"), rows),
            "",
            f"- goal: within {GOAL:g} ms",
            f"- receipts: {codes}",
            "",
            "## Machine",
            "",
            *machine_lines(described),
        ]
    )


def _figures(values: Sequence[float]) -> tuple[str, ...]:
    if not values:
        return "0", "", "", ""
    return str(len(values)), *(f"{percentile(values, share):.1f}" for share in (0.5, 0.99, 1.0))


if __name__ == "__main__":
    sys.exit(main())
