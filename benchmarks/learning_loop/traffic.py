"""People who send tickets, and rate and correct what they get."""

from __future__ import annotations

import random
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from benchmarks.learning_loop.project import LABELS, ROUTE
from benchmarks.measuring.repository import ROOT
from trivet.api.v1 import inference_pb2
from trivet.client import Client

sys.path.insert(0, str(ROOT / "models" / "demo"))

import tickets

RATED = 0.7  # of the answers somebody says what they think
CLIENTS = 8
PHRASINGS = 4  # of each queue


@dataclass
class Answers:
    """How many were right, by variant."""

    asked: Counter[str] = field(default_factory=Counter)
    right: Counter[str] = field(default_factory=Counter)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def add(self, variant: str, right: bool) -> None:
        """One more."""
        with self.lock:
            self.asked[variant] += 1
            self.right[variant] += right


def asked(seed: str, units: int) -> Iterator[tuple[str, str, str]]:
    """Endless tickets: a unit, a ticket and its queue."""
    rng = random.Random(f"learning loop/{seed}")
    while True:
        label = rng.choice(LABELS)
        yield f"{seed}-{rng.randrange(units)}", tickets.ticket(rng, label, "train", PHRASINGS), label


def send(client: Client, seed: str, *, units: int, most: int, enough: Callable[[], bool] = lambda: False) -> Answers:
    """So many tickets at most, until it is enough; a wrong answer that is rated is corrected, too."""
    found = Answers()
    source = asked(seed, units)
    lock = threading.Lock()
    left = iter(range(most))

    def work(number: int) -> None:
        rng = random.Random(f"{seed}/{number}")
        while not enough():
            with lock:
                if next(left, None) is None:
                    return
                unit, text, label = next(source)
            message = inference_pb2.Message(role="user", content=text)
            answer = client.generate(inference_pb2.GenerateRequest(route=ROUTE, messages=[message], unit_id=unit))
            right = answer.text.strip() == label
            found.add(answer.receipt.variant, right)
            if rng.random() < RATED:
                better = "" if right else label
                client.submit_feedback(answer.receipt.request_id, score=float(right), corrected_text=better)

    with ThreadPoolExecutor(CLIENTS) as pool:
        list(pool.map(work, range(CLIENTS)))
    return found
