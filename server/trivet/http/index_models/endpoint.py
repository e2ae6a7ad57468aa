"""`POST /v1/embeddings` and `POST /v1/rerank`."""

from __future__ import annotations

import asyncio

from trivet.http.exchange import Exchange
from trivet.http.index_models.request import EmbeddingRequest, RerankRequest
from trivet.http.index_models.response import embeddings, ranking
from trivet.pipeline.search import IndexModelPipeline
from trivet.rpc.intake import RequestIntake
from trivet.types.answer import EmbedCall, RerankCall


class IndexModelCalls:
    """One endpoint for each."""

    def __init__(self, pipeline: IndexModelPipeline, intake: RequestIntake) -> None:
        self._pipeline = pipeline
        self._intake = intake

    async def embed(self, exchange: Exchange) -> None:
        """A vector for each text."""
        call = exchange.call
        caller = self._intake.caller(call)  # before anything of the body is looked at
        asked = await exchange.body(EmbeddingRequest)
        found = await self._pipeline.embed(
            EmbedCall(
                request_id=call.request_id,
                caller=caller,
                index=asked.model,
                texts=tuple(asked.input),
                arrived=call.arrived,
                deadline=call.deadline,
                as_queries=asked.input_type == "query",
                dimensions=asked.dimensions,
            ),
            call.close,
        )
        assert call.receipt is not None
        await exchange.respond(await asyncio.to_thread(embeddings, asked, found, call.receipt))

    async def rerank(self, exchange: Exchange) -> None:
        """Documents in the order of their scores."""
        call = exchange.call
        caller = self._intake.caller(call)
        asked = await exchange.body(RerankRequest)
        found = await self._pipeline.rerank(
            RerankCall(
                call.request_id,
                caller,
                asked.model,
                asked.query,
                tuple(asked.documents),
                call.arrived,
                call.deadline,
            ),
            call.close,
        )
        assert call.receipt is not None
        await exchange.respond(ranking(asked, found, call.receipt))
