"""What answers are compared by, thoughts taken out while they come, and several answers drawn as one."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trivet.errors import BackendUnavailable
from trivet.pipeline.reasoning.reasoned import reasoned
from trivet.pipeline.reasoning.samples import Samples
from trivet.pipeline.reasoning.thought import ThoughtSplitter
from trivet.pipeline.reasoning.votes import majority, value_of
from trivet.types.generation import BackendRequest, Chunk, FinishReason, MachineCharge
from trivet.types.request import Tool
from trivet.types.variant import AgreeOn, Reasoning, Sampling, SelfConsistency, ThoughtMarks

MARKS = ThoughtMarks("<thinking>", "</thinking>")
TEXT = SelfConsistency(3)


@pytest.mark.parametrize(
    ("text", "settings", "value"),
    [
        ("  The  Answer. ", TEXT, "the answer"),
        ("", TEXT, None),
        ("3 and 4 make 1,007.50", SelfConsistency(3, AgreeOn.NUMBER), "1007.5"),
        ("it is -0.0", SelfConsistency(3, AgreeOn.NUMBER), "0"),
        ("none", SelfConsistency(3, AgreeOn.NUMBER), None),
        ('{"answer": "12 Grams", "found": true}', SelfConsistency(3, AgreeOn.JSON, "answer"), "12 grams"),
        ('{"b": 1, "a": [2]}', SelfConsistency(3, AgreeOn.JSON), '{"a": [2], "b": 1}'),
        ('{"other": 1}', SelfConsistency(3, AgreeOn.JSON, "answer"), None),
        ("[1]", SelfConsistency(3, AgreeOn.JSON, "answer"), None),
        ("not json", SelfConsistency(3, AgreeOn.JSON, "answer"), None),
        ("[" * 50_000, SelfConsistency(3, AgreeOn.JSON), None),
        ("Billing.", SelfConsistency(3, AgreeOn.LABEL, labels=("billing", "login")), "billing"),
        ("billing or login", SelfConsistency(3, AgreeOn.LABEL, labels=("billing", "login")), None),
    ],
)
def test_what_an_answer_votes_for(text: str, settings: SelfConsistency, value: str | None) -> None:
    assert value_of(text, settings) == value


def test_most_votes_win_and_the_first_of_equals() -> None:
    for values, place, share in (("abb", 1, 2 / 3), ("ab-", 0, 1 / 3), ("-baab", 1, 2 / 5)):
        found = majority([None if value == "-" else value for value in values])
        assert found[0] == place
        assert found[1] == pytest.approx(share)
    assert majority([None, None]) == (0, 0.0)


@pytest.mark.parametrize(
    ("answer", "text", "thought"),
    [
        ("<thinking>3 + 4</thinking>\n\n7", "7", "3 + 4"),
        ("7", "7", ""),
        ("  <thinking>never ends", "", "never ends"),
        ("a <thinking>b</thinking> c", "a  c", "b"),
        ("a < b and <think> is no mark", "a < b and <think> is no mark", ""),
        ("<thinking>a <thinking> b</thinking>c", "c", "a <thinking> b"),
        ("ends with <thin", "ends with <thin", ""),
        ("<thinking></thinking>x", "x", ""),
    ],
)
@pytest.mark.parametrize("size", [1, 3, 100])
def test_thoughts_are_never_in_the_text(answer: str, text: str, thought: str, size: int) -> None:
    assert split(answer, size) == (text, thought)


@given(st.text(alphabet="<>/thinkg a", max_size=60), st.integers(1, 7))
def test_how_a_text_is_cut_makes_no_difference(answer: str, size: int) -> None:
    assert split(answer, size) == split(answer, 1000)


def split(answer: str, size: int) -> tuple[str, str]:
    splitter = ThoughtSplitter(MARKS)
    pieces = [splitter.add(answer[place : place + size]) for place in range(0, len(answer), size)]
    pieces.append(splitter.end())
    return "".join(text for text, _ in pieces), "".join(thought for _, thought in pieces)


@dataclass
class Engine:
    """Says one text for each request, by its number, a word a chunk; 10 tokens go in."""

    texts: Sequence[str]
    requests: list[BackendRequest] = field(default_factory=list)
    closed: int = 0
    hold: asyncio.Event | None = None
    fail: bool = False

    async def generate(self, request: BackendRequest) -> AsyncGenerator[Chunk, None]:
        number = len(self.requests)
        self.requests.append(request)
        try:
            words = self.texts[number].split(" ")
            for place, word in enumerate(words):
                await asyncio.sleep(0)
                if self.fail and number == 1:
                    raise BackendUnavailable("it died", retry_after=1.0)
                text = word if place == 0 else f" {word}"
                yield Chunk(text, 1, float(place), input_tokens=10 if place == 0 else None, cached_tokens=4)
                if self.hold is not None:
                    await self.hold.wait()
            yield Chunk("", 0, 9.0, FinishReason.STOP, reasoning_tokens=2)
        finally:
            self.closed += 1
            request.on_charge(MachineCharge(100, 10))


@dataclass
class Told:
    agreements: list[float] = field(default_factory=list)
    unread: list[Chunk] = field(default_factory=list)
    charges: list[MachineCharge] = field(default_factory=list)

    def request(self, **changes: object) -> BackendRequest:
        fields: dict[str, object] = {
            "request_id": "q", "token_ids": (1, 2), "sampling": Sampling(temperature=0.7, seed=5),
            "on_unread": self.unread.append, "on_charge": self.charges.append,
        }  # fmt: skip
        return BackendRequest(**{**fields, **changes})  # type: ignore[arg-type]


async def drawn(engine: Engine, told: Told, reasoning: Reasoning, **changes: object) -> list[Chunk]:
    answer = reasoned(engine.generate, told.request(**changes), reasoning, told.agreements.append)
    async with aclosing(answer) as chunks:
        return [chunk async for chunk in chunks]


async def test_the_answer_of_the_majority_with_the_tokens_of_all() -> None:
    engine, told = Engine(["it is 7", "7", "it is 8"]), Told()
    settings = SelfConsistency(3, AgreeOn.NUMBER)
    chunks = await drawn(engine, told, Reasoning(settings))
    assert "".join(chunk.text for chunk in chunks) == "it is 7"
    assert sum(chunk.tokens for chunk in chunks) == 7
    assert (chunks[-1].input_tokens, chunks[-1].cached_tokens, chunks[-1].reasoning_tokens) == (30, 12, 6)
    assert chunks[-1].finish is FinishReason.STOP
    assert told.agreements == [pytest.approx(2 / 3)]
    assert told.charges[-1] == MachineCharge(300, 30)
    assert told.unread == []
    assert [request.sampling.seed for request in engine.requests] == [5, 6, 7]
    assert len({request.request_id for request in engine.requests}) == 3


async def test_the_first_token_is_told_when_it_comes() -> None:
    engine, told = Engine(["a", "a", "b"], hold=asyncio.Event()), Told()
    answer = Samples(engine.generate, told.request(), TEXT, told.agreements.append).run()
    first = await anext(answer)
    assert (first.text, first.tokens > 0) == ("", True)
    assert engine.hold is not None
    engine.hold.set()
    rest = [chunk async for chunk in answer]
    assert "".join(chunk.text for chunk in rest) == "a"
    assert first.tokens + sum(chunk.tokens for chunk in rest) == 3


async def test_who_leaves_stops_all_of_them_and_pays_for_what_they_said() -> None:
    engine, told = Engine(["a b", "a c", "d"], hold=asyncio.Event()), Told()
    answer = Samples(engine.generate, told.request(), TEXT, told.agreements.append).run()
    first = await anext(answer)
    await answer.aclose()
    assert engine.closed == 3
    assert first.tokens + sum(chunk.tokens for chunk in told.unread) == 3
    assert told.unread[-1].input_tokens == 30
    assert told.agreements == []


async def test_who_is_cancelled_leaves_nothing_running() -> None:
    engine, told = Engine(["a b", "a c", "d"], hold=asyncio.Event()), Told()
    task = asyncio.create_task(drawn(engine, told, Reasoning(TEXT)))
    while len(engine.requests) < 3:
        await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert engine.closed == 3
    assert not [other for other in asyncio.all_tasks() if other is not asyncio.current_task()]


async def test_one_that_fails_fails_all() -> None:
    engine, told = Engine(["a b c", "a", "d e f"], fail=True), Told()
    with pytest.raises(BackendUnavailable):
        await drawn(engine, told, Reasoning(TEXT))
    assert engine.closed == 3
    assert told.agreements == []


async def test_thoughts_do_not_vote() -> None:
    texts = [f"<thinking>{thought}</thinking> {said}" for thought, said in (("a", "7"), ("b", "8"), ("c", "8"))]
    engine, told = Engine(texts), Told()
    chunks = await drawn(engine, told, Reasoning(TEXT, MARKS))
    assert "".join(chunk.text for chunk in chunks) == "8"
    assert "".join(chunk.reasoning for chunk in chunks) == "b"


async def test_calls_of_tools_are_not_compared() -> None:
    engine, told = Engine(["a"]), Told()
    await drawn(engine, told, Reasoning(TEXT), tools=(Tool("look"),))
    assert len(engine.requests) == 1
    assert told.agreements == []
