"""Starts an embedded engine as a server does, and again whenever it died; says so on stdout, and waits to be killed."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from tests.support.engine.fixtures import collect, request, text, tiny_settings
from trivet.backends.launch.host import open_host
from trivet.backends.vllm_embedded import EmbeddedVllm


async def main(model: Path, data: Path) -> None:
    settings = tiny_settings(model, data, start_method="spawn")
    host = await open_host([settings], [])
    backend = EmbeddedVllm(settings, lambda state: print(state.value), host=host)
    while True:
        await backend.start()
        answer = text(await collect(backend, request(range(10, 80))))
        print("answered", len(answer) > 0)
        print("engine", *backend.process_ids)
        await backend.death()


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), Path(sys.argv[2])))
