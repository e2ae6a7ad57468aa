"""Trivet beside what a user would pick instead: vLLM's two front ends, LiteLLM, SMG, a service of glue.

    python -m benchmarks.peers            three rounds, some twelve minutes (`make bench-peers`)
    python -m benchmarks.peers --quick --systems grpc vllm --streams 8
    python -m benchmarks.peers --rust PATH/vllm-rs   with vLLM's Rust front end

How it is measured
- All systems have the same model and the same settings of the engine, and are up at once. Trivet, vLLM's Python server
  and its Rust front end have an engine each; LiteLLM, SMG and the service of glue stand before vLLM's Python server.
- AsyncLLM alone is a process with vLLM's engine that reads its answers itself; there is no load generator beside it.
- They are measured in turn, round after round, in an order that changes by round; ratios are taken within a round. The
  first prompt must get the same text from all that do not search.
- Closed loops over one kept connection per stream (gRPC: one channel). The streams start within a second, and the
  window begins half a second later. A request across the window's end counts with the tokens it had inside.
- LiteLLM, SMG and the service of glue have environments of their own (`benchmarks/path/http/litellm.txt`,
  `benchmarks/peers/*.txt`), never the server's. The binary of vLLM's Rust front end is in vLLM's wheel for GPUs.
- With retrieval: fresh questions over the handbook's index, one passage. The service of glue has LlamaIndex's fusion of
  vectors and BM25, Qdrant's client in memory and the same embedding model.

What it does not show
- The systems do not do the same. Trivet has receipts, metrics, admission, routing and tenants; LiteLLM has keys,
  budgets and routing of its own; vLLM's servers and SMG have none of these, and the service of glue has nothing else
  either. Trivet has the static turns itself, the others are sent them. Trivet gathers tokens into messages; the
  others send an event for each token.
- Clients, servers and engines share this machine's cores, so that tokens per second at many streams are decided by what
  all of them take together. The load generator's gRPC client costs more than its HTTP client.
- Several workers of LiteLLM or of the service of glue, and SMG's work of spreading requests over many servers.
- A large model: there the engine takes nearly all the time, and all come out alike.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from benchmarks.measuring import machine
from benchmarks.measuring.method import method
from benchmarks.measuring.repository import ROOT
from benchmarks.path.plan import window_arguments, windows
from benchmarks.peers.report import report
from benchmarks.peers.running import SYSTEMS, PeersPlan, measure_peers


def main() -> int:
    """Measure and print the page."""
    given = _arguments()
    described = machine.describe(ROOT)
    plan = PeersPlan(**windows(given), systems=given.systems, rust=given.rust)
    found, settings = measure_peers(plan), plan.settings()
    print("\n".join([report(described, settings, found), *method(__doc__)]))
    if given.json:
        given.json.write_text(json.dumps({"machine": described, "settings": settings, **found}, default=str))
    return 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    window_arguments(parser, 4.0)
    parser.add_argument("--systems", nargs="+", choices=SYSTEMS, default=list(SYSTEMS), help="default: all")
    rust = "vllm-rs of vLLM's wheel for GPUs; without it that one is left out"
    parser.add_argument("--rust", type=Path, metavar="FILE", help=rust)
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
