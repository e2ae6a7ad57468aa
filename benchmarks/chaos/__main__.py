"""Adapters replaced, loaded, unloaded and spoilt at random, streams abandoned and slowed, the engine killed.

    python -m benchmarks.chaos --seconds 600 --kills 2

16 streams ask twelve routes, each with an adapter of its own, and one without, in four adapter slots. Every answer is
compared, exactly, with the one that the same adapter version gave alone, before. Meanwhile routes are switched between
versions of their adapters, further versions loaded and unloaded, and bad adapters submitted, and the engine's process
is killed with SIGKILL. Exit code 1 for a wrong answer, a failure that no kill explains, a bad adapter that was taken,
an adapter that did not come back, or something left over at the end.

What it does not show: speed (see `benchmarks.adapters`), a GPU's numerics (exact equality holds on a CPU in float32),
several gateways.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

from benchmarks.chaos.run import measure
from benchmarks.chaos.world import dump


def main() -> int:
    """Run it and print what happened; 1 if anything must not have."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=600.0)
    parser.add_argument("--kills", type=int, default=2)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        history, sizes = measure(Path(folder), given.seconds, given.kills, given.seed)
    print(dump({
        "answers compared": history.answers, "abandoned": history.abandoned, "slowed": history.slowed,
        "swaps": dict(history.swaps), "kills": len(history.kills),
        "seconds away": [round(back - killed, 1) for killed, back in history.kills],
        "failures explained by kills": history.explained, "problems": history.problems[:20], **sizes,
    }))  # fmt: skip
    return 1 if history.problems or not history.answers else 0


if __name__ == "__main__":
    sys.exit(main())
