"""A start of the demo's server and a restart of its engine: this revision beside another one, in one run.

    python -m benchmarks.start --before REVISION

How it is measured
- `trivet serve` with the demo's configuration, as a process of its own, on a data folder that has been started on once:
  the embedding model's export and the index are there. Ready is when it says so in `server.json`.
- Starts of both revisions take turns. The medians are shown.
- Processor seconds are each process's own, from its start (Linux counts those of a forked process from its fork).
- Restart: the engine's process is killed with SIGKILL as soon as the server is ready; the time until the log says that
  it is back, prefixes primed, the wait before it (0.25 to 0.5 s) included.
- Memory is read when the server is ready: resident (RSS) counts shared pages in each process; PSS shares them out.

What it does not show
- A GPU, a large model, a start with a cold page cache.
- Seconds on another machine: where others compute beside, processor seconds grow less than seconds, and still grow.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Sequence
from pathlib import Path

from benchmarks.measuring.machine import describe
from benchmarks.measuring.repository import ROOT
from benchmarks.start.report import page
from benchmarks.start.run import Start, measure, sources


def main() -> None:
    """Measure and write the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--before", required=True, metavar="REVISION")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--output", type=Path, default=ROOT / "benchmarks/results/start.md")
    given = parser.parse_args()
    machine = describe(ROOT)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        code = {"before": sources(given.before, folder / "before"), "after": ROOT / "server"}
        measure(code["after"], folder / "data", folder / "first.log")
        starts: dict[str, list[Start]] = {which: [] for which in code}
        for number in range(given.rounds):
            for which, path in code.items():
                starts[which].append(measure(path, folder / "data", folder / f"{which}-{number}.log"))
                print(which, _told(starts[which]), flush=True)
    given.output.write_text(page(machine, given.before, starts, __doc__))


def _told(starts: Sequence[Start]) -> str:
    last = starts[-1]
    return f"ready {last.ready:.1f} s, restart {last.restart:.1f} s, processor {sum(last.cpu.values()):.1f} s"


if __name__ == "__main__":
    main()
