"""SubmitFeedback over a real channel and a real state store: joined, durable, idempotent, bounded, no oracle."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import pytest

from tests.support.gateway.harness import Failure, Gateway, failure, gateway, request
from trivet.api.v1 import inference_pb2
from trivet.client import AsyncClient, CallFailed, Client, Target
from trivet.stores.state import StateStore
from trivet.types.request import KeyRole

KEYS = [("alpha", "acme", KeyRole.CLIENT), ("beta", "globex", KeyRole.CLIENT)]


@pytest.fixture
async def served(tmp_path: Path) -> AsyncIterator[Gateway]:
    async with gateway(tmp_path, keys=KEYS) as running:
        yield running


def metadata(key: str, request_id: str = "") -> list[tuple[str, str]]:
    return [("authorization", f"Bearer {key}"), *([("x-request-id", request_id)] if request_id else [])]


async def answered(served: Gateway, request_id: str) -> None:
    await served.stub.Generate(request(), metadata=metadata("alpha", request_id))


async def submit(served: Gateway, key: str = "alpha", **fields: Any) -> None:
    await served.stub.SubmitFeedback(inference_pb2.SubmitFeedbackRequest(**fields), metadata=metadata(key))


async def refused(served: Gateway, key: str = "alpha", **fields: Any) -> Failure:
    with pytest.raises(grpc.aio.AioRpcError) as error:
        await submit(served, key, **fields)
    return failure(error.value)


async def test_feedback_is_recorded_and_the_last_word_counts(served: Gateway) -> None:
    await answered(served, "r1")
    said: dict[str, Any] = {
        "request_id": "r1",
        "score": 0.0,
        "label": "wrong",
        "corrected_text": "four",
        "comment": "no: 4",
    }
    for _ in range(2):
        await submit(served, **said)
    kept = await served.state.feedback("acme", "r1")
    assert kept is not None
    assert (kept.score, kept.label, kept.corrected_text, kept.comment) == (0.0, "wrong", "four", "no: 4")
    await submit(served, request_id="r1", comment="only words now")
    kept = await served.state.feedback("acme", "r1")
    assert kept is not None
    assert (kept.score, kept.label, kept.comment) == (None, "", "only words now")
    assert served.rated == [("r1", 0.0), ("r1", 0.0), ("r1", None)]
    assert [served.metric("feedback_total", outcome=one) for one in ("recorded", "repeated")] == [2, 1]


async def test_it_is_durable_when_it_is_acknowledged(served: Gateway) -> None:
    await answered(served, "r1")
    await submit(served, request_id="r1", score=1.0)
    again = StateStore.open(served.folder / "state.sqlite")
    try:
        assert await again.feedback("acme", "r1") is not None
    finally:
        again.close()


async def test_another_tenants_request_is_refused_exactly_as_an_unknown_one(served: Gateway) -> None:
    await answered(served, "r1")
    theirs = await refused(served, "beta", request_id="r1", score=1.0)
    unknown = await refused(served, "beta", request_id="r2", score=1.0)
    assert (theirs.code, theirs.reason) == ("NOT_FOUND", "NOT_FOUND")
    assert (theirs.code, theirs.reason, theirs.fields) == (unknown.code, unknown.reason, unknown.fields)
    assert theirs.message.replace("r1", "r2") == unknown.message
    assert await served.state.feedback("globex", "r1") is None
    assert served.rated == []


@pytest.mark.parametrize(
    ("fields", "wrong"),
    [
        ({"request_id": "", "score": 1.0}, {"request_id": "is empty"}),
        ({"request_id": "r1"}, {"score": "expected a score, a label, a corrected text or a comment, got none of them"}),
        ({"request_id": "r1", "score": 1.5}, {"score": "expected a number from 0 (bad) to 1 (good), got 1.5"}),
        ({"request_id": "r1", "score": float("nan")}, {"score": "expected a number from 0 (bad) to 1 (good), got nan"}),
        ({"request_id": "r1", "label": "x" * 129}, {"label": "expected at most 128 characters, got 129"}),
        (
            {"request_id": "r1", "corrected_text": "x" * 65_537},
            {"corrected_text": "expected at most 65,536 characters, got 65,537"},
        ),
        ({"request_id": "r1", "comment": "a\0b"}, {"comment": "expected a text without the character U+0000"}),
    ],
)
async def test_what_is_wrong_is_named(served: Gateway, fields: dict[str, Any], wrong: dict[str, str]) -> None:
    await answered(served, "r1")
    said = await refused(served, **fields)
    assert (said.code, said.fields) == ("INVALID_ARGUMENT", wrong)
    assert await served.state.feedback("acme", "r1") is None


async def test_it_needs_a_key(served: Gateway) -> None:
    await answered(served, "r1")
    assert (await refused(served, "gamma", request_id="r1", score=1.0)).code == "UNAUTHENTICATED"


async def test_after_a_restart(tmp_path: Path) -> None:
    async with gateway(tmp_path, keys=KEYS) as served:
        await answered(served, "r1")
    async with gateway(tmp_path, keys=KEYS) as served:
        await submit(served, request_id="r1", score=0.25)
        assert served.rated == [("r1", 0.25)]


async def test_both_clients_submit_it(served: Gateway) -> None:
    await answered(served, "r1")
    target = Target(served.address, key="alpha")

    def use() -> None:
        with Client(target) as client:
            client.submit_feedback("r1", score=0.5, label="fair")
            with pytest.raises(CallFailed) as error:
                client.submit_feedback("r2", score=0.5)
            assert error.value.reason == "NOT_FOUND"

    await asyncio.to_thread(use)
    async with AsyncClient(target) as client:
        await client.submit_feedback("r1", comment="words", corrected_text="better ones")
    assert served.rated == [("r1", 0.5), ("r1", None)]
