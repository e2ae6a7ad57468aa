"""What one owner has in the engine's compiler beside others; what the engine has compiled before waits for nothing."""

from __future__ import annotations

import asyncio

import pytest

from trivet.backends.grammars.engine_turns import EngineTurns


async def test_another_owners_schema_passes_those_that_wait() -> None:
    turns, entered, ends = EngineTurns(), list[str](), asyncio.Event()

    async def compiled(owner: str, schema: str) -> None:
        async with turns.compiling(schema, owner):
            entered.append(schema)
            await ends.wait()

    tasks = [asyncio.create_task(compiled("modest", "m1"))]
    await asyncio.sleep(0)
    tasks += [asyncio.create_task(compiled("greedy", f"g{number}")) for number in range(5)]
    await asyncio.sleep(0)
    assert entered == ["m1", "g0"]
    ends.set()
    await asyncio.gather(*tasks)
    assert len(entered) == 6


async def test_what_was_compiled_before_takes_no_turn_and_what_failed_was_not() -> None:
    turns = EngineTurns()
    async with turns.compiling("known", "one"):
        pass
    with pytest.raises(RuntimeError):
        async with turns.compiling("failed", "one"):
            raise RuntimeError
    async with turns.compiling("a", "one"), turns.compiling("b", "one"):
        async with asyncio.timeout(60), turns.compiling("known", "one"):
            pass
        for schema, owner in (("failed", "one"), ("known", "two")):
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.05), turns.compiling(schema, owner):
                    pass
