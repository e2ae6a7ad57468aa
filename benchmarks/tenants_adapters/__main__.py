"""Adapters on demand: right answers, cold starts and fairness, with hundreds of tenants that have an adapter each.

    python -m benchmarks.tenants_adapters                               500 tenants, some four minutes
    python -m benchmarks.tenants_adapters --tenants 60 --seconds 10     shorter

How it is measured
- Random adapters of rank 4 over a random Llama of the demo model's size; 16 fit into the engine's host memory, 4
  into a batch. First a server has all of them fixed, a route each, and is asked one request at a time: the answers of
  each adapter alone, to two questions, greedily.
- Then a server has one route with `by: tenant`. Twelve closed loops ask for `--seconds` as tenants drawn by Zipf's law
  (exponent 1.1), from nothing loaded; half-way the engine is killed (SIGKILL), and the second half begins when it
  answers again. An answer is wrong unless its text is the adapter's alone and its receipt has the adapter's name and
  the digest of the files.
- A light tenant asks one request after the other, of a warm adapter, then each time of one that was not used for long;
  first alone, then beside a heavy one whose eight loops walk through 64 adapters. How many had to wait for
  their adapter is told: for a slot of the batch, of which there are fewer than loops, or because it had given way.

What it does not show
- Sources over a network: the files are local, and in the page cache.
- Large adapters, a GPU, and a client on a machine of its own.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

from benchmarks.measuring import machine
from benchmarks.measuring.method import method
from benchmarks.measuring.repository import ROOT
from benchmarks.tenants_adapters.report import report
from benchmarks.tenants_adapters.run import measure


def main() -> int:
    """Run it and print the page; 1 if an answer was wrong."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tenants", type=int, default=500, help="with an adapter each (default: 500)")
    parser.add_argument("--seconds", type=float, default=60.0, help="of the traffic (default: 60)")
    given = parser.parse_args()
    described = machine.describe(ROOT)
    with tempfile.TemporaryDirectory() as folder:
        results = measure(Path(folder), given.tenants, given.seconds)
    sys.stdout.write("\n".join([report(results, described, given.tenants), *method(__doc__), ""]))
    return 1 if results.wrong else 0


if __name__ == "__main__":
    sys.exit(main())
