"""The whole server killed with SIGKILL at random moments of loads and replacements: is what was ordered still whole?

    python -m benchmarks.killed_gateway --orders 100 --kills 20

Two lanes load, replace and unload adapters, one switches the routes between versions of theirs; then the server is
killed with SIGKILL, at any moment, every fourth time while it starts. After each restart: every acknowledged order
counts, one that was under way counts wholly or not at all; each adapter that is wanted is ready with the digest of its
files, and its copy on disk is the only one; the routes are those of the configuration and answer, exactly, as the same
adapter version did before; no process of the killed server is left, at the latest when an engine that it was starting
has imported its libraries. Exit code 1 if anything is otherwise.

What it does not show: power cuts (the page cache outlives a killed process), distant sources, a GPU.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

from benchmarks.chaos.world import dump
from benchmarks.killed_gateway.run import measure


def main() -> int:
    """Run it and print what happened; 1 if anything must not have."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--orders", type=int, default=100)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        outcome = measure(Path(folder), given.orders, given.kills, given.seed)
    print(dump({
        "loads and unloads": dict(outcome.desired.orders), "switches of routes": outcome.switches,
        "loads and unloads under way at a kill": outcome.desired.undecided, "kills": outcome.kills,
        "of them before the server was ready": outcome.kills_in_start,
        "seconds that children outlived it, at most": round(outcome.outlived, 1), "problems": outcome.problems[:20],
    }))  # fmt: skip
    return 1 if outcome.problems else 0


if __name__ == "__main__":
    sys.exit(main())
