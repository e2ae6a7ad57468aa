"""How much of the event loop's time a parser of answers gets."""

from __future__ import annotations

import asyncio
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace
from typing import Any
from weakref import WeakSet

import pytest

from trivet.backends.answers.coalescing import Coalescer
from trivet.backends.answers.pacer import Pacer
from trivet.backends.answers.pacing import LONGEST, SLOW, Pacing
from trivet.backends.answers.parser import AnswerParser, AnswerParsers, Parsed
from trivet.backends.answers.reader import AnswerReader
from trivet.types.generation import BackendRequest, FinishReason
from trivet.types.request import Tool
from trivet.types.variant import Sampling, StreamPace

ASKED: Any = SimpleNamespace(model_copy=lambda: None)


class Again:
    """A parser that reads all that was written again at each piece, as many do: `cost` seconds for each token."""

    def __init__(self, cost: float) -> None:
        self.now = self.spent = 0.0
        self.pieces = self._read = 0
        self._cost = cost

    def adjust_request(self, asked: Any) -> Any:
        return SimpleNamespace(skip_special_tokens=True)

    def count_reasoning_tokens(self, ids: list[int]) -> int:
        return len(ids)

    def parse_delta(self, text: str, ids: list[int], asked: Any, prompt: list[int], *, finished: bool) -> Any:
        assert len(text) == len(ids)
        self._read += len(ids)
        self.pieces += 1
        self.now += self._read * self._cost
        self.spent += self._read * self._cost
        return SimpleNamespace(content=text, reasoning="", tool_calls=())


def feed(parser: AnswerParser, text: str, ids: list[int], finished: bool) -> Parsed:
    """A piece, if it is due, in this thread."""
    piece = parser.due(text, ids, finished)
    if piece is None:
        return Parsed()
    found = parser.read(piece, finished)
    parser.settle()
    return found


def parsed(parser: Again, tokens: int, pace: float = 0.01) -> str:
    """An answer of one letter for each token; what is said of it."""
    asked = SimpleNamespace(model_copy=lambda: None)
    made = AnswerParser(parser, asked, (), pacing=Pacing(lambda: parser.now, lambda: parser.spent))
    said = []
    for position in range(tokens):
        parser.now += pace
        said.append(feed(made, chr(97 + position % 26), [position], position == tokens - 1).text)
    return "".join(said)


def test_one_that_reads_everything_again_gets_a_tenth_of_the_time() -> None:
    quick, slow = Again(1e-7), Again(1e-5)
    whole = "".join(chr(97 + position % 26) for position in range(8000))
    assert parsed(quick, 8000) == parsed(slow, 8000) == whole
    assert quick.pieces == 8000
    assert slow.pieces < 2500
    assert slow.spent < 0.11 * slow.now
    assert slow.spent < 0.2 * 8000 * 8000 * 1e-5 / 2, "what it would have taken piece by piece"


def test_its_work_grows_with_the_answer_and_not_with_its_square() -> None:
    spent = []
    for tokens in (4000, 8000, 16000):
        parser = Again(1e-5)
        parsed(parser, tokens)
        spent.append(parser.spent)
    assert spent[2] / spent[1] < 2.5


class Thinking(Again):
    """One that takes all for thoughts, and fails at piece `last`, if it is told one."""

    last = 0

    def parse_delta(self, text: str, ids: list[int], asked: Any, prompt: list[int], *, finished: bool) -> Any:
        found = super().parse_delta(text, ids, asked, prompt, finished=finished)
        if self.pieces == self.last:
            raise ValueError("what is this?")
        return SimpleNamespace(content="", reasoning=text, tool_calls=found.tool_calls)


def thought(parser: Thinking) -> tuple[int, int | None]:
    """Of an answer of 100 letters: how many were told as thoughts, and how many count as such."""
    made = AnswerParser(
        parser,
        SimpleNamespace(model_copy=lambda: None),
        (),
        pacing=Pacing(lambda: parser.now, lambda: parser.spent),
    )
    told = 0
    for position in range(100):
        parser.now += 10
        told += len(feed(made, "x", [position], position == 99).thought)
    return told, made.reasoning_tokens


def test_thoughts_before_a_parser_is_given_up_still_count() -> None:
    for parser in (Thinking(LONGEST / 50), Thinking(0.0)):
        parser.last = 0 if parser.spent else 31
        told, counted = thought(parser)
        assert 20 < told < 100
        assert counted == told
    assert thought(Thinking(0.0)) == (100, 100)


def test_one_that_takes_too_long_for_a_piece_is_not_asked_again() -> None:
    parser = Again(LONGEST / 50)
    assert parsed(parser, 500, pace=10) == "".join(chr(97 + position % 26) for position in range(500))
    assert parser.pieces < 60


def test_many_answers_get_a_quarter_of_the_time_together() -> None:
    """Each parser takes half a millisecond for a piece, too little for a rest of its own: 32 would take 1.6 seconds of
    each second."""
    now, spent, harmful = 0.0, 0.0, WeakSet[Pacing]()
    made, pacings, looks = [], [], [0] * 32
    for _ in range(32):
        pacings.append(Pacing(lambda: now, lambda: spent, harmful))
        made.append(AnswerParser(Again(0.0), ASKED, (), pacing=pacings[-1]))
    for position in range(2000):
        now += 0.01
        for number, answer in enumerate(made):
            piece = answer.due("x", [position], position == 1999)
            if piece is not None:
                answer.read(piece, position == 1999)
                looks[number] += 1
                spent += 0.0005
                pacings[number].looked(0.0005)
    assert [answer.reasoning_tokens for answer in made] == [2000] * 32
    assert 0.15 * now < spent < 0.25 * now
    assert max(looks) - min(looks) <= 2, "each in its turn"


class Busy(Again):
    """Takes `SLOW` and more of a processor for a piece, from the 10th on, and says in which thread."""

    def __init__(self) -> None:
        super().__init__(0.0)
        self.threads: list[int] = []
        self.longest = 0.0

    def parse_delta(self, text: str, ids: list[int], asked: Any, prompt: list[int], *, finished: bool) -> Any:
        self.threads.append(threading.get_ident())
        begin = time.thread_time()
        while len(self.threads) >= 10 and time.thread_time() - begin < 2 * SLOW:
            pass
        return super().parse_delta(text, ids, asked, prompt, finished=finished)


@pytest.mark.parametrize("pieces", [10, 11, 12, 300])
async def test_a_slow_one_runs_in_a_thread_and_nothing_is_lost(pieces: int) -> None:
    loop, parser = asyncio.get_running_loop(), Busy()
    told: list[str] = []
    ended = asyncio.Event()

    def found(parsed: Parsed, last: bool) -> None:
        assert threading.get_ident() == here
        told.append(parsed.text)
        if last:
            ended.set()

    here = threading.get_ident()
    with ThreadPoolExecutor(1) as pool:
        made = AnswerParser(parser, ASKED, (), pool=pool)
        reader = AnswerReader(made, loop, found)
        for position in range(pieces):
            reader.feed(chr(97 + position % 26), [position], position == pieces - 1)
            await asyncio.sleep(0.0002)
        await asyncio.wait_for(ended.wait(), 10)
    assert "".join(told) == "".join(chr(97 + position % 26) for position in range(pieces))
    assert parser.threads[:10] == [here] * 10
    assert here not in parser.threads[10:]
    assert made.reasoning_tokens == pieces


async def test_an_answer_ends_when_its_last_piece_is_taken_apart() -> None:
    """Whose reader is told of all of it, and that its parser was given up."""
    loop, parser = asyncio.get_running_loop(), Busy()
    with ThreadPoolExecutor(1) as pool:
        made = AnswerParser(parser, ASKED, (), pool=pool)
        made.slow = True
        coalescer = Coalescer(loop, Pacer(), StreamPace(4, 5.0), 50, made)
        for position in range(20):
            end = "stop" if position == 19 else None
            completion = SimpleNamespace(text="x", token_ids=[position], finish_reason=end)
            coalescer.put(SimpleNamespace(outputs=[completion], num_cached_tokens=0, metrics=None))
            if position == 5:
                await asyncio.sleep(0.05)
                made.given_up = True
        chunks = []
        while not coalescer.finished:
            chunks.append(await asyncio.wait_for(coalescer.get(), 10))
    assert "".join(chunk.text for chunk in chunks) == "x" * 20
    assert sum(chunk.tokens for chunk in chunks) == 20
    assert [chunk.parser_gave_up for chunk in chunks] == [False] * (len(chunks) - 1) + [True]
    assert chunks[-1].finish is FinishReason.STOP


@pytest.mark.parametrize(("size", "on_loop"), [(4_000, True), (8_000, False)])
async def test_a_parser_for_large_tools_is_made_in_a_thread(
    size: int, on_loop: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    parsers = AnswerParsers(None, None, None, None)
    where: list[int] = []
    monkeypatch.setattr(parsers, "parser_for", lambda _: where.append(threading.get_ident()))
    tools = (Tool("one", size=size), Tool("other", size=size))
    await parsers.made_for(BackendRequest("1", (1, 2), Sampling(), tools=tools))
    assert (where == [threading.get_ident()]) is on_loop
