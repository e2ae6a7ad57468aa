"""What is retrieved for a request, over a real listener: examples, confidence, and what is said of it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import grpc
import pytest

from tests.support.gateway.harness import Gateway, failure, gateway, request, variant
from trivet.api.v1 import inference_pb2, receipt_pb2
from trivet.errors import RetrievalUnavailable
from trivet.types.passage import Passage, SearchQuery, SearchResult
from trivet.types.variant import (
    ConfidenceFloor,
    FewShotSettings,
    OnRetrievalFailure,
    RetrievalSettings,
    Route,
    Variant,
)

FACTS = (
    Passage("a@3#0", "a", "A", "The lamp weighs 12 grams.", 0.9, 3, start=10, end=35, similarity=0.6),
    Passage("b@1#0", "b", "B", "The hub weighs 40 grams.", 0.5, 1, similarity=0.2),
)
EXAMPLES = (
    Passage("e1@1#0", "e1", "e1", '{"question": "How wide?", "answer": "9 cm"}', 0.9, 1, similarity=0.8),
    Passage("e2@1#0", "e2", "e2", "no example", 0.8, 1),
    Passage("e3@1#0", "e3", "e3", '{"question": "How high?", "answer": "8 cm"}', 0.7, 1),
)


class Shelves:
    """Implements the Retriever port: passages, failures and delays by index."""

    def __init__(self) -> None:
        self.passages: dict[str, tuple[Passage, ...]] = {"facts": FACTS, "examples": EXAMPLES}
        self.failures: dict[str, Exception] = {}
        self.delays: dict[str, float] = {}
        self.reranks = True
        self.queries: dict[str, SearchQuery] = {}

    async def search(self, query: SearchQuery) -> SearchResult:
        self.queries[query.index] = query
        await asyncio.sleep(self.delays.get(query.index, 0))
        if query.index in self.failures:
            raise self.failures[query.index]
        late = query.rerank and not self.reranks
        degraded = ("rerank_timeout",) if late else ()
        passages = self.passages[query.index][: query.top_k]
        return SearchResult(passages, "s1", reranked=query.rerank and not late, degraded=degraded)


def searching(name: str, *, fail: bool = False, **settings: Any) -> Route:
    retrieval = RetrievalSettings("facts", top_k=2, **settings)
    made: Variant = replace(variant("v"), retrieval=retrieval)
    policy = OnRetrievalFailure.FAIL if fail else OnRetrievalFailure.DEGRADE
    return Route(name, {"v": made}, {"v": 1}, name, retrieval_deadline=0.5, on_retrieval_failure=policy)


SAYS = ConfidenceFloor(0.5, "Not in the documents.")
ROUTES = (
    searching("careful", confidence=SAYS),
    searching("ranked", confidence=SAYS, rerank=True),
    searching("shown", few_shot=FewShotSettings("examples", k=3), tags=("eu",), max_per_document=1, min_score=0.1),
    searching("strict-shown", few_shot=FewShotSettings("examples", k=3), fail=True),
)


@asynccontextmanager
async def served(folder: Path) -> AsyncIterator[tuple[Gateway, Shelves]]:
    shelves = Shelves()
    async with gateway(folder, searched=shelves, more_routes=ROUTES) as one:
        yield one, shelves


async def test_the_receipt_says_how_well_the_best_passage_fits(tmp_path: Path) -> None:
    async with served(tmp_path) as (one, _):
        answer = await one.stub.Generate(request("careful"))
        assert answer.receipt.retrieval_confidence == 0.6
        assert answer.text == "one two three"
        assert not answer.receipt.degraded
        first, second = answer.citations
        assert (first.start, first.end, first.similarity) == (10, 35, 0.6)
        assert second.similarity == 0.2
        plain = await one.stub.Generate(request("plain"))
        assert not plain.receipt.HasField("retrieval_confidence")
        found = await one.stub.Retrieve(inference_pb2.RetrieveRequest(route="careful", text="lamp"))
        assert (found.retrieval_confidence, list(found.degraded)) == (0.6, [])


async def test_below_the_floor_the_engine_is_not_asked(tmp_path: Path) -> None:
    async with served(tmp_path) as (one, shelves):
        shelves.passages["facts"] = FACTS[1:]
        answer = await one.stub.Generate(request("careful"))
        assert answer.text == "Not in the documents."
        assert answer.finish_reason == receipt_pb2.FINISH_REASON_STOP
        assert not answer.citations
        receipt = answer.receipt
        assert (receipt.code, list(receipt.degraded), receipt.retrieval_confidence) == ("OK", ["low_confidence"], 0.2)
        assert (receipt.input_tokens, receipt.cached_tokens, receipt.output_tokens) == (0, 0, 0)
        assert receipt.cost.total == receipt.cost.retrieval
        assert not receipt.HasField("ttft_ms")
        assert one.backend.requests == []
        assert one.metric("degraded_total", route="careful", reason="low_confidence") == 1
        stream = one.stub.GenerateStream(request("careful"))
        events = [event async for event in stream]
        assert [event.delta.text for event in events[:-1]] == ["Not in the documents."]
        assert events[-1].final.text == "Not in the documents."
        shelves.passages["facts"] = ()
        nothing = await one.stub.Generate(request("careful"))
        assert nothing.text == "Not in the documents."
        assert not nothing.receipt.HasField("retrieval_confidence")
        assert one.backend.requests == []


async def test_what_cannot_be_told_is_not_held_against_the_floor(tmp_path: Path) -> None:
    async with served(tmp_path) as (one, shelves):
        shelves.passages["facts"] = (replace(FACTS[1], similarity=None),)
        unknown = await one.stub.Generate(request("careful"))
        assert (unknown.text, list(unknown.receipt.degraded)) == ("one two three", ["confidence_unknown"])
        shelves.failures["facts"] = RetrievalUnavailable("down")
        without = await one.stub.Generate(request("careful"))
        assert (without.text, list(without.receipt.degraded)) == ("one two three", ["retrieval_unavailable"])
        skipped = request("careful", retrieval=inference_pb2.RetrievalOptions(disabled=True))
        assert (await one.stub.Generate(skipped)).text == "one two three"


async def test_a_request_with_a_schema_of_its_own_gets_no_fixed_text(tmp_path: Path) -> None:
    async with served(tmp_path) as (one, shelves):
        shelves.passages["facts"] = FACTS[1:]
        asked = request("careful")
        asked.json_schema.update({"type": "object"})
        answer = await one.stub.Generate(asked)
        assert (answer.text, list(answer.receipt.degraded)) == ("one two three", ["low_confidence"])


async def test_reranked_the_score_is_the_confidence_and_late_it_is_not_judged(tmp_path: Path) -> None:
    async with served(tmp_path) as (one, shelves):
        ranked = await one.stub.Generate(request("ranked"))
        assert (ranked.receipt.retrieval_confidence, ranked.text) == (0.9, "one two three")
        shelves.passages["facts"] = (replace(FACTS[0], score=0.3),)
        low = await one.stub.Generate(request("ranked"))
        assert (low.receipt.retrieval_confidence, low.text) == (0.3, "Not in the documents.")
        shelves.reranks = False
        late = await one.stub.Generate(request("ranked"))
        assert late.text == "one two three"
        assert list(late.receipt.degraded) == ["rerank_timeout", "confidence_unknown"]
        assert shelves.queries["facts"].deadline is not None


async def test_examples_and_the_variants_own_filters(tmp_path: Path) -> None:
    async with served(tmp_path) as (one, shelves):
        options = inference_pb2.RetrievalOptions(filter=["new", "eu"])
        answer = await one.stub.Generate(request("shown", retrieval=options))
        assert list(answer.receipt.example_ids) == ["e1@1#0", "e3@1#0"]
        assert list(answer.receipt.passage_ids) == ["a@3#0", "b@1#0"]
        assert list(answer.receipt.degraded) == ["examples_unreadable"]
        facts, examples = shelves.queries["facts"], shelves.queries["examples"]
        assert (facts.tags, facts.max_per_document, facts.min_score) == (("eu", "new"), 1, 0.1)
        assert (examples.tags, examples.top_k, examples.tenant) == ((), 3, facts.tenant)
        without = await one.stub.Generate(request("rag"))
        more = answer.receipt.input_tokens - without.receipt.input_tokens
        assert more > 10  # two turns each
        assert one.backend.requests[0].token_ids[:20] == one.backend.requests[1].token_ids[:20]


@pytest.mark.parametrize("late", [True, False])
async def test_examples_that_cannot_be_had_are_missing_or_fail_the_request(tmp_path: Path, late: bool) -> None:
    async with served(tmp_path) as (one, shelves):
        if late:
            shelves.delays["examples"] = 5
        else:
            shelves.failures["examples"] = RetrievalUnavailable("down")
        answer = await one.stub.Generate(request("shown"))
        assert list(answer.receipt.degraded) == ["examples_timeout" if late else "examples_unavailable"]
        assert [one.document_id for one in answer.citations] == ["a", "b"]
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await one.stub.Generate(request("strict-shown"))
        assert failure(caught.value).code == "UNAVAILABLE"


async def test_a_long_question_is_searched_with_by_its_beginning_and_the_receipt_says_so(tmp_path: Path) -> None:
    async with served(tmp_path) as (one, shelves):
        one.backend.context_tokens = 100_000
        for length, degraded in ((2048, []), (2049, ["query_cut"])):
            answer = await one.stub.Generate(request("shown", text="x" * length))
            assert [reason for reason in answer.receipt.degraded if "query" in reason] == degraded
            assert {query.asked for query in shelves.queries.values()} == {"x" * 2048}
            found = await one.stub.Retrieve(inference_pb2.RetrieveRequest(route="shown", text="x" * length))
            assert list(found.degraded) == degraded


async def test_a_receipt_names_passages_of_documents_in_any_script(tmp_path: Path) -> None:
    ids = ["acme!हिन्दी (2024)@12#3", "می‌خواهم: 100%25 @home@1#0", '👩‍👩‍👧/caf%E9 \\ "x"@3#0']
    async with served(tmp_path) as (one, shelves):
        for passage_id in ids:
            shelves.passages["facts"] = (replace(FACTS[0], id=passage_id),)
            answer = await one.stub.Generate(request("careful"))
            asked = inference_pb2.GetReceiptRequest(request_id=answer.receipt.request_id)
            assert list((await one.stub.GetReceipt(asked)).receipt.passage_ids) == [passage_id]
