"""Documents over HTTP: the contract's messages as JSON, with the same rules of whose they are."""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.support.gateway.harness import Gateway, gateway
from tests.support.retrieval.memory_indexes import MemoryIndexes
from trivet.types.passage import DocumentFormat
from trivet.types.request import KeyRole

KEYS = (("secret-a", "a", KeyRole.CLIENT), ("staff", "staff", KeyRole.OPERATOR))
STAFF = {"authorization": "Bearer staff"}


@pytest.fixture
def memory() -> MemoryIndexes:
    return MemoryIndexes()


@pytest.fixture
async def served(tmp_path: Path, memory: MemoryIndexes) -> AsyncIterator[Gateway]:
    async with gateway(tmp_path, http=True, keys=KEYS, indexes=memory) as running:
        yield running


def document(**fields: Any) -> dict[str, Any]:
    return {"index": "facts", "document": {"id": "a", "text": "The lamp weighs 12 grams.", **fields}}


async def test_a_document_is_the_callers_own(web: httpx.AsyncClient, memory: MemoryIndexes) -> None:
    told = await web.post(
        "/v1/documents",
        json=document(title="Lamp", tags=["x"], source="lamp.md", valid_until="2030-01-02T03:04:05.5Z"),
    )
    assert (told.status_code, told.json()) == (200, {"id": "a", "revision": "1", "passages": 1})
    (kept,) = memory.kept.values()
    assert (kept.tenant, kept.content, kept.title) == ("a", b"The lamp weighs 12 grams.", "Lamp")
    assert (kept.format, kept.tags, kept.valid_until) == (DocumentFormat.MARKDOWN, ("x",), 1893553445.5)
    raw = {"index": "facts", "document": {"id": "b", "content": base64.b64encode(b"\xff\x00").decode()}}
    assert (await web.post("/v1/documents", json=raw)).status_code == 200
    shared = await web.post("/v1/documents", json=document(), headers=STAFF)
    assert shared.status_code == 200
    assert {name: one.content for name, one in memory.kept.items()}["a", "b"] == b"\xff\x00"
    gone = await web.post("/v1/documents/delete", json={"index": "facts", "ids": ["a", "c"]})
    assert gone.json() == {"deleted": ["a"], "missing": ["c"]}
    assert set(memory.kept) == {("a", "b"), ("", "a")}


@pytest.mark.parametrize(
    ("body", "status", "field"),
    [
        (document(tenant="b"), 403, None),
        (document(text=""), 400, None),
        (document(text="down"), 503, None),
        ({**document(), "index": "other"}, 404, None),
        ({**document(), "index": ""}, 400, "index"),
        ({"index": "facts"}, 400, "document"),
        ({**document(), "more": True}, 400, "more"),
        (document(content="YQ=="), 400, "document.text"),
        (document(text=7), 400, "document.text"),
        (document(format="DOCUMENT_FORMAT_TAPE"), 400, "body"),
        (document(format=99), 400, None),
        (document(tags=["x"] * 65), 400, "document.tags"),
        (document(title="x" * 600), 400, "document.title"),
        (document(valid_from="yesterday"), 400, "body"),
        (document(valid_from={"seconds": 1}), 400, "body"),
        (document(words="x"), 400, "body"),
        ({**document(), "document": [1]}, 400, "body"),
        ({"index": "facts", "document": {"id": "a", "content": "no base64!"}}, 400, "document.content"),
        ({"index": "facts", "document": {"id": "a", "content": 7}}, 400, "document.content"),
    ],
)
async def test_what_is_wrong_with_a_document_is_the_status(
    web: httpx.AsyncClient, memory: MemoryIndexes, body: dict[str, Any], status: int, field: str | None
) -> None:
    told = await web.post("/v1/documents", json=body)
    assert told.status_code == status, told.text
    if field is not None:
        assert told.json()["error"]["param"] == field
    assert not memory.kept


async def test_deletions_are_checked_and_indexes_are_for_operators(web: httpx.AsyncClient) -> None:
    for body, status in (
        ({"index": "facts", "ids": []}, 400),
        ({"index": "facts", "ids": ["x"] * 1001}, 400),
        ({"index": "facts", "ids": ["x"], "tenant": "b"}, 403),
        ({"index": "facts", "ids": ["x"], "tenant": "No Name"}, 400),
        ({"index": "facts", "ids": "x"}, 400),
    ):
        assert (await web.post("/v1/documents/delete", json=body)).status_code == status, body
    assert (await web.get("/v1/indexes")).status_code == 403
    found = (await web.get("/v1/indexes", headers=STAFF)).json()["indexes"]
    assert [one["name"] for one in found] == ["facts"]
    for path in ("/v1/documents", "/v1/documents/delete"):
        assert (await web.post(path, json={}, headers={"authorization": "Bearer x"})).status_code == 401


async def test_a_body_above_the_contracts_limit_is_refused(web: httpx.AsyncClient, memory: MemoryIndexes) -> None:
    told = await web.post("/v1/documents", json=document(text="x" * (1 << 20)))
    assert (told.status_code, told.json()["error"]["code"]) == (400, "message_too_large")
    assert not memory.kept
