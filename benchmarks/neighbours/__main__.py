"""What one tenant feels, one request at a time, while another tenant takes all that it can of the same thing.

    python -m benchmarks.neighbours                                  all rows, some six minutes
    python -m benchmarks.neighbours --rows searches --seconds 5

How it is measured
- One server with the handbook's index and a key for each tenant. For each row tenant B sends one request after the
  other: alone, then beside as many processes as there are cores that only compute, then beside tenant A's closed loops
  (`--loops` of them, in another process).
- The computing processes show what B loses where the cores are taken and nobody asks the server for anything.
- Tenant A's client runs with the scheduler's idle policy: it gets what the server and B leave of the processor, as near
  as one machine comes to a client elsewhere. `--client normal` gives it the same priority as the server.
- Times are B's, from the request to the end of its answer. Only answered requests count; refusals are counted apart.

What it does not show
- A large model or a network.
- Clients on machines of their own: both tenants' clients run on the server's cores.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

from benchmarks.measuring import machine
from benchmarks.measuring.method import method
from benchmarks.measuring.repository import ROOT
from benchmarks.neighbours.report import report
from benchmarks.neighbours.run import ROWS, measure


def main() -> int:
    """Run it and print the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", nargs="+", choices=ROWS, default=list(ROWS))
    parser.add_argument("--loops", type=int, default=32, help="of tenant A (default: 32)")
    parser.add_argument("--seconds", type=float, default=15.0, help="of each of B's three runs (default: 15)")
    parser.add_argument(
        "--client", choices=("idle", "normal"), default="idle", help="tenant A's priority (default: idle)"
    )
    given = parser.parse_args()
    described = machine.describe(ROOT)
    with tempfile.TemporaryDirectory() as folder:
        results = measure(Path(folder), given.rows, given.loops, given.seconds, given.client == "idle")
    page = [report(results, given.loops, described), *method(__doc__)[1:], ""]
    sys.stdout.write("\n".join(page))
    return 0


if __name__ == "__main__":
    sys.exit(main())
