"""Feedback joins its receipt wherever that is, comes in order, and what waits is bounded. The store is a fake here."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

from trivet.errors import NotFound, Overloaded, StateUnavailable
from trivet.metering.feedback import MAX_RUNNING, MAX_WAITING, FeedbackIntake
from trivet.metering.metrics import Metrics
from trivet.metering.receipt_log import ReceiptLog, RecentReceipts
from trivet.metering.receipt_log import log as log_module
from trivet.types.receipt import Receipt
from trivet.types.rollout_state import Feedback

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def receipt(request_id: str, tenant: str = "acme", **fields: object) -> Receipt:
    return Receipt(request_id, tenant, "support", NOW, "OK", **fields)  # type: ignore[arg-type]


class Store:
    """Takes feedback when it is let to."""

    def __init__(self) -> None:
        self.taken: list[Feedback] = []
        self.open = asyncio.Event()
        self.open.set()
        self.away = False
        self.inside = 0
        self.most_inside = 0

    async def add_feedback(self, feedback: Feedback) -> bool:
        if self.away:
            raise StateUnavailable("the state store is away")
        self.inside += 1
        self.most_inside = max(self.most_inside, self.inside)
        try:
            await self.open.wait()
        finally:
            self.inside -= 1
        new = feedback not in self.taken[-1:]
        self.taken.append(feedback)
        return new


class Desk:
    """An intake whose log remembers one receipt and has 20."""

    def __init__(self, folder: Path) -> None:
        self.log = ReceiptLog(folder / "receipts.jsonl", RecentReceipts(max_receipts=1))
        for number in range(20):
            self.log.append(receipt(f"r{number}", variant=f"v{number}"))
        self.store = Store()
        self.registry = CollectorRegistry()
        self.told: list[tuple[str, float | None]] = []
        self.intake = FeedbackIntake(
            self.log, self.store, Metrics(self.registry), lambda of, score: self.told.append((of.variant, score))
        )

    def count(self, outcome: str) -> float:
        return self.registry.get_sample_value("trivet_feedback_total", {"outcome": outcome}) or 0.0


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    made = Desk(tmp_path)
    yield made
    made.log.close()


async def test_late_feedback_finds_its_receipt_in_the_log(desk: Desk) -> None:
    assert desk.log.find("acme", "r0") is None
    await desk.intake.submit(Feedback("acme", "r0", 0.5))
    await desk.intake.submit(Feedback("acme", "r19", 1.0))
    assert desk.told == [("v0", 0.5), ("v19", 1.0)]
    assert desk.count("recorded") == 2


async def test_the_same_again_is_told_again(desk: Desk) -> None:
    for _ in range(2):  # the server may have stopped between the store and the rollout
        await desk.intake.submit(Feedback("acme", "r3", 0.5))
    assert desk.told == [("v3", 0.5)] * 2
    assert (desk.count("recorded"), desk.count("repeated")) == (1, 1)


@pytest.mark.parametrize(("tenant", "request_id"), [("acme", "r20"), ("other", "r3"), ("acme", "r"), ("ac", "r3")])
async def test_an_unknown_request_and_anothers_are_refused_alike(desk: Desk, tenant: str, request_id: str) -> None:
    with pytest.raises(NotFound, match=f"no receipt of request '{request_id}': this server did not answer it, or long"):
        await desk.intake.submit(Feedback(tenant, request_id, 0.5))
    assert (desk.store.taken, desk.told, desk.count("unknown")) == ([], [], 1)


async def test_nothing_is_told_that_the_store_did_not_take(desk: Desk) -> None:
    desk.store.away = True
    with pytest.raises(StateUnavailable):
        await desk.intake.submit(Feedback("acme", "r3", 0.5))
    assert (desk.told, desk.count("failed")) == ([], 1)
    desk.store.away = False
    await desk.intake.submit(Feedback("acme", "r3", 0.5))
    assert desk.told == [("v3", 0.5)]


async def test_what_is_said_of_one_request_keeps_its_order(desk: Desk) -> None:
    desk.store.open.clear()
    calls = [asyncio.create_task(desk.intake.submit(Feedback("acme", "r19", n / 10))) for n in range(3)]
    await asyncio.sleep(0.05)
    assert desk.store.inside == 1
    desk.store.open.set()
    await asyncio.gather(*calls)
    assert [score for _, score in desk.told] == [said.score for said in desk.store.taken] == [0.0, 0.1, 0.2]


async def test_a_call_that_is_cancelled_leaves_its_place_and_its_turn(desk: Desk) -> None:
    desk.store.open.clear()
    calls = [asyncio.create_task(desk.intake.submit(Feedback("acme", "r19", 0.1))) for _ in range(MAX_RUNNING + 4)]
    await asyncio.sleep(0.01)
    for call in calls:
        call.cancel()
    await asyncio.gather(*calls, return_exceptions=True)
    desk.store.open.set()
    await asyncio.wait_for(desk.intake.submit(Feedback("acme", "r19", 0.9)), 1)
    assert desk.told == [("v19", 0.9)]


async def test_who_waits_is_bounded_and_one_tenant_gives_way_to_another(desk: Desk) -> None:
    desk.log.append(receipt("quiet", "other", variant="q"))
    desk.store.open.clear()
    calls = [
        asyncio.create_task(desk.intake.submit(Feedback("acme", f"r{n % 20}", 0.1)))
        for n in range(MAX_RUNNING + MAX_WAITING)
    ]
    await asyncio.sleep(0.1)
    with pytest.raises(Overloaded, match=f"limit {MAX_WAITING}"):
        await desk.intake.submit(Feedback("acme", "r19", 0.1))
    quiet = asyncio.create_task(desk.intake.submit(Feedback("other", "quiet", 1.0)))
    await asyncio.sleep(0.01)
    desk.store.open.set()
    ended = await asyncio.gather(*calls, return_exceptions=True)
    await quiet
    assert [type(one) for one in ended if one is not None] == [Overloaded]
    assert desk.store.most_inside <= MAX_RUNNING


def test_a_text_of_a_client_is_not_taken_for_a_receipt(tmp_path: Path) -> None:
    log = ReceiptLog(tmp_path / "receipts.jsonl", RecentReceipts(max_receipts=1))
    forged = json.dumps({"request_id": "theirs", "tenant": "acme", "route": "x"}, separators=(",", ":"))
    log.append(receipt("mine", labels={"request_id": "theirs", "tenant": "acme", "note": "\n" + forged}))
    log.append(receipt("last"))
    assert log.search("acme", "theirs") is None
    assert log.search("acme", "mine") is not None
    log.close()


def test_the_newest_whole_receipt_is_found(tmp_path: Path) -> None:
    path = tmp_path / "receipts.jsonl"
    log = ReceiptLog(path)
    log.append(receipt("r1", variant="first"))
    log.append(receipt("r1", variant="second"))
    assert log.flush()
    with path.open("ab") as file:
        file.write(b'{"request_id":"r1","tenant":"acme","route":"supp\n')
    found = log.search("acme", "r1")
    assert found is not None
    assert found.variant == "second"
    log.close()


@pytest.mark.parametrize("chunk", [1, 7, 64, 1000])
def test_a_receipt_is_found_wherever_a_chunk_ends(tmp_path: Path, chunk: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log_module, "_CHUNK", chunk)
    log = ReceiptLog(tmp_path / "receipts.jsonl")
    known = [receipt(f"r{number}", labels={"x": "y" * number}) for number in range(12)]
    for one in known:
        log.append(one)
    assert [log.search("acme", one.request_id) for one in known] == known
    log.close()


def test_only_the_end_of_a_long_log_is_searched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log = ReceiptLog(tmp_path / "receipts.jsonl")
    for number in range(100):
        log.append(receipt(f"r{number}"))
    assert log.flush()
    monkeypatch.setattr(log_module, "SEARCHED_BYTES", (tmp_path / "receipts.jsonl").stat().st_size // 2)
    assert log.search("acme", "r45") is None
    assert log.search("acme", "r55") is not None
    log.close()
