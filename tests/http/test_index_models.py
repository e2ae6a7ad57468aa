"""Vectors and rankings over HTTP, the vectors with the real `openai` client, on scripted models."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any, cast

import httpx
import numpy as np
import openai
import pytest

from tests.support.gateway.harness import Gateway, gateway
from tests.support.gateway.index_models import LENGTH, vector
from trivet.costs.entry import Entry, read_line
from trivet.costs.groups import Groups
from trivet.metering.receipt_log import ReceiptLog
from trivet.types.budget import Limit, LimitSet, Owner, Period, Unit
from trivet.types.request import KeyRole

TEXTS = ["A lamp.", "A blue hub, and another one."]
DOCUMENTS = ["the hub is red", "lamp", "the blue lamp"]


def client(served: Gateway) -> openai.AsyncOpenAI:
    return openai.AsyncOpenAI(base_url=f"http://{served.http}/v1", api_key="secret-a", max_retries=0)


async def test_a_vector_for_each_text_in_either_encoding(served: Gateway) -> None:
    async with client(served) as asking:
        packed = await asking.embeddings.create(model="facts", input=TEXTS)
        plain = await asking.embeddings.create(model="facts", input=TEXTS[0], encoding_format="float", dimensions=4)
        asked = await asking.embeddings.create(model="facts", input=TEXTS[0], extra_body={"input_type": "query"})
    assert (packed.model, packed.object, packed.usage.prompt_tokens, packed.usage.total_tokens) == (
        "facts",
        "list",
        8,
        8,
    )
    for number, (text, found) in enumerate(zip(TEXTS, packed.data, strict=True)):
        assert found.index == number
        assert np.array_equal(np.array(found.embedding, dtype=np.float32), vector(text))
    assert np.array_equal(np.array(plain.data[0].embedding, dtype=np.float32), vector(TEXTS[0]))
    assert asked.data[0].embedding[3] == 1
    assert served.metric("index_model_requests_total", index="facts", use="embed", code="OK") == 3
    assert served.metric("index_model_tokens_total", index="facts", use="embed") == 12
    assert not served.counted, "rollouts hear of answers alone"
    assert packed.model_extra is not None
    receipt = packed.model_extra["trivet"]["receipt"]
    assert (receipt["use"], receipt["index"], receipt["input_tokens"], receipt["code"]) == ("embed", "facts", "8", "OK")
    assert receipt["cost"] == {"input": "4000", "total": "4000", "basis": "tokens"}, "8 tokens at half a dollar"
    assert "route" not in receipt
    assert served.metric("index_model_cost_usd_total", index="facts", use="embed") == pytest.approx(6000e-9)


async def test_documents_in_the_order_of_their_scores(served: Gateway, web: httpx.AsyncClient) -> None:
    body = {"model": "facts", "query": "blue lamp", "documents": [*DOCUMENTS[:2], {"text": DOCUMENTS[2]}]}
    told = (await web.post("/v1/rerank", json=body)).json()
    assert [(one["index"], one["relevance_score"]) for one in told["results"]] == [(2, 1.0), (1, 0.5), (0, 0.0)]
    assert [one["document"]["text"] for one in told["results"]] == [DOCUMENTS[2], DOCUMENTS[1], DOCUMENTS[0]]
    assert told["usage"]["total_tokens"] == 8 + 3 * 2
    short = (await web.post("/v1/rerank", json={**body, "top_n": 1, "return_documents": False})).json()
    assert short["results"] == [{"index": 2, "relevance_score": 1.0}]
    assert served.metric("index_model_requests_total", index="facts", use="rerank", code="OK") == 2
    receipt = told["trivet"]["receipt"]
    assert (receipt["use"], receipt["input_tokens"], receipt["cost"]) == ("rerank", "14", {}), "it has no price"


async def test_receipts_are_found_later_and_are_no_answers(served: Gateway, web: httpx.AsyncClient) -> None:
    made = await web.post("/v1/embeddings", json=EMBED, headers={"x-request-id": "vector-1"})
    wrong = await web.post("/v1/embeddings", json={**EMBED, "dimensions": 3}, headers={"x-request-id": "vector-2"})
    unknown = await web.post("/v1/embeddings", json={**EMBED, "model": "x"}, headers={"x-request-id": "vector-3"})
    assert wrong.json()["error"]["trivet"]["receipt"]["code"] == "INVALID_ARGUMENT"
    assert "receipt" not in unknown.json()["error"]["trivet"]
    found = [await web.get(f"/v1/receipts/vector-{number}") for number in (1, 2, 3)]
    assert [one.status_code for one in found] == [200, 200, 404]
    assert found[0].json()["receipt"] == made.json()["trivet"]["receipt"]
    assert (found[1].json()["receipt"]["code"], found[1].json()["receipt"].get("input_tokens")) == (
        "INVALID_ARGUMENT", None,
    )  # fmt: skip
    rated = await web.post("/v1/feedback", json={"request_id": "vector-1", "score": 1})
    assert (rated.status_code, served.rated) == (404, [])
    assert "is no answer" in rated.json()["error"]["message"]


async def test_the_log_has_them_beside_answers_and_limits_of_usd_hold(tmp_path: Path) -> None:
    usd = Limit(Owner.TENANT, "a", Period.MONTH, Unit.USD, 2_500, warn_at=1.0)
    keys = (("secret-a", "a", KeyRole.CLIENT),)
    async with gateway(tmp_path, http=True, keys=keys, limits=LimitSet(by_tenant={"a": (usd,)})) as served:
        headers = {"authorization": "Bearer secret-a"}
        async with httpx.AsyncClient(base_url=f"http://{served.http}", headers=headers) as asking:
            codes = [(await asking.post("/v1/embeddings", json=EMBED)).status_code for _ in range(4)]
        assert codes == [200, 200, 200, 429], "each takes 1,000 nano-USD"
        await asyncio.to_thread(served.receipts.flush)
        groups = Groups(("use", "index", "route", "code"))
        for line in (tmp_path / "receipts.jsonl").read_bytes().splitlines():
            groups.add(cast("Entry", read_line(line)))
    ok, refused = ("embed", "facts", "-", "OK"), ("embed", "facts", "-", "RESOURCE_EXHAUSTED")
    assert {group: (one.requests, one.input_tokens, one.total) for group, one in groups.sums.items()} == {
        ok: (3, 6, 3_000), refused: (1, 0, 0),
    }  # fmt: skip
    recalled = ReceiptLog(tmp_path / "receipts.jsonl")
    assert recalled.find("a", "none") is None
    recalled.close()


EMBED: dict[str, Any] = {"model": "facts", "input": "A lamp."}
RANK: dict[str, Any] = {"model": "facts", "query": "lamp", "documents": DOCUMENTS}
WRONG: tuple[tuple[str, dict[str, Any], int, str | None], ...] = (
    ("embeddings", {**EMBED, "model": "nothing"}, 404, None),
    ("embeddings", {**EMBED, "model": "plain"}, 404, None),
    ("embeddings", {**EMBED, "model": ""}, 400, "model"),
    ("embeddings", {"model": "facts"}, 400, "input"),
    ("embeddings", {**EMBED, "input": ""}, 400, "input[0]"),
    ("embeddings", {**EMBED, "input": []}, 400, "input"),
    ("embeddings", {**EMBED, "input": ["x"] * 129}, 400, "input"),
    ("embeddings", {**EMBED, "input": "x" * 8193}, 400, "input[0]"),
    ("embeddings", {**EMBED, "input": ["fine", "word " * 101]}, 400, "input[1]"),
    ("embeddings", {**EMBED, "input": [1, 2]}, 400, "input"),
    ("embeddings", {**EMBED, "input": [[1, 2]]}, 400, "input"),
    ("embeddings", {**EMBED, "encoding_format": "int8"}, 400, "encoding_format"),
    ("embeddings", {**EMBED, "dimensions": LENGTH - 1}, 400, "dimensions"),
    ("embeddings", {**EMBED, "user": "u" * 300}, 400, "user"),
    ("embeddings", {**EMBED, "colour": "red"}, 400, "colour"),
    ("rerank", {**RANK, "model": "nothing"}, 404, None),
    ("rerank", {**RANK, "model": "others"}, 400, None),
    ("rerank", {**RANK, "query": ""}, 400, "query"),
    ("rerank", {**RANK, "query": "q" * 2049}, 400, "query"),
    ("rerank", {**RANK, "documents": []}, 400, "documents"),
    ("rerank", {**RANK, "documents": ["x"] * 129}, 400, "documents"),
    ("rerank", {**RANK, "documents": [""]}, 400, "documents[0]"),
    ("rerank", {**RANK, "documents": [{"title": "x"}]}, 400, "documents[0]"),
    ("rerank", {**RANK, "top_n": 0}, 400, "top_n"),
    ("rerank", {**RANK, "rank_fields": ["title"]}, 400, "rank_fields"),
)  # fmt: skip


async def test_wrong_requests(web: httpx.AsyncClient, served: Gateway) -> None:
    for path, body, status, parameter in WRONG:
        answer = await web.post(f"/v1/{path}", json=body)
        error = answer.json()["error"]
        assert (answer.status_code, error["param"]) == (status, parameter), (str(body)[:200], answer.text[:400])
        assert error["trivet"]["request_id"] == answer.headers["x-request-id"]
    unknown = {"index": "nothing", "use": "embed", "code": "NOT_FOUND"}
    assert served.metric("index_model_requests_total", **unknown) == 0, "no name of a client's is a label"
    refused = {"index": "facts", "use": "embed", "code": "INVALID_ARGUMENT"}
    assert served.metric("index_model_requests_total", **refused) == 2


async def test_no_credential_or_a_wrong_one(served: Gateway) -> None:
    async with httpx.AsyncClient(base_url=f"http://{served.http}") as asking:
        for path in ("embeddings", "rerank"):
            answer = await asking.post(f"/v1/{path}", content=b"{", headers={"content-type": "application/json"})
            assert answer.status_code == 401


async def test_an_index_is_used_through_the_routes_that_a_key_is_for(tmp_path: Path) -> None:
    keys = (("secret-a", "a", KeyRole.CLIENT), ("secret-o", "a", KeyRole.OPERATOR))
    for allowed, status in ((["plain"], 404), (["rag"], 200)):
        async with gateway(tmp_path, http=True, keys=keys, key_routes=allowed) as served:
            for key in ("secret-a", "secret-o"):
                headers = {"authorization": f"Bearer {key}"}
                async with httpx.AsyncClient(base_url=f"http://{served.http}", headers=headers) as asking:
                    assert (await asking.post("/v1/embeddings", json=EMBED)).status_code == status
    async with gateway(tmp_path, http=True, keys=keys) as served:
        for key, status in (("secret-a", 404), ("secret-o", 200)):
            headers = {"authorization": f"Bearer {key}"}
            async with httpx.AsyncClient(base_url=f"http://{served.http}", headers=headers) as asking:
                body = {**EMBED, "model": "unrouted"}
                assert (await asking.post("/v1/embeddings", json=body)).status_code == status


async def test_limits_hold_and_count_requests_and_tokens(tmp_path: Path) -> None:
    requests = Limit(Owner.TENANT, "a", Period.MONTH, Unit.REQUESTS, 2, warn_at=1.0)
    tokens = Limit(Owner.TENANT, "a", Period.MONTH, Unit.TOKENS, 1000, warn_at=1.0)
    keys, limits = (("secret-a", "a", KeyRole.CLIENT),), LimitSet(by_tenant={"a": (requests, tokens)})
    async with gateway(tmp_path, http=True, keys=keys, limits=limits) as served:
        headers = {"authorization": "Bearer secret-a"}
        async with httpx.AsyncClient(base_url=f"http://{served.http}", headers=headers) as asking:
            for path, body, status in (
                ("embeddings", EMBED, 200),
                ("embeddings", {**EMBED, "dimensions": 3}, 400),
                ("rerank", RANK, 200),
                ("rerank", RANK, 429),
                ("embeddings", EMBED, 429),
            ):
                answer = await asking.post(f"/v1/{path}", json=body)
                assert answer.status_code == status
        assert answer.json()["error"]["code"] == "rate_limit_exceeded"
        assert answer.headers["x-should-retry"] == "false"
    async with gateway(tmp_path) as served:
        start = Period.MONTH.window(await served.state.now())[0]
        assert await served.state.budget_usage(tokens.id, start) == (2 + 8 + 3, 0)


@pytest.mark.parametrize("path", ["embeddings", "rerank"])
async def test_time_limits_and_clients_that_go(web: httpx.AsyncClient, served: Gateway, path: str) -> None:
    body = EMBED if path == "embeddings" else RANK
    served.index_models.delay = 30
    late = await web.post(f"/v1/{path}", json=body, headers={"x-trivet-timeout": "0.1"})
    assert (late.status_code, late.json()["error"]["code"]) == (504, "deadline_exceeded")
    work = asyncio.create_task(web.post(f"/v1/{path}", json=body))
    async with asyncio.timeout(60):
        while not served.index_models.under_way:
            await asyncio.sleep(0.01)
        work.cancel()
        while served.index_models.under_way:
            await asyncio.sleep(0.01)
