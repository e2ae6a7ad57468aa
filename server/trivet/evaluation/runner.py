"""Puts every example to every arm, through the gateway, and keeps what is answered."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from itertools import islice
from typing import Protocol

from trivet.api.v1 import inference_pb2, receipt_pb2
from trivet.client import CallFailed
from trivet.errors import FailedPrecondition
from trivet.evaluation.arms import Arm
from trivet.evaluation.data import Example
from trivet.evaluation.outcomes import Outcome, OutcomeLog
from trivet.evaluation.suite import Part, Suite

# Failures of the moment, which say nothing of the arm: asked again, and in the end the evaluation stops.
_PASSING = frozenset({"UNAVAILABLE", "RESOURCE_EXHAUSTED", "DEADLINE_EXCEEDED", "ABORTED", "CANCELLED"})
# Failures that a request meets however often it is made: the arm's answer is wrong.
_LASTING = frozenset({"INVALID_ARGUMENT", "OUT_OF_RANGE"})


class Asked(Protocol):
    """What is asked: `trivet.client.Client`, or a stand-in."""

    def generate(self, request: inference_pb2.GenerateRequest, /) -> inference_pb2.GenerateResponse:
        """One whole answer; raises CallFailed."""
        ...


@dataclass(frozen=True, slots=True)
class Pace:
    """How fast to ask, and how patiently. Times mean most with one request at a time."""

    concurrency: int = 1
    attempts: int = 5
    pause: float = 0.5  # seconds before the second attempt; doubled before each further one


@dataclass(frozen=True, slots=True)
class Question:
    """One request to be made."""

    arm: Arm
    example: Example


def questions(part: Part, refused: Collection[str] = ()) -> Iterator[Question]:
    """Example by example, each put to all arms but those `refused`.

    The order of arms rotates, so that a slow minute of the machine, or a warm cache, falls on all of them alike.
    """
    arms = [arm for arm in part.arms if arm.name not in refused]
    for number, example in enumerate(part.examples):
        shift = number % len(arms) if arms else 0
        for arm in arms[shift:] + arms[:shift]:
            yield Question(arm, example)


class Runner:
    """Asks what has not been answered yet."""

    def __init__(self, suite: Suite, digest: str, log: OutcomeLog, asked: Asked, pace: Pace = Pace()) -> None:
        self._suite = suite
        self._digest = digest
        self._log = log
        self._asked = asked
        self._pace = pace

    def run(self, wanted: Collection[Question], answered: Callable[[], None]) -> None:
        """Ask them all, in order, and call `answered` after each.

        Raises CallFailed if the server cannot be asked (what was answered so far is kept), FailedPrecondition if it
        answers with another bundle than the arm's.
        """
        waiting = iter([item for item in wanted if self._key(item) not in self._log.outcomes])
        pool = ThreadPoolExecutor(self._pace.concurrency, thread_name_prefix="ask")
        running: set[Future[None]] = set()
        try:
            while True:
                for item in islice(waiting, self._pace.concurrency - len(running)):
                    running.add(pool.submit(self._answer, item))
                if not running:
                    return
                done, running = wait(running, return_when=FIRST_COMPLETED)
                for future in done:
                    future.result()
                    answered()
        finally:
            pool.shutdown(cancel_futures=True)

    def _key(self, item: Question) -> tuple[str, str, str]:
        return self._digest, item.arm.name, item.example.id

    def _answer(self, item: Question) -> None:
        request = request_of(item, self._suite)
        pause = self._pace.pause
        for attempt in range(1, self._pace.attempts + 1):
            try:
                response = self._asked.generate(request)
            except CallFailed as error:
                if error.code in _LASTING:
                    self._log.add(Outcome(*self._key(item), text="", error=str(error)))
                    return
                if error.code not in _PASSING or attempt == self._pace.attempts:
                    raise
                time.sleep(pause)
                pause *= 2
                continue
            check_bundle(item.arm, response.receipt)
            self._log.add(_outcome(self._key(item), response))
            return


def request_of(item: Question, suite: Suite) -> inference_pb2.GenerateRequest:
    """The request: the same for each arm but for the route, the schema, and the temperature of one that draws several
    answers; all others are greedy."""
    request = inference_pb2.GenerateRequest(
        route=item.arm.route,
        messages=[
            inference_pb2.Message(role="assistant" if number % 2 else "user", content=text)
            for number, text in enumerate((*item.example.earlier, item.example.question))
        ],
        unit_id=item.example.id,
        max_tokens=item.arm.max_tokens,
        temperature=item.arm.temperature,
        seed=0,
    )
    if item.arm.constrained:
        request.json_schema.update(dict(suite.form.json_schema or {}))
    return request


def check_bundle(arm: Arm, receipt: receipt_pb2.Receipt) -> None:
    """FailedPrecondition unless what answered is what the arm says: a running server may have other routes."""
    expected = {"adapter": arm.adapter or "", "index": arm.index or ""}
    if arm.stuffed is None and receipt.prompt != arm.own_prompt:
        expected["prompt"] = arm.prompt
    for field, wanted in expected.items():
        found = getattr(receipt, field)
        if found != wanted:
            problem = f"{field} {found or 'none'}, expected {wanted or 'none'} for arm {arm.name}"
            raise FailedPrecondition(f"route {arm.route} answers with {problem}")


def _outcome(key: tuple[str, str, str], response: inference_pb2.GenerateResponse) -> Outcome:
    receipt = response.receipt

    def known(field: str) -> bool:
        return bool(receipt.HasField(field))

    return Outcome(
        *key,
        text=response.text,
        cited=tuple(dict.fromkeys(citation.document_id for citation in response.citations)),
        degraded=tuple(receipt.degraded),
        finish=receipt_pb2.FinishReason.Name(response.finish_reason).removeprefix("FINISH_REASON_").lower(),
        ttft_ms=receipt.ttft_ms if known("ttft_ms") else None,
        total_ms=receipt.total_ms if known("total_ms") else None,
        input_tokens=receipt.input_tokens if known("input_tokens") else None,
        cached_tokens=receipt.cached_tokens if known("cached_tokens") else None,
        output_tokens=receipt.output_tokens if known("output_tokens") else None,
        cost=receipt.cost.total if receipt.cost.HasField("total") else None,
    )
