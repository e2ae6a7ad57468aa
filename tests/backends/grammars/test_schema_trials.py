"""Schemas are tried out one at a time, owners by turns, within a bounded queue; each once for each owner."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from trivet.backends.grammars import trials as module
from trivet.backends.grammars.limits import TrialLimits
from trivet.backends.grammars.trials import SchemaTrials
from trivet.backends.grammars.verdict import Outcome, Verdict
from trivet.errors import BackendUnavailable, InvalidRequest, Overloaded

GOOD = Verdict(Outcome.ACCEPTED, memory_bytes=1000)


class SlowCompiler:
    """Compiles one schema for each `let`, and keeps the order."""

    def __init__(self) -> None:
        self.order: list[Any] = []
        self.verdict: Verdict | Exception = GOOD
        self._turns = asyncio.Semaphore(0)

    def let(self, number: int) -> None:
        for _ in range(number):
            self._turns.release()

    async def start(self) -> None:
        """Nothing to start."""

    async def compile(self, schema: str) -> Verdict:
        self.order.append(json.loads(schema)["const"])
        await self._turns.acquire()
        if isinstance(self.verdict, Exception):
            raise self.verdict
        return self.verdict

    async def stop(self) -> None:
        """Nothing runs."""


@pytest_asyncio.fixture
async def compiler() -> SlowCompiler:
    return SlowCompiler()


@pytest_asyncio.fixture
async def trials(compiler: SlowCompiler) -> AsyncIterator[SchemaTrials]:
    made = SchemaTrials([compiler], TrialLimits(max_waiting=4), lambda _seconds, _outcome: None)
    yield made
    await made.close()


async def asked(trials: SchemaTrials, tenant: str, *names: str) -> list[asyncio.Task[str]]:
    """Each of them has lined up, is under way, or is over, before the next one comes."""
    tasks = []
    for name in names:
        tasks.append(asyncio.create_task(trials.admit({"const": name}, tenant)))
        for _ in range(500):
            if tasks[-1].done() or (tenant, module._key({"const": name})) in trials._open:
                break
            await asyncio.sleep(0.002)
        await asyncio.sleep(0)
        await asyncio.sleep(0)
    return tasks


async def test_tenants_take_turns(trials: SchemaTrials, compiler: SlowCompiler) -> None:
    tasks = await asked(trials, "greedy", "g1", "g2", "g3")
    tasks += await asked(trials, "modest", "m1")
    compiler.let(4)
    await asyncio.gather(*tasks)
    assert compiler.order == ["g1", "m1", "g2", "g3"]


async def test_one_compiler_is_left_to_other_tenants() -> None:
    bulk, spare = SlowCompiler(), SlowCompiler()
    trials = SchemaTrials([bulk, spare], TrialLimits(max_waiting=4), lambda _seconds, _outcome: None)
    greedy = await asked(trials, "greedy", "g1", "g2", "g3")
    assert (bulk.order, spare.order) == (["g1"], [])
    (modest,) = await asked(trials, "modest", "m1")
    assert spare.order == ["m1"]
    spare.let(1)
    await modest
    assert not any(task.done() for task in greedy)
    bulk.let(3)
    spare.let(3)
    await asyncio.gather(*greedy)
    assert sorted(bulk.order + spare.order) == ["g1", "g2", "g3", "m1"]
    await trials.close()


async def test_an_owners_schema_is_tried_out_once(trials: SchemaTrials, compiler: SlowCompiler) -> None:
    assert not trials.known({"const": "x"}, "one")
    tasks = [*await asked(trials, "one", "x"), *await asked(trials, "one", "x")]
    compiler.let(1)
    assert await asyncio.gather(*tasks) == ['{"const":"x"}'] * 2
    assert trials.known({"const": "x"}, "one")
    assert await trials.admit({"const": "x"}, "one") == '{"const":"x"}'
    assert compiler.order == ["x"]


async def test_no_owner_has_anything_of_anothers_trial(trials: SchemaTrials, compiler: SlowCompiler) -> None:
    """Neither while it runs nor when it is over, whatever it found."""
    tasks = [*await asked(trials, "one", "x"), *await asked(trials, "two", "x")]
    compiler.let(1)
    await tasks[0]
    assert not tasks[1].done()
    assert not trials.known({"const": "x"}, "two")
    compiler.verdict = Verdict(Outcome.TOO_SLOW, "takes for ever")
    compiler.let(1)
    with pytest.raises(InvalidRequest):
        await tasks[1]
    compiler.let(1)
    with pytest.raises(InvalidRequest):
        await trials.admit({"const": "x"}, "")
    assert compiler.order == ["x", "x", "x"]


async def test_a_refusal_is_remembered(trials: SchemaTrials, compiler: SlowCompiler) -> None:
    compiler.verdict = Verdict(Outcome.TOO_SLOW, "takes for ever")
    compiler.let(1)
    for _ in range(3):
        with pytest.raises(InvalidRequest, match="json_schema: takes for ever"):
            await trials.admit({"const": "x"}, "one")
    assert compiler.order == ["x"]


async def test_what_could_not_be_found_out_is_not_remembered(trials: SchemaTrials, compiler: SlowCompiler) -> None:
    compiler.verdict = BackendUnavailable("killed")
    compiler.let(2)
    for _ in range(2):
        with pytest.raises(BackendUnavailable):
            await trials.admit({"const": "x"}, "one")
    assert compiler.order == ["x", "x"]


async def test_a_full_queue_sheds_the_tenant_with_the_most_in_it(trials: SchemaTrials, compiler: SlowCompiler) -> None:
    under_way = await asked(trials, "greedy", "g1")
    greedy = await asked(trials, "greedy", "g2", "g3", "g4", "g5")
    (refused,) = await asked(trials, "greedy", "g6")
    with pytest.raises(Overloaded, match="too many schemas waiting"):
        await refused
    modest = await asked(trials, "modest", "m1")
    with pytest.raises(Overloaded):
        await greedy.pop()  # the newest gave way
    assert trials.waiting == 4
    compiler.let(5)
    await asyncio.gather(*under_way, *greedy, *modest)
    assert compiler.order == ["g1", "m1", "g2", "g3", "g4"]


async def test_who_leaves_takes_the_schema_out_of_the_queue(trials: SchemaTrials, compiler: SlowCompiler) -> None:
    first, second = await asked(trials, "one", "x", "y")
    second.cancel()
    await asyncio.wait({second})
    assert trials.waiting == 0
    first.cancel()  # it is under way: it goes on, and its verdict is kept
    await asyncio.wait({first})
    compiler.let(1)
    assert await trials.admit({"const": "x"}, "one")
    assert compiler.order == ["x"]


async def test_another_who_waits_keeps_it_in_the_queue(trials: SchemaTrials, compiler: SlowCompiler) -> None:
    await asked(trials, "one", "x")
    first, second = [*await asked(trials, "one", "y"), *await asked(trials, "one", "y")]
    first.cancel()
    await asyncio.wait({first})
    compiler.let(2)
    assert await second


async def test_wrong_and_oversized_schemas_are_not_tried_out(trials: SchemaTrials, compiler: SlowCompiler) -> None:
    for schema in ({"const": "x", "not": {}}, {"enum": list(range(5000))}):
        with pytest.raises(InvalidRequest):
            await trials.admit(schema, "one")
    assert compiler.order == []


async def test_closing_fails_who_waits_and_who_comes(trials: SchemaTrials) -> None:
    tasks = await asked(trials, "one", "x", "y")
    tasks.append(asyncio.create_task(trials.admit({"const": "z"}, "one")))
    await asyncio.sleep(0)
    await trials.close()
    for task in tasks:
        with pytest.raises(BackendUnavailable):
            await task


@pytest.mark.parametrize("bound", ["verdicts", "bytes"])
async def test_what_is_remembered_is_bounded_for_each_owner(
    compiler: SlowCompiler, bound: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    owners = 8
    if bound == "verdicts":
        monkeypatch.setattr(module, "REMEMBERED", 3 * owners)
        monkeypatch.setattr(module, "LEAST_REMEMBERED", 1)
    else:
        compiler.verdict = Verdict(Outcome.ACCEPTED, memory_bytes=12 << 20)  # each owner has 64 MiB in the engine
        monkeypatch.setattr(module, "REMEMBERED", 10_000)
    compiler.let(9)
    trials = SchemaTrials([compiler], TrialLimits(owners=owners), lambda _seconds, _outcome: None)
    await trials.admit({"const": "a"}, "other")
    for name in "abcd":
        await trials.admit({"const": name}, "one")
    kept = [False, True, True, True] if bound == "verdicts" else [False, False, True, True]
    assert [trials.known({"const": name}, "one") for name in "abcd"] == kept
    assert trials.known({"const": "a"}, "other")
    await trials.close()
