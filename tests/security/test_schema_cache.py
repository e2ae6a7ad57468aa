"""A tenant tries to find out which JSON schema another one uses, by what is known of it and by times."""

from __future__ import annotations

import random
import time
from typing import Any

from tests.support.engine.fixtures import SESSION_ENGINE, collect, request
from trivet.backends.vllm_embedded import EmbeddedVllm

pytestmark = SESSION_ENGINE

PROMPT = tuple(range(10, 80))
ROUNDS = 20
GUESSES = 5
CHANCE_AT_MOST = 10  # of 20 at one in five: more happens once in a thousand runs and a half


def schema(number: int, guess: int) -> dict[str, Any]:
    """One that takes a while to compile, and shares no rule with another one."""
    names = [f"n{number}g{guess}f{field}" for field in range(12)]
    fields = {name: {"type": "string", "pattern": f"^[a-z0-9]{{1,20}}-{name}-[0-9]{{1,6}}$"} for name in names}
    return {"type": "object", "properties": fields, "required": names}


async def seconds(engine: EmbeddedVllm, wanted: dict[str, Any], owner: str) -> float:
    begun = time.perf_counter()
    await collect(engine, request(PROMPT, max_tokens=1, json_schema=wanted, schema_owner=owner))
    return time.perf_counter() - begun


async def right_guesses(engine: EmbeddedVllm, victim: str, attacker: str, first: int, rounds: int) -> int:
    """How often the quickest of an attacker's guesses is the schema that the victim has used before."""
    draw = random.Random(first)
    right = 0
    for number in range(first, first + rounds):
        secret = draw.randrange(GUESSES)
        await seconds(engine, schema(number, secret), victim)
        tried = draw.sample(range(GUESSES), GUESSES)
        times = {guess: await seconds(engine, schema(number, guess), attacker) for guess in tried}
        right += min(times, key=lambda guess: times[guess]) == secret
    return right


async def test_where_two_share_an_owner_the_time_tells_the_schema(tiny_engine: EmbeddedVllm) -> None:
    """The attack works: the test below could fail."""
    await seconds(tiny_engine, {"type": "null"}, "same")  # starts what tries schemas out
    assert await right_guesses(tiny_engine, "same", "same", 0, 8) >= 7


async def test_the_quickest_guess_is_right_no_more_often_than_by_chance(tiny_engine: EmbeddedVllm) -> None:
    await seconds(tiny_engine, {"type": "null"}, "attacker")
    assert await right_guesses(tiny_engine, "victim", "attacker", 100, ROUNDS) <= CHANCE_AT_MOST


async def test_what_one_has_used_is_not_known_to_another(tiny_engine: EmbeddedVllm) -> None:
    wanted = schema(200, 0)
    await seconds(tiny_engine, wanted, "victim")
    assert tiny_engine.schema_known(wanted, "victim")
    assert not tiny_engine.schema_known(wanted, "attacker")
    assert not tiny_engine.schema_known(wanted, "")


async def test_the_engine_itself_compiles_for_each_owner_apart(tiny_engine: EmbeddedVllm) -> None:
    """Past the trials: what only the engine's own cache can hide or tell."""
    taken: dict[str, list[float]] = {"own": [], "another's": [], "nobody's": []}
    for number in range(300, 312):
        for guess, before in enumerate(("attacker", "victim", None)):
            wanted = schema(number, guess)
            if before is not None:
                await seconds(tiny_engine, wanted, before)
            await tiny_engine.admit_schema(wanted, "attacker")
            taken[("own", "another's", "nobody's")[guess]].append(await seconds(tiny_engine, wanted, "attacker"))
    middle = {kind: sorted(times)[len(times) // 2] for kind, times in taken.items()}
    assert middle["own"] < 0.7 * middle["nobody's"], "a cache that cannot be seen would make this test empty"
    assert middle["another's"] > 0.7 * middle["nobody's"]
