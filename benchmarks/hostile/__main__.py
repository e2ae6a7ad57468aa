"""A hostile client beside eight well-behaved streams: how it is answered, what it costs, what the streams feel.

    python -m benchmarks.hostile                      10,000 requests at 50 a second, some ten minutes
    python -m benchmarks.hostile --requests 500       a look

How it is measured
- One server with the embedded engine, the handbook's index and three keys: the streams' tenant, the hostile client's,
  an operator's. The model is a random Llama of the demo model's size, whose answers all have 64 tokens.
- First the eight streams alone; then beside harmless requests at the hostile client's rate; then beside the hostile
  ones, all kinds in a random order. Inter-token time is what a client sees: the time between two messages of a
  stream, each of what came in 20 ms. The streams are read in this process, the hostile client is another one.
- Then each kind alone, one request after the other: CPU time of the gateway's process, less what parsing the message
  took in this process (the best of five). Its other threads and idle work are in it.
- Resident memory is the gateway's, the vector engine's and the engine's own processes are not in it.

What it does not show
- A large model, a network, or several hostile clients.
- The server alone: the hostile client runs on the same cores. The row of harmless requests shows part of its cost.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

from benchmarks.hostile.kinds import kinds
from benchmarks.hostile.report import report
from benchmarks.hostile.run import PER_KIND, measure
from benchmarks.measuring import machine
from benchmarks.measuring.method import method
from benchmarks.measuring.repository import ROOT


def main() -> int:
    """Run it and print the page; 1 if anything was answered otherwise than it may be, or a stream failed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--requests", type=int, default=10_000)
    parser.add_argument("--rate", type=float, default=50.0, help="hostile requests a second (default: 50)")
    parser.add_argument("--seconds", type=float, default=30.0, help="of the streams alone (default: 30)")
    parser.add_argument("--per-kind", type=int, default=PER_KIND, help="requests of each kind alone (default: 20)")
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    described = machine.describe(ROOT)
    with tempfile.TemporaryDirectory() as folder:
        results = measure(Path(folder), given.requests, given.rate, given.seconds, given.per_kind, given.seed)
    page = [report(described, given.rate, results, kinds()), *method(__doc__)[1:], ""]
    sys.stdout.write("\n".join(page))
    return 1 if results.problems else 0


if __name__ == "__main__":
    sys.exit(main())
