"""What is retrieved for one request: passages and examples, within the same deadline."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace

from trivet.errors import RetrievalTimeout, RetrievalUnavailable
from trivet.pipeline.passages import QUERY_CUT, BoundedRetriever, query_of
from trivet.prompts.template.examples import example_of
from trivet.types.passage import QUERY_CHARACTERS, Passage, QueryVector, SearchResult
from trivet.types.prompt import WorkedExample
from trivet.types.request import GenerateCall
from trivet.types.variant import FewShotSettings, OnRetrievalFailure, RetrievalSettings, Route

_PLACES = ("retrieval", "examples")  # what could not be had, in `degraded`


@dataclass(frozen=True, slots=True)
class Context:
    """What was found, best first. `searches` were answered; `degraded` says what is missing.

    `found` is False where the passages could not be had: then nothing is known of what the documents say.
    """

    passages: tuple[Passage, ...] = ()
    examples: tuple[WorkedExample, ...] = ()
    snapshot: str = ""
    confidence: float | None = None
    reranked: bool = False
    found: bool = False
    searches: int = 0
    degraded: tuple[str, ...] = ()
    query: QueryVector | None = None

    def below(self, settings: RetrievalSettings) -> bool | None:
        """Whether the passages fall short of the variant's floor; None if that cannot be told.

        A floor is meant on one scale, the reranker's or the similarity's: an order that stands in for the reranker's
        is not held against it.
        """
        if settings.confidence is None or not self.found:
            return False
        if not self.passages:
            return True
        if self.confidence is None or self.reranked != settings.rerank:
            return None
        return self.confidence < settings.confidence.below


class ContextRetrieval:
    """Searches for a request as its variant wants it."""

    def __init__(self, retriever: BoundedRetriever) -> None:
        self._retriever = retriever

    async def find(
        self, call: GenerateCall, route: Route, settings: RetrievalSettings, until: float, rewritten: str | None
    ) -> Context:
        """Passages and examples, searched for at the same time, `until` that time of the event loop's clock.

        `rewritten`: the question as a model wrote it, to search with it instead, or with both. What could not be had is
        missing and said in `degraded`, or raises RetrievalUnavailable where the route's policy is to fail. A long
        message is searched with by its first QUERY_CHARACTERS, and that is said too.
        """
        text = rewritten or call.question
        asked_too = rewritten is not None and settings.rewrite is not None and settings.rewrite.fuse
        options, loop = call.retrieval, asyncio.get_running_loop()
        queries = [
            query_of(
                settings,
                text,
                call.tenant,
                top_k=options.top_k,
                tags=options.tags,
                expansion=options.expansion,
                where=options.where,
                more=(call.question,) if asked_too else (),
            )
        ]
        if settings.few_shot is not None:
            examples = RetrievalSettings(settings.few_shot.index, top_k=settings.few_shot.k)
            queries.append(query_of(examples, text, call.tenant))
        searches = [
            self._retriever.search(query, own_deadline=until - loop.time(), client_deadline=call.deadline)
            for query in queries
        ]
        results = await asyncio.gather(*searches, return_exceptions=True)
        context = _context(results, settings.few_shot, route.on_retrieval_failure)
        return replace(context, degraded=(QUERY_CUT, *context.degraded)) if len(text) > QUERY_CHARACTERS else context


def _context(
    results: Sequence[SearchResult | BaseException], few_shot: FewShotSettings | None, policy: OnRetrievalFailure
) -> Context:
    degraded: list[str] = []
    for place, result in zip(_PLACES, results, strict=False):
        if not isinstance(result, BaseException):
            degraded += result.degraded
            continue
        if not isinstance(result, RetrievalUnavailable) or policy is OnRetrievalFailure.FAIL:
            raise result
        degraded.append(f"{place}_timeout" if isinstance(result, RetrievalTimeout) else f"{place}_unavailable")
    answered = [result for result in results if isinstance(result, SearchResult)]
    examples: tuple[WorkedExample, ...] = ()
    if few_shot is not None and isinstance(results[1], SearchResult):
        read = [example_of(passage) for passage in results[1].passages]
        examples = tuple(example for example in read if example is not None)
        if len(examples) < len(read):
            degraded.append("examples_unreadable")
    first = results[0]
    if not isinstance(first, SearchResult):
        return Context(examples=examples, searches=len(answered), degraded=tuple(degraded))
    return Context(
        passages=first.passages,
        examples=examples,
        snapshot=first.snapshot,
        confidence=first.confidence,
        reranked=first.reranked,
        found=True,
        searches=len(answered),
        degraded=tuple(degraded),
        query=first.query,
    )
