"""One tenant takes all that it can of one thing; what another tenant, who asks for the same one at a time, feels of it.

    python -m benchmarks.neighbours                                  all rows, some five minutes
    python -m benchmarks.neighbours --rows searches --seconds 5

How it is measured: one server with the handbook's index and a key for each tenant. For each row tenant B asks one
request after the other, first alone, then beside tenant A's closed loops (`--loops` of them, in another process).
Times are B's, from the request to the end of its answer; only answered ones count, and every refusal is told.

What it does not show: a large model, a network. Both tenants' clients run on the same cores as the server.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

from benchmarks.measuring import machine
from benchmarks.measuring.repository import ROOT
from benchmarks.neighbours.report import report
from benchmarks.neighbours.run import ROWS, measure


def main() -> int:
    """Run it and print the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", nargs="+", choices=ROWS, default=list(ROWS))
    parser.add_argument("--loops", type=int, default=32, help="of tenant A (default: 32)")
    parser.add_argument("--seconds", type=float, default=15.0, help="of each of B's two runs (default: 15)")
    given = parser.parse_args()
    described = machine.describe(ROOT)
    with tempfile.TemporaryDirectory() as folder:
        results = measure(Path(folder), given.rows, given.loops, given.seconds)
    sys.stdout.write(report(results, given.loops, described))
    return 0


if __name__ == "__main__":
    sys.exit(main())
