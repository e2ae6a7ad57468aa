"""What finds engines on a Ray cluster, over children that say what real ones say, and what they must not."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from contextlib import aclosing
from pathlib import Path

import pytest

from trivet.app.remote.fleets import ASKS_RAY
from trivet.fleet.discovery import Found, RayNames, ray_names

pytestmark = pytest.mark.process
SAY = "import sys, time\nfor line in sys.argv[1:]:\n    print(line, flush=True)\n"


def child(*lines: object, then: str = "time.sleep(60)") -> RayNames:
    texts = [line if isinstance(line, str) else json.dumps(line) for line in lines]
    return RayNames((sys.executable, "-c", SAY + then, *texts), 0.1)


async def told(names: RayNames, count: int) -> list[Found]:
    found = []
    async with asyncio.timeout(60), aclosing(names.watch()) as watch:
        async for one in watch:
            found.append(one)
            if len(found) == count:
                break
    return found


async def test_what_it_says_is_known_and_repetitions_are_not_told() -> None:
    first, second = ["10.0.0.1:7610", "[fd00::1]:7610"], ["10.0.0.1:7610"]
    found = await told(child({"known": first}, {"known": first}, {"known": second}, {"known": []}), 3)
    assert found == [Found(frozenset(first)), Found(frozenset(second)), Found(frozenset())]


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ({"problem": "ConnectionError: no cluster"}, "no cluster"),
        ("Traceback", "a line is no JSON"),
        ("[" * 100_000, "a line is no JSON"),
        ({"known": "10.0.0.1:7610"}, "no list"),
        ({"known": ["a:1"] * 5000}, "no list"),
        ({"known": ["unix:/somewhere"]}, "not host:port"),
        ({"known": [7610]}, "not host:port"),
        ("7", "no list"),
    ],
)
async def test_what_is_wrong_is_told_and_changes_nothing(line: object, problem: str) -> None:
    [before, after] = await told(child({"known": ["a:1"]}, line), 2)
    assert before == Found(frozenset({"a:1"}))
    assert after.known is None
    assert problem in after.problem


async def test_a_line_without_an_end_is_not_held(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ray_names, "MAX_LINE", 1000)
    [found] = await told(child(then="sys.stdout.write('7' * 5000); sys.stdout.flush(); time.sleep(60)"), 1)
    assert "longer than 1,000 bytes" in found.problem


async def test_a_child_that_ends_or_says_nothing_is_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ray_names, "RETRY_FIRST", 0.01)
    monkeypatch.setattr(ray_names, "FIRST_SILENCE", 5.0)
    monkeypatch.setattr(ray_names, "SILENCE", 0.3)
    lives = tmp_path / "lives"
    then = (
        f"import pathlib; lives = pathlib.Path({str(lives)!r}); n = len(lives.read_text()) if lives.exists() else 0\n"
        "lives.write_text('x' * (n + 1))\n"
        "print('{\"known\": [\"a:' + str(n + 1) + '\"]}', flush=True)\n"
        "sys.exit(3) if n == 0 else time.sleep(60)"
    )
    found = await told(child(then=then), 5)
    assert [one.known for one in found] == [
        frozenset({"a:1"}), None, frozenset({"a:2"}), None, frozenset({"a:3"}),
    ]  # fmt: skip
    assert "exit code 3" in found[1].problem
    assert "nothing was heard" in found[3].problem


async def test_the_child_goes_with_the_watch(tmp_path: Path) -> None:
    pid = tmp_path / "pid"
    then = f"import os, pathlib; pathlib.Path({str(pid)!r}).write_text(str(os.getpid())); print('7', flush=True)"
    names = child(then=f"{then}; time.sleep(60)")
    await told(names, 1)
    with pytest.raises(ProcessLookupError):
        os.kill(int(pid.read_text()), 0)


async def test_without_a_cluster_the_real_child_says_so() -> None:
    """Nobody listens there."""
    names = RayNames((sys.executable, "-m", ASKS_RAY, "127.0.0.1:1", "trivet", "1"), 1.0)
    async with asyncio.timeout(60), aclosing(names.watch()) as watch:
        found = await anext(watch)
    assert found.known is None
    assert "ConnectionError: nobody answers at 127.0.0.1:1" in found.problem
