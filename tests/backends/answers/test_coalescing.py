"""Output coalescing: first token at once, then some tokens or some time, nothing lost."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field

import pytest

from trivet.backends.answers.coalescing import Coalescer
from trivet.backends.answers.pacer import MANY, Pacer
from trivet.errors import GenerationFailed
from trivet.types.generation import Chunk, EngineTimes, FinishReason
from trivet.types.variant import StreamPace

SECONDS = 0.05
LONG = 30.0  # so that what does not wait for the bound is told from what does


@dataclass
class Completion:
    """The part of vLLM's `CompletionOutput` that counts."""

    text: str
    token_ids: list[int]
    finish_reason: str | None = None


@dataclass
class Stats:
    """The part of vLLM's `RequestStateStats` that counts."""

    queued_ts: float = 100.0
    scheduled_ts: float = 100.5
    first_token_ts: float = 0.0
    last_token_ts: float = 0.0
    num_preemptions: int = 0


@dataclass
class Output:
    """The part of vLLM's `RequestOutput` that counts."""

    outputs: list[Completion] = field(default_factory=list)
    num_cached_tokens: int = 32
    metrics: Stats | None = None


def delta(text: str, finish: str | None = None) -> Output:
    return Output([Completion(text, [7], finish)])


def one_of_many(seconds: float) -> Coalescer:
    pacer = Pacer()
    for _ in range(MANY):
        pacer.enter()
    return Coalescer(asyncio.get_running_loop(), pacer, StreamPace(4, 1000 * seconds), 50)


@pytest.fixture
async def coalescer() -> Coalescer:
    """Of one of many streams."""
    return one_of_many(SECONDS)


@pytest.fixture
async def patient() -> Coalescer:
    """One whose bound of time no test reaches."""
    return one_of_many(LONG)


async def test_first_token_alone_then_four(patient: Coalescer) -> None:
    patient.put(delta("a"))
    first = await patient.get()
    assert (first.text, first.tokens, first.input_tokens, first.cached_tokens) == ("a", 1, 50, 32)
    for letter in "bcde":
        patient.put(delta(letter))
    started = time.monotonic()
    chunk = await patient.get()
    assert time.monotonic() - started < LONG / 2
    assert (chunk.text, chunk.tokens, chunk.input_tokens, chunk.finish) == ("bcde", 4, None, None)
    assert not patient.finished


async def test_fewer_wait_for_the_time_bound_alone(coalescer: Coalescer) -> None:
    coalescer.put(delta("a"))
    await coalescer.get()
    started = time.monotonic()
    coalescer.put(delta("b"))
    chunk = await coalescer.get()
    assert chunk.text == "b"
    assert time.monotonic() - started > SECONDS * 0.8


async def test_slow_tokens_do_not_wait(patient: Coalescer) -> None:
    """A token that comes later than the bound after the last chunk goes out at once."""
    patient.put(delta("a"))
    await patient.get()
    patient.delivered_at -= LONG * 1.5
    patient.put(delta("b"))
    started = time.monotonic()
    assert (await patient.get()).text == "b"
    assert time.monotonic() - started < LONG / 2


async def test_reader_that_waits_is_woken(coalescer: Coalescer) -> None:
    reader = asyncio.create_task(coalescer.get())
    await asyncio.sleep(0)
    coalescer.put(delta("a"))
    assert (await reader).text == "a"


async def test_end_comes_at_once(patient: Coalescer) -> None:
    patient.put(delta("a"))
    await patient.get()
    patient.put(delta("b"))
    patient.put(delta("c", "stop"))
    started = time.monotonic()
    chunk = await patient.get()
    assert time.monotonic() - started < LONG / 2
    assert (chunk.text, chunk.tokens, chunk.finish) == ("bc", 2, FinishReason.STOP)
    assert patient.finished


async def test_reader_that_stalls_gets_one_chunk(coalescer: Coalescer) -> None:
    for _ in range(1000):
        coalescer.put(delta("x"))
    coalescer.put(delta("y", "length"))
    chunk = await coalescer.get()
    assert (chunk.text, chunk.tokens, chunk.finish) == ("x" * 1000 + "y", 1001, FinishReason.LENGTH)


async def test_tokens_before_a_failure_are_delivered(coalescer: Coalescer) -> None:
    coalescer.put(delta("a"))
    await coalescer.get()
    coalescer.put(delta("b"))
    coalescer.put(RuntimeError("dead"))
    coalescer.put(RuntimeError("dead again"))
    assert (await coalescer.get()).text == "b"
    with pytest.raises(RuntimeError, match=r"^dead$"):
        await coalescer.get()
    assert coalescer.finished


@pytest.mark.parametrize(("reason", "finish"), [("stop", FinishReason.STOP), ("length", FinishReason.LENGTH)])
async def test_ends_of_an_answer(coalescer: Coalescer, reason: str, finish: FinishReason) -> None:
    coalescer.put(delta("", reason))
    assert (await coalescer.get()).finish is finish


@pytest.mark.parametrize("reason", ["repetition", "abort", "error", "new in a later version"])
async def test_any_other_end_is_a_failure_after_the_tokens_before_it(coalescer: Coalescer, reason: str) -> None:
    coalescer.put(delta("a"))
    coalescer.put(delta("b", reason))
    chunk = await coalescer.get()
    assert (chunk.text, chunk.tokens, chunk.finish) == ("ab", 2, None)
    with pytest.raises(GenerationFailed, match=reason):
        await coalescer.get()
    assert coalescer.finished


async def test_the_prompt_is_known_with_the_first_token_alone(coalescer: Coalescer) -> None:
    coalescer.put(Output([Completion("", [], "error")]))
    assert coalescer.unread() is None
    with pytest.raises(GenerationFailed):
        await coalescer.get()


async def test_what_nobody_fetched_is_there_for_who_leaves(coalescer: Coalescer) -> None:
    coalescer.put(delta("a"))
    coalescer.put(delta("b"))
    chunk = coalescer.unread()
    assert chunk is not None
    assert (chunk.tokens, chunk.input_tokens, chunk.cached_tokens) == (2, 50, 32)
    assert coalescer.unread() is None


async def test_nothing_is_lost_at_any_pace(coalescer: Coalescer) -> None:
    letters = "abcdefghijklmnopqrstuvwxyz" * 4
    chunks: list[Chunk] = []

    async def read() -> None:
        while not coalescer.finished:
            chunks.append(await coalescer.get())
            await asyncio.sleep(0.003 * (len(chunks) % 3))

    reader = asyncio.create_task(read())
    for index, letter in enumerate(letters):
        coalescer.put(delta(letter, "length" if index == len(letters) - 1 else None))
        await asyncio.sleep(0.002 * (index % 2))
    await reader
    assert "".join(chunk.text for chunk in chunks) == letters
    assert sum(chunk.tokens for chunk in chunks) == len(letters)


async def test_the_engines_times_come_with_its_tokens(coalescer: Coalescer) -> None:
    stats = Stats(first_token_ts=102.5, last_token_ts=102.5)
    coalescer.waited = 0.25
    coalescer.put(Output([Completion("a", [7])], metrics=stats))
    assert (await coalescer.get()).times == EngineTimes(queue=0.75, prefill=2.0, decode=0.0, preemptions=0)
    stats.last_token_ts, stats.num_preemptions = 104.5, 2
    coalescer.put(Output([Completion("b", [7], "stop")], metrics=stats))
    assert (await coalescer.get()).times == EngineTimes(queue=0.75, prefill=2.0, decode=2.0, preemptions=2)


@pytest.mark.parametrize(
    ("queued", "handed_over", "seconds"),
    [
        (-2.0, -2.5, 1.5),  # the engine had a step to end before it took the request up
        (-2.0, -1.5, 1.0),  # it was quicker than the hand-over's own end
        (-2.0, None, 1.0),
        (5000.0, -2.5, 1.0),  # another machine's clock
    ],
)
async def test_the_queue_begins_with_the_hand_over(
    coalescer: Coalescer, queued: float, handed_over: float | None, seconds: float
) -> None:
    now = time.monotonic()
    times = now + queued, now + queued + 1, now + queued + 2
    coalescer.handed_over = None if handed_over is None else now + handed_over
    coalescer.put(Output([Completion("a", [7])], metrics=Stats(*times, times[-1])))
    found = (await coalescer.get()).times
    assert found is not None
    assert found.queue == pytest.approx(seconds)


@pytest.mark.parametrize("stats", [None, Stats()])
async def test_what_the_engine_does_not_count_is_not_told(coalescer: Coalescer, stats: Stats | None) -> None:
    coalescer.put(Output([Completion("a", [7])], metrics=stats))
    assert (await coalescer.get()).times is None
