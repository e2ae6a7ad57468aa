"""Clients that use up a limit of running gateways, over gRPC."""

from __future__ import annotations

import random
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from trivet.api.v1 import inference_pb2, receipt_pb2
from trivet.client import CallFailed, Client, Target
from trivet.client.retry import ONCE

HELD = 1.0  # seconds that a refused client is told where the rest of a limit is only set aside


@dataclass
class Spent:
    """Receipts of requests that were answered, and refusals."""

    answered: list[receipt_pb2.Receipt] = field(default_factory=list)
    refused: list[CallFailed] = field(default_factory=list)

    @property
    def tokens(self) -> list[int]:
        """Of each answered request."""
        return [receipt.input_tokens + receipt.output_tokens for receipt in self.answered]

    @property
    def nano_usd(self) -> list[int]:
        """Of each answered request."""
        return [receipt.cost.total for receipt in self.answered]


def use_up(targets: Sequence[Target], route: str, clients: int, seconds: float = 300.0) -> Spent:
    """So many clients, one after the other on one of these gateways, ask until each is told that the limit's window has
    to end first. A failure that is no refusal is raised, and so is TimeoutError."""
    spent, end = Spent(), time.monotonic() + seconds

    def ask(number: int) -> None:
        chance = random.Random(number)
        with Client(targets[number % len(targets)], timeout=60, retry=ONCE) as client:
            while time.monotonic() < end:
                text = "word " * chance.randint(1, 60)
                message = inference_pb2.Message(role="user", content=text)
                try:
                    asked = inference_pb2.GenerateRequest(route=route, messages=[message], unit_id=f"unit-{number}")
                    spent.answered.append(client.generate(asked).receipt)
                except CallFailed as failed:
                    if failed.reason != "BUDGET_EXCEEDED":
                        raise
                    spent.refused.append(failed)
                    if failed.retry_after is None or failed.retry_after > HELD:
                        return
                    time.sleep(failed.retry_after / 4)
        raise TimeoutError(f"the limit was not used up in {seconds:g} s")

    with ThreadPoolExecutor(clients) as pool:
        list(pool.map(ask, range(clients)))
    return spent
