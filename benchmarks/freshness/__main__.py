"""Does an acknowledged document stay, and is nothing else ever shown? Through a real server that is killed.

    python -m benchmarks.freshness --kills 20 --seconds 600

4 writers replace and delete documents through `UpsertDocuments` and `DeleteDocuments`; 8 readers ask for them in other
words, through `Retrieve` and, every fourth time, through `Generate`. Meanwhile the vector process and the whole server
are killed with SIGKILL in turn; after each kill the writers wait until every document was looked at once. At the end
the history is checked against the times of the acknowledgements.

    python -m benchmarks.freshness --gateways 2 --kills 21 --seconds 600

With more than one gateway they share one PostgreSQL and one vector engine, their engines are scripted, and every call
goes to any of them. In turn a gateway is killed, a gateway is killed while it builds a snapshot (another one then
builds it), and the vector engine is killed. The others go on while one is down.

Exit code 1 if the history shows anything lost, missing, stale, mixed or risen from the dead.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

from benchmarks.freshness.gateways import measure_gateways
from benchmarks.freshness.run import measure


def main() -> int:
    """Run it; 1 if the history shows what must not be."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--config", type=Path, default=Path("trivet.yaml"))
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seconds", type=float, default=600.0, help="of writing and reading, starts not counted")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--gateways", type=int, default=1)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as data:
        if given.gateways > 1:
            outcome = measure_gateways(given.config, Path(data), given.seconds, given.kills, given.seed, given.gateways)
        else:
            outcome = measure(given.config, Path(data), given.seconds, given.kills, given.seed)
    found = outcome.problems()
    generated = sum(not read.whole for read in outcome.reads)
    showing = sum(bool(read.texts) for read in outcome.reads)
    print(
        f"{len(outcome.writes)} writes, {outcome.acknowledged} acknowledged; {len(outcome.reads)} reads, "
        f"{generated} of them through Generate, {showing} that found the document; "
        f"{len(outcome.failures)} calls failed; {outcome.kills.total()} kills; {len(found)} problems"
    )
    for what, times in outcome.kills.items():
        print(f"killed {times} times: {what}")
    if outcome.built:
        print(f"built {outcome.built} times what a killed gateway had begun")
    for reason, times in outcome.reasons.most_common():
        print(f"failed {times} times: {reason}")
    print(*found[:20], sep="\n")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
