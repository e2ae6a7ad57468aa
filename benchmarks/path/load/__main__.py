"""The load generator, a process of its own: closed loops, retrieval beside them, bursts.

Usage: python -m benchmarks.path.load FOLDER (a workload's). Commands are the methods of `LoadGenerator`.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import asdict
from functools import partial
from itertools import cycle, islice, repeat
from pathlib import Path
from typing import Any

from benchmarks.measuring.workload import PLAIN_ROUTE, SEARCH_ROUTE, Prompt, Workload, fresh_texts
from benchmarks.path.load.chat_client import ChatClient
from benchmarks.path.load.closed_loop import STAGGER, ClosedLoop, Send, measure
from benchmarks.path.load.trivet_client import TrivetClient
from benchmarks.path.load.vllm_client import VllmClient
from benchmarks.path.load.worker import serve, take_stdout


class LoadGenerator:
    """Sends what it is told to where it is told to."""

    def __init__(self, workload: Workload) -> None:
        self._prompts = workload.prompts()

    async def handle(self, command: dict[str, Any]) -> dict[str, Any]:
        """One command: `do` names the method, the rest are its arguments."""
        name = command.pop("do")
        methods: dict[str, Callable[..., Awaitable[dict[str, Any]]]] = {
            "one": self.one,
            "measure": self.measure,
            "beside": self.beside,
            "burst": self.burst,
        }
        return await methods[name](**command)

    async def one(self, target: dict[str, Any]) -> dict[str, Any]:
        """A single request on an idle system, for its text."""
        async with _sender(target) as send:
            answer = await send(self._prompts[0])
        return {"text": answer.text, "tokens": answer.tokens}

    async def measure(
        self,
        target: dict[str, Any],
        streams: int,
        seconds: float,
        offset: int = 0,
        processes: dict[str, list[int]] | None = None,
        texts: str | None = None,
        stagger: float = STAGGER,
    ) -> dict[str, Any]:
        """A closed loop; `texts`: see `_texts`, None for the workload's prompts from `offset` on."""
        prompts = islice(cycle(self._prompts), offset, None) if texts is None else _texts(texts)
        async with _sender(target) as send:
            return await measure(ClosedLoop(send, prompts, streams, stagger), seconds, processes or {})

    async def beside(
        self, target: dict[str, Any], streams: int, seconds: float, texts: str, processes: dict[str, list[int]]
    ) -> dict[str, Any]:
        """Beside a closed loop without retrieval, one request with retrieval after the other: its measurement."""
        searches = {**target, "route": SEARCH_ROUTE, "max_tokens": 1}
        async with _sender(target) as send, _sender(searches) as search:
            background = ClosedLoop(send, cycle(self._prompts), streams)
            await background.start()
            result = await measure(ClosedLoop(search, _texts(texts), 1), seconds, processes)
            await background.run_for(0)  # raises if any of it failed
            await background.stop()
        return result

    async def burst(self, address: str, number: int, times: int) -> dict[str, Any]:
        """`number` requests at once, `times` times."""
        refused, answered = [], 0
        for _ in range(times):
            client = TrivetClient(address)
            await client.send(self._prompts[0], PLAIN_ROUTE)  # the connection stands
            refusals, served = await client.burst(self._prompts[0], PLAIN_ROUTE, number)
            refused += [asdict(refusal) for refusal in refusals]
            answered += served
            await client.close()
        return {"refused": refused, "answered": answered}


def _texts(kind: str) -> Iterator[Prompt]:
    """`same:TEXT` for ever, or `fresh:LABEL`, texts that nothing has seen."""
    name, _, value = kind.partition(":")
    if name == "same":
        return repeat(Prompt(value, []))
    return (Prompt(text, []) for text in fresh_texts(value))


@asynccontextmanager
async def _sender(target: dict[str, Any]) -> AsyncIterator[Send]:
    """`target`: `vllm` (host, port), `chat` (what a `ChatClient` takes), or `trivet` (address) with `route` and perhaps
    `max_tokens`, `connections` and `again`."""
    client: VllmClient | ChatClient | TrivetClient
    if "vllm" in target:
        client = VllmClient(*target["vllm"])
        send: Send = client.send
    elif "chat" in target:
        client = ChatClient(**target["chat"])
        send = client.send
    else:
        client = TrivetClient(target["trivet"], target.get("connections", 1), again=target.get("again", False))
        send = partial(client.send, route=target["route"], max_tokens=target.get("max_tokens"))
    try:
        yield send
    finally:
        await client.close()


if __name__ == "__main__":
    asyncio.run(serve(take_stdout(), LoadGenerator(Workload(Path(sys.argv[1]))).handle))
