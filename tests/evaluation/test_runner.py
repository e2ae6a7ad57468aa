"""Asking through a real gateway with a scripted engine: all of it once, also when it is killed in between."""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.support.evaluation_suites import SCHEMA, make_suite
from tests.support.gateway import harness as gateway_harness
from tests.support.gateway.harness import Gateway, gateway, variant
from trivet.api.v1 import inference_pb2
from trivet.client import CallFailed, Client, Target
from trivet.errors import FailedPrecondition, RetrievalUnavailable
from trivet.evaluation.outcomes import OutcomeLog
from trivet.evaluation.report import build_report
from trivet.evaluation.runner import Pace, Question, Runner, questions, request_of
from trivet.evaluation.suite import Suite
from trivet.types.variant import OnRetrievalFailure, Route

LINES: list[dict[str, Any]] = [
    {"question": f"Question {number}?", "answer": "one two three" if number % 3 else "four", "document": "doc-a"}
    for number in range(20)
]
HERE = Path(__file__).parent


def eval_routes() -> dict[str, Route]:
    """The routes of the suite's two arms; `rag` fails rather than answers without passages."""
    plain, rag = {"v": variant("v")}, {"v": variant("v", index="facts")}
    fail = OnRetrievalFailure.FAIL
    made = [
        Route("eval-plain", plain, {"v": 1}, "plain"),
        Route("eval-rag", rag, {"v": 1}, "rag", retrieval_deadline=5, on_retrieval_failure=fail),
        Route("eval-rag-schema", rag, {"v": 1}, "rag", retrieval_deadline=5, on_retrieval_failure=fail),
    ]
    return {route.name: route for route in made}


@pytest.fixture
def suite(tmp_path: Path) -> Suite:
    """Two arms, twenty questions."""
    return make_suite(tmp_path / "suite", LINES, correct=["exact_match"])


@pytest.fixture
async def served(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Gateway]:
    """A gateway with the arms' routes."""
    monkeypatch.setattr(gateway_harness, "routes", eval_routes)
    async with gateway(tmp_path / "gateway", max_running=8, max_queued=8) as running:
        yield running


def wanted(suite: Suite) -> list[Question]:
    return [item for part in suite.parts for item in questions(part)]


async def ask(served: Gateway, suite: Suite, results: Path, pace: Pace | None = None) -> int:
    """Ask what is open; how many were answered."""

    def work() -> int:
        answered: list[None] = []
        with Client(Target(served.address), timeout=20) as client, OutcomeLog(results) as log:
            Runner(suite, "d", log, client, pace or Pace()).run(wanted(suite), lambda: answered.append(None))
        return len(answered)

    return await asyncio.to_thread(work)


def table(suite: Suite, results: Path) -> dict[str, Any]:
    """What the report says, but for times, which no two runs share."""
    with OutcomeLog(results) as log:
        (part,) = build_report(suite, "d", log.outcomes, {}).parts
    timed = ("ttft_ms", "ttft_p95_ms")
    return {
        arm.name: ({name: value for name, value in arm.estimates.items() if name not in timed}, arm.comparison)
        for arm in part.arms
    }


@pytest.mark.parametrize("concurrency", [1, 6])
async def test_every_arm_is_asked_every_question_once(
    served: Gateway, suite: Suite, tmp_path: Path, concurrency: int
) -> None:
    assert await ask(served, suite, tmp_path / "results.jsonl", Pace(concurrency)) == 40
    assert len(served.backend.requests) == 40
    assert await ask(served, suite, tmp_path / "results.jsonl") == 0
    assert len(served.backend.requests) == 40
    with OutcomeLog(tmp_path / "results.jsonl") as log:
        one = log.outcomes["d", "rag", "1"]
        assert (one.text, one.cited, one.finish) == ("one two three", ("doc-a", "doc-b"), "stop")
        assert one.output_tokens == 3
        assert one.input_tokens is not None
        assert one.cost is not None
        assert one.cost > 0
    found = table(suite, tmp_path / "results.jsonl")
    assert found["plain"][0]["correct"].value == 13 / 20
    assert found["rag"][0]["cited_right"].value == 1.0
    assert found["plain"][0]["cited_right"].value == 0.0
    assert found["rag"][1].difference.value == 0.0
    costs = found["rag"][0]["cost"], found["rag"][0]["cost_per_correct"]
    assert costs[1].value == pytest.approx(costs[0].value * 20 / 13)


@pytest.mark.process
async def test_killed_in_the_middle_it_goes_on_and_gives_the_same_table(
    served: Gateway, suite: Suite, tmp_path: Path
) -> None:
    served.backend.interval = 0.01
    results = tmp_path / "killed.jsonl"
    command = [sys.executable, str(HERE / "ask_all.py"), served.address, str(suite.path), str(results)]
    process = await asyncio.create_subprocess_exec(*command)
    while not results.exists() or results.read_bytes().count(b"\n") < 12:
        assert process.returncode is None
        await asyncio.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    await process.wait()
    kept = results.read_bytes().count(b"\n")
    assert 12 <= kept < 40
    results.write_bytes(results.read_bytes() + b'{"suite": "d", "arm": "pl')  # and the half of a line
    served.backend.interval = 0.0
    assert await ask(served, suite, results) == 40 - kept
    assert len(served.backend.requests) <= 41  # the one in flight when it was killed may be asked again
    lines = results.read_bytes().splitlines()
    assert len(lines) == len(set(lines)) == 40
    await ask(served, suite, tmp_path / "whole.jsonl")
    killed, whole = (table(suite, tmp_path / f"{name}.jsonl") for name in ("killed", "whole"))
    for name in ("plain", "rag"):
        for metric in ("correct", "exact_match", "token_f1", "cited_right", "input_tokens", "output_tokens"):
            assert killed[name][0][metric] == whole[name][0][metric]
        assert killed[name][1] == whole[name][1]


async def test_a_passing_failure_is_tried_again(served: Gateway, suite: Suite, tmp_path: Path) -> None:
    served.retriever.failure = RetrievalUnavailable("down")
    asking = asyncio.create_task(ask(served, suite, tmp_path / "results.jsonl", Pace(attempts=50, pause=0.02)))
    await asyncio.sleep(0.2)
    assert not asking.done()
    served.retriever.failure = None
    assert await asking == 40


async def test_a_failure_that_stays_stops_it_and_keeps_what_was_answered(
    served: Gateway, suite: Suite, tmp_path: Path
) -> None:
    served.retriever.failure = RetrievalUnavailable("down")
    with pytest.raises(CallFailed, match="UNAVAILABLE"):
        await ask(served, suite, tmp_path / "results.jsonl", Pace(attempts=2, pause=0.01))
    with OutcomeLog(tmp_path / "results.jsonl") as log:
        assert {arm for _, arm, _ in log.outcomes} == {"plain"}
    served.retriever.failure = None
    before = len(served.backend.requests)
    await ask(served, suite, tmp_path / "results.jsonl")
    assert len(served.backend.requests) == 40 >= before + 1


async def test_a_request_that_can_never_be_answered_is_wrong(served: Gateway, tmp_path: Path) -> None:
    lines = [*LINES[:2], {"question": "long " * 3000, "answer": "one two three"}]
    suite = make_suite(tmp_path / "suite", lines, correct=["exact_match"])
    assert await ask(served, suite, tmp_path / "results.jsonl") == 6
    with OutcomeLog(tmp_path / "results.jsonl") as log:
        assert log.outcomes["d", "plain", "3"].error.startswith("INVALID_ARGUMENT")
        (part,) = build_report(suite, "d", log.outcomes, {}).parts
    assert part.arm("plain").failed == 1
    assert part.arm("plain").estimates["correct"].value == 1 / 3


async def test_another_bundle_behind_the_route_is_refused(served: Gateway, suite: Suite, tmp_path: Path) -> None:
    arms = tuple(replace(arm, prompt="other@1") for arm in suite.main.arms)
    other = replace(suite, main=replace(suite.main, arms=arms))
    with pytest.raises(FailedPrecondition, match="eval-plain answers with prompt answers@1, expected other@1"):
        await ask(served, other, tmp_path / "results.jsonl")


def test_requests_differ_in_nothing_but_route_and_schema(tmp_path: Path) -> None:
    arms = {"plain": {"prompt": "answers@1"}, "rag": {"prompt": "answers@1", "json_schema": "both"}}
    suite = make_suite(tmp_path, LINES, correct=["exact_match"], json_schema=SCHEMA, arms=arms)
    requests = [request_of(item, suite) for item in wanted(suite)[:3]]
    assert [request.route for request in requests] == ["eval-plain", "eval-rag", "eval-rag-schema"]
    assert [request.HasField("json_schema") for request in requests] == [False, False, True]
    for request in requests:
        request.ClearField("route")
        request.ClearField("json_schema")
    assert requests[0] == requests[1] == requests[2]
    assert requests[0] == inference_pb2.GenerateRequest(
        messages=[inference_pb2.Message(role="user", content="Question 0?")],
        unit_id="1", max_tokens=64, temperature=0.0, seed=0,
    )  # fmt: skip


def test_the_order_of_arms_rotates(suite: Suite) -> None:
    first = [item.arm.name for item in wanted(suite)][::2]
    assert first == ["plain", "rag"] * 10
    assert {item.arm.name for item in questions(suite.main, {"rag"})} == {"plain"}
