"""Two gateways and some engine nodes on hosts of their own, over one PostgreSQL: killed, stopped, cut off, replaced.

    python -m benchmarks.partitions --nodes 2 --scenarios both to fro stop
    python -m benchmarks.partitions --nodes 4 --scenarios core roll

Needs root: each gateway and each node is in a network namespace of its own, joined by a bridge. Exit code 1 for a wrong
answer, a request that was lost before its first text or after the loss was noticed, any that was lost while nodes and
gateways were replaced; where nothing was killed but an engine, also for accounts that differ by a token.

How it is measured
- Real processes: `trivet engine` with the demo's model in float32, `trivet serve`, PostgreSQL. The clients keep to what
  docs/operations.md advises: round robin over both gateways with gRPC's health checks, its pings and its retries.
- Clients ask three routes, one without an adapter, and compare each answer, exactly, with the one given when it was
  asked alone, by the adapter that its receipt names; a twelfth of the streams is abandoned.
- `core`, `node`, `stop`: SIGKILL for an engine's process, SIGKILL and SIGSTOP for a node. `both`, `to`, `fro`: packets
  of a node are dropped both ways, to it, from it, by a queue on its cable that drops everything. `gateway`, `halt`:
  SIGKILL for a gateway, and SIGSTOP for 30 s.
- `roll`: each node is drained, ended and started again, then each gateway; meanwhile a route's adapter is exchanged for
  its other version by a reload every 4 s.
- Noticed: until both gateways no longer count the node as ready (asked every 30 ms); of a gateway that was stopped,
  until all requests that were in flight anywhere just before have ended. In flight: requests at that node,
  or gateway, just before. Retried: brought to another node before their first token.
- Tokens of receipts are read from the request logs on the disk; those of nodes from their counters.

What it does not show
- Several machines, GPUs, a real switch. Gateways that are cut off from their clients or from PostgreSQL.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path

from benchmarks.measuring.machine import command, describe, machine_lines
from benchmarks.measuring.repository import ROOT
from benchmarks.partitions.hosts import leave_the_machines_network
from benchmarks.partitions.run import measure
from tests.support.stores.postgres_server import postgres_server

SCENARIOS = ("core", "node", "stop", "both", "to", "fro", "gateway", "halt", "roll")


def main() -> int:
    """Run it and print what happened; 1 if anything must not have."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scenarios", nargs="+", choices=SCENARIOS, default=list(SCENARIOS))
    parser.add_argument("--nodes", type=int, default=2)
    parser.add_argument("--streams", type=int, default=16)
    parser.add_argument("--pause", type=float, default=6.0, help="seconds between two scenarios")
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    leave_the_machines_network()
    machine = machine_lines(describe(ROOT))
    with tempfile.TemporaryDirectory() as folder, postgres_server() as server:
        run = measure(
            Path(folder), server.new_database(), given.scenarios, given.nodes, given.streams, given.pause, given.seed
        )
    found = {
        "events": [asdict(event) for event in run.events],
        "seconds of nodes from start to serving, and to being asked": run.starts,
        "exchanged adapters": run.swaps,
        "transactions of PostgreSQL for a gateway and second": round(run.transactions, 2),
        **run.accounts,
        "problems": run.problems,
    }
    print(json.dumps(found, indent=2))
    print(*machine, f"- `{command('partitions')}`", sep="\n")
    return 1 if run.problems else 0


if __name__ == "__main__":
    sys.exit(main())
