"""HTTP beside gRPC: what Trivet's two doors cost, next to vLLM's own server and to LiteLLM in front of that.

    python -m benchmarks.path.http            three rounds, about six minutes
    python -m benchmarks.path.http --quick    one round of short windows, to look whether it works

How it is measured
- Four systems on the same model with the same engine settings, all up at once: Trivet over gRPC (`GenerateStream`) and
  over HTTP, which is the same process; vLLM's server; LiteLLM's proxy in front of the same vLLM server. The last three
  get `POST /v1/chat/completions`, streamed with usage. They are measured in turn, round after round, in an order that
  changes by round; ratios are taken within a round.
- A random Llama of the demo model's size whose answers all have the same 64 tokens. The first prompt must get the same
  text, and as many tokens, from all four. All apply the chat template and the tokenizer themselves.
- Closed loops over one kept connection per stream (gRPC: one channel). The streams start within a second, and the
  window begins half a second later. A request across the window's end counts with the tokens it had inside.
- Added CPU is what all processes took between the clients and the engine's process: the gateway with its vector
  process; vLLM's API server; the proxy and that API server.
- LiteLLM has one worker, a master key and no database, in an environment of its own
  (`benchmarks/path/http/litellm.txt`).

What it does not show
- The systems do not do the same. Trivet adds the prompt's static turns itself, the others are sent them with each
  request. Trivet makes a receipt, metrics, admission and routing; LiteLLM has keys, budgets and routing of its own;
  vLLM's server has none of these. Trivet gathers tokens into events while several streams are open; the others do not.
- Clients, servers and the engines share this machine's cores, so that tokens per second at many streams are decided by
  what all of them take together. The load generator's gRPC client costs more than its HTTP client.
- LiteLLM with several workers, which it advises for much load; on two cores they would take the engine's.
- A large model: there the engine takes nearly all the time, and all come out alike.
- TLS, keys at Trivet's doors, adapters, retrieval, tools, or a mixture of lengths.
"""

from __future__ import annotations

import argparse
import json
import sys
from importlib.metadata import version

from benchmarks.measuring import machine
from benchmarks.measuring.method import method
from benchmarks.measuring.repository import ROOT
from benchmarks.path.http.litellm import REQUIREMENTS
from benchmarks.path.http.report import report
from benchmarks.path.http.systems import HttpPlan, measure_http
from benchmarks.path.patience import Patience
from benchmarks.path.plan import window_arguments, windows


def main() -> int:
    """Measure and print the page."""
    given = _arguments()
    described, fields = machine.describe(ROOT), windows(given)
    plan = HttpPlan(**fields, patience=Patience(given.patience, fields["progress"]))
    cells = measure_http(plan)
    settings = {**plan.settings(), "prefix tokens": plan.workload.prefix_tokens()}
    if given.json:  # first: they took minutes
        given.json.write_text(json.dumps({"machine": described, "settings": settings, "cells": cells}))
    compared = {"uvicorn": version("uvicorn"), "compared with": REQUIREMENTS.read_text().splitlines()[-1]}
    print("\n".join([report({**described, **compared}, settings, cells), *method(__doc__), ""]))
    return 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    window_arguments(parser, 5.0)
    patience = "for measuring again what others disturbed"
    parser.add_argument("--patience", type=float, default=0.0, metavar="SECONDS", help=patience)
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
