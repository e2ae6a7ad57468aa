"""The load generator: so many requests to one gateway, so many at once.

Usage: python -m benchmarks.overheads.load. Its command says `address`, `route`, `requests` and `streams`.
"""

from __future__ import annotations

import asyncio
from typing import Any

from benchmarks.measuring.workload import Prompt
from benchmarks.path.load.trivet_client import TrivetClient
from benchmarks.path.load.worker import serve, take_stdout


class Load:
    """A connection for each gateway, which stays."""

    def __init__(self) -> None:
        self._clients: dict[str, TrivetClient] = {}
        self._number = 0

    async def handle(self, command: dict[str, Any]) -> dict[str, Any]:
        """Send them and wait for the answers; how many tokens they had."""
        address = command["address"]
        if address not in self._clients:
            self._clients[address] = TrivetClient(address)
        client, left = self._clients[address], iter(range(command["requests"]))
        tokens = 0

        async def stream() -> None:
            nonlocal tokens
            for _ in left:
                self._number += 1
                prompt = Prompt(f"Ticket {self._number:07}: what does the hub weigh, and how far does it reach?", [])
                tokens += (await client.send(prompt, command["route"])).tokens

        await asyncio.gather(*(stream() for _ in range(command["streams"])))
        return {"tokens": tokens}


if __name__ == "__main__":
    asyncio.run(serve(take_stdout(), Load().handle))
