"""Reranking: a cross-encoder orders the best candidates of a search anew, while there is time."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

from trivet.errors import FailedPrecondition
from trivet.fairness.fair_semaphore import FairSemaphore
from trivet.ports import Retriever
from trivet.retrieval.model_export.export import export_model, is_whole, model_digest
from trivet.retrieval.rerank.export import FORMAT
from trivet.retrieval.rerank.pair_model import PairModel
from trivet.types.passage import Passage, SearchQuery, SearchResult

logger = logging.getLogger(__name__)

TIMEOUT = "rerank_timeout"
FAILED = "rerank_failed"
_MARGIN = 0.01  # seconds before the caller's deadline, so that the order that there is still arrives
_MOST_CANDIDATES = 100
_READ = 8192  # characters of a passage: models see some hundred words, and a passage may be one word of megabytes


@dataclass(frozen=True, slots=True)
class RerankSettings:
    """Which cross-encoder (a sentence-transformers folder), and how many of a search's best passages it sees."""

    model: Path
    candidates: int = 20
    precision: str = "int8"


class Reranker:
    """Scores pairs of question and passage on a thread of its own, never on the event loop."""

    def __init__(self, model: PairModel, candidates: int) -> None:
        self.candidates = candidates
        self._model = model
        self._thread = ThreadPoolExecutor(1, "rerank")
        self._semaphore = FairSemaphore(1)

    @classmethod
    async def open(cls, settings: RerankSettings, cache: Path) -> Reranker:
        """Open the model's export in `cache`, made first if need be; raises FailedPrecondition."""
        digest = await asyncio.to_thread(_digest, settings.model)
        target = cache / f"{digest[:16]}-{settings.precision}-{FORMAT}"
        if not await asyncio.to_thread(is_whole, target):
            told = f"cross-encoder {settings.model.name!r}"
            exporter = "trivet.retrieval.rerank.export"
            await export_model(exporter, settings.model, settings.precision, target, told=told)
        return cls(await asyncio.to_thread(PairModel.open, target), settings.candidates)

    async def scores(
        self, question: str, passages: Sequence[Passage], tenant: str = "", until: float | None = None
    ) -> list[float]:
        """A score for each, of the first ones only if the loop's time is `until` before all are made.

        Waits for the tenant's turn. Cancelled or late, the thread stops after the pair at hand.
        """
        made: list[float] = []
        given_up = threading.Event()
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout_at(until), self._semaphore.slot(tenant):
                await loop.run_in_executor(self._thread, self._score, question, passages, made, given_up)
        except TimeoutError:
            pass
        finally:
            given_up.set()
        return list(made)  # the thread may be about to add one

    async def score_texts(self, question: str, texts: Sequence[str], tenant: str) -> tuple[list[float], int]:
        """A score for each text, in order, and how many tokens the model has read.

        Waits for the tenant's turn with each text, so that searches of others come in between. Cancelled, the thread
        stops after the text at hand.
        """
        scores, read, loop = [], 0, asyncio.get_running_loop()
        for text in texts:
            async with self._semaphore.slot(tenant):
                score, tokens = await loop.run_in_executor(self._thread, self._model.score_and_count, question, text)
            scores.append(score)
            read += tokens
        return scores, read

    def _score(self, question: str, passages: Sequence[Passage], made: list[float], given_up: threading.Event) -> None:
        for passage in passages:
            if given_up.is_set():
                return
            made.append(self._model.score(question, f"{passage.title}\n{passage.text}"[:_READ]))

    def close(self) -> None:
        """End the thread once it is done with the pair at hand."""
        self._thread.shutdown(wait=False, cancel_futures=True)


def reranker_of(rerankers: Mapping[str, Reranker], index: str) -> Reranker:
    """Raises FailedPrecondition if the index has none that is open."""
    if index not in rerankers:
        raise FailedPrecondition(f"index {index!r} has no cross-encoder")
    return rerankers[index]


def widened(query: SearchQuery, candidates: int) -> SearchQuery:
    """The search for what the cross-encoder sees."""
    return replace(
        query,
        top_k=min(max(candidates, query.top_k), _MOST_CANDIDATES),
        min_score=0.0,
        max_per_document=0,
        rerank=False,
    )


class RerankingRetriever:
    """Implements the Retriever port around another one, for queries that ask for it."""

    def __init__(self, retriever: Retriever, rerankers: Mapping[str, Reranker]) -> None:
        """`rerankers` by index."""
        self._retriever = retriever
        self._rerankers = rerankers

    async def search(self, query: SearchQuery) -> SearchResult:
        """Search; with `query.rerank`, by the scores of the cross-encoder.

        Where the query's deadline is about to pass, the first ones are ordered as far as they have scores; the rest
        stays behind them, all have the search's scores, and the result is marked `degraded`. Raises what the search
        raises, and FailedPrecondition if the index has no cross-encoder.
        """
        if not query.rerank:
            return await self._retriever.search(query)
        reranker = reranker_of(self._rerankers, query.index)
        found = await self._retriever.search(widened(query, reranker.candidates))
        until = None if query.deadline is None else query.deadline - _MARGIN
        try:
            scores = await reranker.scores(query.asked, found.passages, query.tenant, until)
        except Exception:
            logger.exception("a cross-encoder failed")
            return replace(found, passages=_first(found.passages, query), degraded=(*found.degraded, FAILED))
        scored = sorted(zip(scores, found.passages, strict=False), key=lambda pair: -pair[0])  # stable
        if len(scores) < len(found.passages):
            ordered = [*(passage for _, passage in scored), *found.passages[len(scores) :]]
            return replace(found, passages=_first(ordered, query), degraded=(*found.degraded, TIMEOUT))
        good = [replace(passage, score=score) for score, passage in scored if score >= query.min_score]
        return replace(found, passages=_first(good, query), reranked=True)


def _first(passages: Sequence[Passage], query: SearchQuery) -> tuple[Passage, ...]:
    """The first `top_k`, at most `max_per_document` of each document."""
    chosen: list[Passage] = []
    counts: dict[tuple[str, str], int] = {}
    for passage in passages:
        owner = passage.id.removesuffix(passage.id.rpartition("@")[2])  # of tenant and document
        count = counts[owner, passage.document_id] = counts.get((owner, passage.document_id), 0) + 1
        if not query.max_per_document or count <= query.max_per_document:
            chosen.append(passage)
    return tuple(chosen[: query.top_k])


def _digest(folder: Path) -> str:
    """SHA-256 over the model's files; raises FailedPrecondition if there is none."""
    if not (folder / "config.json").is_file():
        raise FailedPrecondition(f"cross-encoder {folder.name!r}: no config.json in its folder")
    return model_digest(folder)
