"""What stands around passages: asked for by the variant or the request, shown after them, and first to give way."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import grpc
import pytest
import pytest_asyncio

from tests.support.gateway.harness import Gateway, failure, gateway, request, variant
from trivet.api.v1 import inference_pb2
from trivet.types.passage import Expansion, Passage, SearchQuery, SearchResult
from trivet.types.variant import RetrievalSettings, Route

pytestmark = pytest.mark.asyncio(loop_scope="module")


class Pages:
    """Implements the Retriever port: two passages, and for a query that expands what stands around each."""

    def __init__(self) -> None:
        self.expansions: list[Expansion] = []
        self.size = 1  # words of what stands around

    async def search(self, query: SearchQuery) -> SearchResult:
        self.expansions.append(query.expansion)
        hits = (self._passage(2), self._passage(7))
        around = {}
        if query.expansion is not Expansion.NONE:
            around = {hit.id: tuple(self._near(hit, n) for n in (3, 1, 7)) for hit in hits}
        return SearchResult(hits, "s", around=around)

    def _passage(self, n: int) -> Passage:
        return Passage(f"doc@1#{n}", "doc", "Doc", f"text {n}", 0.5, 1)

    def _near(self, hit: Passage, n: int) -> Passage:
        return replace(self._passage(n), text=f"text {n} " + "word " * self.size, near=hit.id)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def served(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[tuple[Gateway, Pages]]:
    pages = Pages()
    folder: Path = tmp_path_factory.mktemp("expand")
    settings = {"plain": Expansion.NONE, "wide": Expansion.NEIGHBOURS}
    routes = [
        Route(
            name,
            {"v": replace(variant("v"), retrieval=RetrievalSettings("facts", token_budget=200, expansion=expansion))},
            {"v": 1},
            name,
            retrieval_deadline=5,
        )
        for name, expansion in settings.items()
    ]
    async with gateway(folder, searched=pages, more_routes=routes) as running:
        yield running, pages


async def ask(served: tuple[Gateway, Pages], route: str, **retrieval: Any) -> inference_pb2.GenerateResponse:
    options = inference_pb2.RetrievalOptions(**retrieval)
    answer: inference_pb2.GenerateResponse = await served[0].stub.Generate(request(route, retrieval=options))
    return answer


def cited(answer: inference_pb2.GenerateResponse) -> list[tuple[str, str]]:
    return [(one.passage_id.partition("#")[2], one.near.partition("#")[2]) for one in answer.citations]


async def test_what_was_found_comes_first_and_nothing_twice(served: tuple[Gateway, Pages]) -> None:
    served[1].size = 1
    expected = [("2", ""), ("7", ""), ("3", "2"), ("1", "2")]
    assert cited(await ask(served, "wide")) == expected
    assert cited(await ask(served, "plain")) == expected[:2]
    assert cited(await ask(served, "plain", expand=inference_pb2.EXPAND_SECTION)) == expected
    assert cited(await ask(served, "wide", expand=inference_pb2.EXPAND_NONE)) == expected[:2]
    wanted = [Expansion.NEIGHBOURS, Expansion.NONE, Expansion.SECTION, Expansion.NONE]
    assert served[1].expansions[-4:] == wanted


async def test_what_does_not_fit_is_not_missed(served: tuple[Gateway, Pages]) -> None:
    served[1].size = 300
    answer = await ask(served, "wide")
    assert cited(answer) == [("2", ""), ("7", "")]
    assert "passages_dropped" not in answer.receipt.degraded


async def test_a_search_expands_too(served: tuple[Gateway, Pages]) -> None:
    served[1].size = 1
    asked = inference_pb2.RetrieveRequest(route="plain", text="x", expand=inference_pb2.EXPAND_DOCUMENT)
    found = await served[0].stub.Retrieve(asked)
    assert [one.near for one in found.citations] == ["", "", "doc@1#2", "doc@1#2"]


async def test_what_is_no_expansion_is_refused(served: tuple[Gateway, Pages]) -> None:
    wrong = request("plain", retrieval=inference_pb2.RetrievalOptions(expand=cast("Any", 9)))
    with pytest.raises(grpc.aio.AioRpcError) as error:
        await served[0].stub.Generate(wrong)
    assert failure(error.value).fields == {"retrieval.expand": "expected a value of Expand, got 9"}
