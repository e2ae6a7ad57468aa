"""One answer on a real event loop, through the server's own reader: how long the parser holds the loop up."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass

from trivet.backends.answers.parser import AnswerParser, Parsed
from trivet.backends.answers.reader import AnswerReader

TOGETHER, PACE = 4, 0.001  # tokens at a time, and seconds from one time to the next
TICK = 0.001


@dataclass(frozen=True, slots=True)
class Held:
    """In seconds. `longest`: of the loop's own processor time for one piece; `gap`: how much later than it asked for a
    timer was served at worst, on the clock; `in_thread`: whether it went on in a thread."""

    longest: float
    gap: float
    in_thread: bool
    given_up: bool


def held(parser: AnswerParser, pieces: Sequence[tuple[str, int]]) -> Held:
    """`pieces` of an answer: texts, and the ids of their tokens."""
    return asyncio.run(_held(parser, pieces))


async def _held(parser: AnswerParser, pieces: Sequence[tuple[str, int]]) -> Held:
    loop, ended = asyncio.get_running_loop(), asyncio.Event()

    def found(_: Parsed, last: bool) -> None:
        if last:
            ended.set()

    reader = AnswerReader(parser, loop, found)
    gaps: list[float] = [0.0]
    ticking = asyncio.create_task(_tick(gaps))
    longest = 0.0
    for start in range(0, len(pieces), TOGETHER):
        some = pieces[start : start + TOGETHER]
        before = time.thread_time()
        reader.feed("".join(text for text, _ in some), [token for _, token in some], start + TOGETHER >= len(pieces))
        longest = max(longest, time.thread_time() - before)
        await asyncio.sleep(PACE)
    await ended.wait()
    ticking.cancel()
    return Held(longest, max(gaps), parser.slow, parser.given_up)


async def _tick(gaps: list[float]) -> None:
    while True:
        before = time.perf_counter()
        await asyncio.sleep(TICK)
        gaps.append(time.perf_counter() - before - TICK)
