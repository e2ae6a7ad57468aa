"""Two engine nodes behind one gateway, real processes: killed, stopped and replaced while clients ask.

    python -m benchmarks.fleet

Eight clients ask three routes, one without an adapter, and compare each answer, exactly, with the one given when it was
asked alone; a twelfth of the streams is abandoned. Meanwhile an engine's process is killed, each node is drained and
replaced, a node is stopped (SIGSTOP) and a node is killed. For each: how long until the gateway noticed, how many
requests were in flight there, lost, and brought to the other node. At the end, tokens by the nodes' own counters beside
those of the gateway's receipts and warm-ups. Exit code 1 for a wrong answer, a request that was lost before its first
text or after the loss was noticed, or any that was lost while nodes were replaced; where no node was stopped or killed
(`--scenarios core roll`), also for accounts that differ by a token.

What it does not show: other machines, GPUs, several gateways.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path

from benchmarks.fleet.run import measure

SCENARIOS = ("core", "roll", "stop", "node")


def main() -> int:
    """Run it and print what happened; 1 if anything must not have."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scenarios", nargs="+", choices=SCENARIOS, default=list(SCENARIOS))
    parser.add_argument("--streams", type=int, default=8)
    parser.add_argument("--pause", type=float, default=6.0, help="seconds between two scenarios")
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        run = measure(Path(folder), given.scenarios, given.streams, given.pause, given.seed)
    print(
        json.dumps(
            {"events": [asdict(event) for event in run.events], **run.accounts, "problems": run.problems}, indent=2
        )
    )
    return 1 if run.problems else 0


if __name__ == "__main__":
    sys.exit(main())
