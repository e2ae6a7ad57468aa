"""schemathesis over the HTTP door's OpenAPI description, longer than a test may take.

A gateway on a scripted model answers; each round has a seed of its own. The exit code is 1 if anything was found.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from tests.support.clients.fuzzing import fuzz
from tests.support.gateway.harness import gateway
from trivet.types.request import KeyRole


async def main() -> int:
    """Rounds of requests; their report, where something was found."""
    parser = argparse.ArgumentParser(description=__doc__, prog="python -m benchmarks.fuzzing")
    parser.add_argument("--rounds", type=int, default=5, help="with a seed each (default: 5)")
    parser.add_argument("--examples", type=int, default=200, help="of each operation in a round (default: 200)")
    arguments = parser.parse_args()
    worst = 0
    with tempfile.TemporaryDirectory() as folder:
        async with gateway(Path(folder), http=True, keys=(("secret", "a", KeyRole.CLIENT),)) as served:
            for seed in range(1, arguments.rounds + 1):
                begin = time.monotonic()
                code, report = await asyncio.to_thread(
                    fuzz, served.http, "secret", Path(folder), examples=arguments.examples, seed=seed, timeout=1800
                )
                worst = max(worst, code)
                print(report if code else f"seed {seed}: nothing found in {time.monotonic() - begin:.0f} s")
            print("requests for an answer by their code:", dict(Counter(one.code for one in served.counted)))
    return worst


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
