"""Starts an embedded engine as a server would, says so on stdout, and waits to be killed."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from tests.support.engine.fixtures import collect, request, text, tiny_settings
from trivet.backends.vllm_embedded import EmbeddedVllm


async def main(model: Path, data: Path) -> None:
    backend = EmbeddedVllm(tiny_settings(model, data, start_method="spawn"), lambda state: print(state.value))
    await backend.start()
    answer = text(await collect(backend, request(range(10, 80))))
    print("answered", len(answer) > 0)
    print("engine", *backend.process_ids)
    await asyncio.sleep(600)


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), Path(sys.argv[2])))
