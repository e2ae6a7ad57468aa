"""What real requests feel of the copies of a rollout's shadow: p50 and p99 with copies over those without, in one run.

    python -m benchmarks.shadow                             all loads, some fifteen minutes
    python -m benchmarks.shadow --loops 4 --rounds 5        one load, shorter

How it is measured
- One server, one engine, one model. Routes that differ in their rollout's shadow alone: `off` and `again` have
  none: what differs between the two is chance, and the machine's other work. `default` has one copy at once up to a
  tenth of the load, which is three requests here; `quarter` four up to a quarter, eight requests; `unbounded` has no
  bounds to speak of (32 copies, `load: 1`). Every unit is drawn: each answer offers a copy.
- So many closed loops (`--loops`) stream 16 tokens each from one route for `--seconds`, then from the next; `--rounds`
  rounds, each in another order, with a pause in which the last copies end. The routes share whatever else the machine
  does meanwhile.
- TTFT is from the request to its first text, total to the end of its stream, at the client. A ratio is to `off` at as
  many loops. Copies: those that ended in each way, for each 100 real answers.

What it does not show
- A GPU, where a batch that is larger by one costs less than on a CPU core.
- A large model, long prompts, adapters, searches.
- A client on a machine of its own: it runs on the server's cores.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

from benchmarks.measuring import machine
from benchmarks.measuring.method import method
from benchmarks.measuring.repository import ROOT
from benchmarks.shadow.report import report
from benchmarks.shadow.run import measure


def main() -> int:
    """Run it and print the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--loops", type=int, nargs="+", default=[1, 4, 16], help="at once (default: 1 4 16)")
    parser.add_argument("--seconds", type=float, default=3.0, help="of each route in a round (default: 3)")
    parser.add_argument("--rounds", type=int, default=10, help="of each load (default: 10)")
    given = parser.parse_args()
    described = machine.describe(ROOT)
    with tempfile.TemporaryDirectory() as folder:
        results = measure(Path(folder), given.loops, given.seconds, given.rounds)
    sys.stdout.write("\n".join([report(results, described), *method(__doc__)[1:], ""]))
    return 0


if __name__ == "__main__":
    sys.exit(main())
