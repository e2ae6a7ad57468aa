"""What a gateway keeps of its answers: drawn, redacted, bounded, kept while the store is away, and erased for good."""

from __future__ import annotations

import asyncio
import random
import weakref
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.support.request_logs import receipt
from trivet.errors import InvalidRequest, StateUnavailable
from trivet.interactions import recorder as recorder_module
from trivet.interactions.archive import InteractionArchive, KeptInteraction
from trivet.interactions.contents import MAX_CHARACTERS
from trivet.interactions.recorder import InteractionRecorder
from trivet.interactions.redaction import Redactor
from trivet.interactions.sealing import Sealer
from trivet.interactions.store import MOST_BYTES
from trivet.stores.state import StateStore
from trivet.stores.state.bounds import INTERACTION_BYTES
from trivet.types.answer import Answer, Choice
from trivet.types.generation import FinishReason, Logprob, RequestedCall, TokenLogprob
from trivet.types.interaction import InteractionFilter
from trivet.types.passage import Passage
from trivet.types.request import GenerateCall, Message
from trivet.types.rollout_state import Feedback

WANTED = InteractionFilter("acme")


def call(
    request_id: str, text: str = "hello", tenant: str = "acme", unit: str = "u1", route: str = "r"
) -> GenerateCall:
    return GenerateCall(request_id, tenant, route, (Message("user", text),), 0.0, unit_id=unit)


def answer(text: str = "hi") -> Answer:
    return Answer((Choice(text, FinishReason.STOP),), (), receipt(variant="stable"))


def contents(folder: Path) -> list[bytes]:
    return [path.read_bytes() for path in folder.iterdir()]


@dataclass
class Log:
    store: StateStore
    recorder: InteractionRecorder
    archive: InteractionArchive
    counts: Counter[str] = field(default_factory=Counter)

    async def kept(self, wanted: InteractionFilter = WANTED, most: int = 0) -> list[KeptInteraction]:
        async with aclosing(self.archive.read(wanted, most)) as found:
            return [one async for one in found]

    async def ids(self, wanted: InteractionFilter = WANTED, most: int = 0) -> list[str]:
        return [one.interaction.request_id for one in await self.kept(wanted, most)]


@asynccontextmanager
async def log(
    path: Path, *, hook: Any = None, share: float = 1.0, draw: Any = None, keys: Sequence[bytes] = (b"k" * 32,)
) -> AsyncIterator[Log]:
    store = StateStore.open(path / "state.sqlite")
    counts: Counter[str] = Counter()
    redactor, sealer = Redactor(["email"], hook), Sealer(keys)
    recorder = InteractionRecorder(
        store,
        lambda route: share if route == "r" else 0.0,
        redactor=redactor,
        sealer=sealer,
        receipt_form=lambda receipt: {"variant": receipt.variant},
        keep_seconds=1000.0,
        count=lambda outcome, number: counts.update({outcome: number}),
        **({} if draw is None else {"draw": draw}),
    )
    try:
        yield Log(store, recorder, InteractionArchive(store, redactor, sealer, recorder.flush), counts)
    finally:
        await recorder.close()
        store.close()


async def test_what_was_answered_is_kept_redacted_with_what_was_said_of_it(tmp_path: Path) -> None:
    async with log(tmp_path) as kept:
        kept.recorder.offer(call("1", "I am jane@example.org"), answer("Write to joe@example.org"))
        kept.recorder.offer(call("2", route="other"), answer())
        await kept.store.add_feedback(Feedback("acme", "1", 0.2, corrected_text="ask ann@example.org", comment="no"))
        [one] = await kept.kept()
    assert one.interaction.messages == ({"role": "user", "content": "I am [email]"},)
    assert (one.interaction.answer, one.interaction.variant) == ("Write to [email]", "stable")
    assert one.feedback is not None
    assert (one.feedback.score, one.feedback.corrected_text, one.feedback.comment) == (0.2, "ask [email]", "no")
    assert kept.counts == {"stored": 1}
    assert not any(b"I am" in content for content in contents(tmp_path))


async def test_only_the_drawn_share_is_kept(tmp_path: Path) -> None:
    draws = iter([0.0, 0.29, 0.3, 0.9])
    async with log(tmp_path, share=0.3, draw=lambda: next(draws)) as kept:
        for number in range(4):
            kept.recorder.offer(call(str(number)), answer())
        assert await kept.ids() == ["0", "1"]


async def test_one_that_is_too_large_or_cannot_be_redacted_is_not_kept(tmp_path: Path) -> None:
    def hook(text: str) -> str:
        if text == "fail":
            raise ValueError("no")
        return text

    async with log(tmp_path, hook=hook) as kept:
        kept.recorder.offer(call("large", "x" * (MAX_CHARACTERS + 1)), answer())
        kept.recorder.offer(call("bad", "fail"), answer())
        kept.recorder.offer(call("good"), answer())
        assert await kept.ids() == ["good"]
    assert kept.counts == {"too_large": 1, "failed": 1, "stored": 1}


class Away:
    """A store that cannot be reached until it can."""

    def __init__(self, store: StateStore) -> None:
        self.away = True
        self._store = store

    async def add_interactions(self, *arguments: Any) -> int:
        if self.away:
            raise StateUnavailable("away")
        return await self._store.add_interactions(*arguments)

    async def forget_interactions(self, keep_seconds: float) -> int:
        return await self._store.forget_interactions(keep_seconds)


async def test_they_wait_while_the_store_is_away_and_what_finds_no_room_is_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recorder_module, "_AGAIN", 0.01)
    monkeypatch.setattr(recorder_module, "MOST_CHARACTERS", 3 * 4500)  # 4,096 are counted beside each one's texts
    async with log(tmp_path) as kept:
        away = Away(kept.store)
        kept.recorder._store = away  # type: ignore[assignment]
        kept.recorder.start()
        for number in range(4):
            kept.recorder.offer(call(str(number), "x" * 300), answer())
        await asyncio.sleep(0.05)
        assert kept.counts == {"lost": 1}
        away.away = False
        async with asyncio.timeout(60):
            while kept.counts["stored"] < 3:
                await asyncio.sleep(0.01)
        assert await kept.ids() == ["0", "1", "2"]


async def test_nothing_waits_but_what_is_kept(tmp_path: Path) -> None:
    class Large(str):
        """A text that can be watched."""

    texts = [Large("passage"), Large("second choice"), Large("thought"), Large("token")]
    gone = [weakref.ref(text) for text in texts]
    found = Passage("p", "d", "", texts[0], 0.5, 1)
    choices = (
        Choice("hi", FinishReason.STOP, texts[2], logprobs=(TokenLogprob(Logprob(texts[3], 0.0)),)),
        Choice(texts[1], FinishReason.STOP),
    )
    async with log(tmp_path) as kept:
        kept.recorder.offer(call("1"), Answer(choices, (found,), receipt(variant="stable")))
        del texts, found, choices
        assert [reference() for reference in gone] == [None] * 4
        [one] = await kept.kept()
    assert (one.interaction.answer, one.interaction.receipt) == ("hi", {"variant": "stable"})


async def test_the_empty_ones_that_wait_are_bounded_too(tmp_path: Path) -> None:
    async with log(tmp_path) as kept:
        for number in range(5000):
            kept.recorder.offer(call(str(number), ""), answer(""))
        assert kept.counts == {"lost": 5000 - 4096}
        kept.recorder._waiting.clear()


async def test_calls_count_for_the_size(tmp_path: Path) -> None:
    wanted = RequestedCall("f", "x" * MAX_CHARACTERS)
    async with log(tmp_path) as kept:
        choice = Choice("", FinishReason.STOP, tool_calls=(wanted,))
        kept.recorder.offer(call("1"), Answer((choice,), (), receipt()))
    assert kept.counts == {"too_large": 1}


async def test_one_that_the_store_refuses_takes_no_other_with_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert MOST_BYTES == INTERACTION_BYTES
    monkeypatch.setattr(recorder_module, "MOST_BYTES", 2000)
    scattered = random.Random(1).randbytes(4000).hex()
    async with log(tmp_path) as kept:
        kept.recorder.offer(call("1"), answer())
        kept.recorder.offer(call("x" * 200), answer())
        kept.recorder.offer(call("large", scattered), answer())
        kept.recorder.offer(call("1"), answer())
        kept.recorder.offer(call("2"), answer())
        assert await kept.ids() == ["1", "2"]
    assert kept.counts == {"stored": 2, "repeated": 1, "failed": 1, "too_large": 1}


async def test_a_stop_hands_over_what_waits(tmp_path: Path) -> None:
    async with log(tmp_path) as kept:
        for number in range(200):
            kept.recorder.offer(call(str(number)), answer())
    store = StateStore.open(tmp_path / "state.sqlite")
    assert len(await store.interactions(WANTED, limit=1000)) == 200
    store.close()


async def test_tenants_are_apart_and_pages_are_whole(tmp_path: Path) -> None:
    async with log(tmp_path) as kept:
        for number in range(250):
            kept.recorder.offer(call(str(number), tenant="acme" if number % 2 else "other"), answer())
        assert await kept.ids() == [str(number) for number in range(1, 250, 2)]
        assert await kept.ids(most=110) == [str(number) for number in range(1, 220, 2)]
        assert await kept.ids(InteractionFilter("third")) == []


async def erase(kept: Log, units: Sequence[str] = (), requests: Sequence[str] = (), everything: bool = False) -> int:
    return await kept.archive.erase("acme", units, requests, everything=everything)


async def test_a_units_right_to_be_forgotten_reaches_what_is_on_its_way(tmp_path: Path) -> None:
    async with log(tmp_path) as kept:
        kept.recorder.offer(call("1", unit="u1"), answer())
        kept.recorder.offer(call("2", unit="u2"), answer())
        kept.recorder.offer(call("3", unit="u1", tenant="other"), answer())
        await kept.store.add_feedback(Feedback("acme", "1", 1.0))
        await kept.recorder.flush()
        kept.recorder.offer(call("4", unit="u1"), answer())  # waits
        assert await erase(kept, units=["u1"]) == 1
        assert await kept.ids() == ["2"]  # with what waited
        assert await kept.store.feedback("acme", "1") is None
        assert await kept.ids(InteractionFilter("other")) == ["3"]
        await asyncio.sleep(0.01)
        kept.recorder.offer(call("5", unit="u1"), answer())  # said afterwards
        assert await kept.ids() == ["2", "5"]
        assert await erase(kept, requests=["2"]) == 1
        kept.recorder.offer(call("6"), answer())
        assert await erase(kept, everything=True) == 1
        assert await kept.ids() == []
        for nothing in ({}, {"units": ["u1"], "everything": True}):
            with pytest.raises(InvalidRequest, match="expected units or request ids, or all"):
                await erase(kept, **nothing)  # type: ignore[arg-type]


async def test_a_unit_is_erased_whatever_the_key_was_when_it_was_stored(tmp_path: Path) -> None:
    every: list[bytes] = []
    for number in range(3):  # at first there is none
        async with log(tmp_path, keys=every) as kept:
            kept.recorder.offer(call(str(number)), answer())
            kept.recorder.offer(call(f"other {number}", unit="u2"), answer())
        every.insert(0, bytes([number]) * 32)
    async with log(tmp_path, keys=every) as kept:
        assert await erase(kept, units=[*(f"nobody {number}" for number in range(999)), "u1"]) == 3
        assert await kept.ids() == ["other 0", "other 1", "other 2"]
        with pytest.raises(InvalidRequest, match="expected at most 1,000, got 1,001"):
            await erase(kept, units=[str(number) for number in range(1001)])
