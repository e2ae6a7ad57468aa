"""One run: clients that leave in the middle of a stream, beside others."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from benchmarks.disconnects.client import Leaving, receipt
from benchmarks.measuring.servers import TrivetServer
from benchmarks.measuring.workload import PLAIN_ROUTE, Workload
from benchmarks.path.load.worker import Worker

TOKENS = 700  # of an answer that nobody leaves: it takes the engine seconds
EVENTS = (3, 40)  # how many events a client reads before it leaves, at least and at most
BESIDE = 8
Say = Callable[[str], None]


@dataclass
class Results:
    """Milliseconds from a client's leaving until the request ended, by its receipt, and the codes of the receipts.
    `engine`: the same by the engine's own word, by how many streams were beside it."""

    beside: list[float] = field(default_factory=list)
    engine: dict[int, list[float]] = field(default_factory=dict)
    codes: dict[str, int] = field(default_factory=dict)


def measure(workload: Workload, times: int, say: Say) -> Results:
    """So many clients."""
    workload.make()
    results, chance = Results(), random.Random(5)
    with TrivetServer(workload) as server:
        say(f"the server is ready after {server.started:.1f} s")
        client = _Clients(server.http_address, [prompt.text for prompt in workload.prompts()])
        _beside(workload, server, client, results, times, chance)
    return results


class _Clients:
    def __init__(self, address: str, texts: list[str]) -> None:
        self.address = address
        self._texts = texts
        self._number = 0

    def ask(self) -> Leaving:
        """A request with a text of its own."""
        self._number += 1
        text = self._texts[self._number % len(self._texts)]
        request_id = f"leaving-{self._number}"
        return Leaving(self.address, PLAIN_ROUTE, text, stream=True, tokens=TOKENS, request_id=request_id)


def _beside(
    workload: Workload, server: TrivetServer, client: _Clients, results: Results, times: int, chance: random.Random
) -> None:
    """Beside closed loops, whose work hides the engine's: when the request ended, by its receipt."""
    log = workload.folder / "load.log"
    with Worker("benchmarks.path.load", [str(workload.folder)], log) as load:
        target = {"trivet": server.target.address, "route": PLAIN_ROUTE}
        loop: dict[str, Any] = {"do": "measure", "target": target, "streams": BESIDE, "seconds": 2.0 + 0.8 * times}
        thread = threading.Thread(target=lambda: load.ask(**loop), daemon=True)
        thread.start()
        time.sleep(2.0)
        for _ in range(times):
            asked = client.ask()
            asked.read_events(chance.randint(*EVENTS))
            asked.leave()
            found = receipt(client.address, asked.request_id)
            code = found.get("code", "OK")
            results.codes[code] = results.codes.get(code, 0) + 1
            results.beside.append(1000 * (asked.sent - asked.closed) + found["total_ms"])
        thread.join()
