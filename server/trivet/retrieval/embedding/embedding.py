"""Embedding: queries at once, documents beside them."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from trivet.errors import Problems
from trivet.fairness.fair_semaphore import FairSemaphore
from trivet.retrieval.embedding.cache import EmbeddingCache, cache_key
from trivet.retrieval.embedding.models import ExportedModel, open_exported
from trivet.retrieval.embedding.onnx_model import OnnxModel, Vector
from trivet.retrieval.embedding.process import EmbeddingProcess
from trivet.retrieval.settings import EmbeddingSettings

_CACHED_QUERIES = 2048
_QUERY_CHARACTERS = (
    2048  # of a query are read: tokenizing takes time by the text's length, whatever the model sees of it
)


class OnnxEmbedder:
    """Text to normalised vectors, never on the event loop.

    Queries have a thread of their own in this process, tenants by turns, so that a query waits for the one at hand and
    for its tenant's own; passages are embedded by another process of low priority, started with the first of them. The
    vectors of queries are cached in memory (the least recently used go, so that it stays below 20 MiB), those of
    passages where `vectors` says. A vector depends on nothing but its text, and still each tenant has its own: how soon
    a call returns must not tell one tenant what another one has asked or written.
    """

    def __init__(self, exported: ExportedModel, vectors: EmbeddingCache | None = None) -> None:
        """`vectors`: where those of passages are kept; the caller's to close, after this."""
        self._exported = exported
        self._vectors = vectors
        self._queries = ThreadPoolExecutor(1, "embed-query")
        # Of the thread, in whose own queue who came first is first. With two the next one is at hand.
        self._turns = FairSemaphore(2, beside_others=1)
        self._counting = FairSemaphore(1)
        self._passages = EmbeddingProcess(exported.folder)
        self._cache: OrderedDict[tuple[str, str], Vector] = OrderedDict()

    @classmethod
    async def open(
        cls, settings: EmbeddingSettings, cache: Path, vectors: EmbeddingCache | None = None
    ) -> OnnxEmbedder:
        """Open the model's export in the folder `cache`, made first if need be; raises FailedPrecondition."""
        return cls(await open_exported(settings, cache), vectors)

    @property
    def name(self) -> str:
        """The model's name, for people."""
        return self._exported.name

    @property
    def digest(self) -> str:
        """SHA-256 over the model's files."""
        return self._exported.digest

    @property
    def fingerprint(self) -> str:
        """What decides a passage's vector: equal ones give equal vectors. 64 hex digits."""
        return self._exported.fingerprint

    @property
    def dimension(self) -> int:
        """Length of the vectors."""
        return self._exported.dimension

    @property
    def passages(self) -> EmbeddingProcess:
        """The process that embeds passages, to be looked at."""
        return self._passages

    @property
    def exported(self) -> ExportedModel:
        """The model's export."""
        return self._exported

    @property
    def model(self) -> OnnxModel:
        """For counting tokens (blocking)."""
        return self._exported.model

    @property
    def room(self) -> int:
        """How many tokens of a passage the model sees: its window without special tokens and prompt."""
        return self.model.room - len(self.model.tokens(self._exported.document_prompt))

    async def embed_query(self, text: str, tenant: str = "") -> Vector:
        """The vector (dimension,) of a query, its first 2,048 characters. Not to be changed: the cache has it too."""
        text = text[:_QUERY_CHARACTERS]
        key = (tenant, text)
        found = self._cache.get(key)
        if found is not None:
            self._cache.move_to_end(key)
            return found
        prompted = self._exported.query_prompt + text
        async with self._turns.slot(tenant):
            vector = await asyncio.get_running_loop().run_in_executor(self._queries, self.model.embed, prompted)
        self._cache[key] = vector
        if len(self._cache) > _CACHED_QUERIES:
            self._cache.popitem(last=False)
        return vector

    async def embed_passages(self, texts: Sequence[str], tenant: str = "") -> list[Vector]:
        """Their vectors (dimension,), in order; each text of a tenant's is embedded once (empty: of shared documents).

        Waits for its turn with the process. Cancelling stops after the text at hand. Raises RetrievalUnavailable when
        the process cannot be started or dies twice over a text, DocumentRejected when the model cannot read one.
        """
        prompted = [self._exported.document_prompt + text for text in texts]
        keys = [cache_key(self.fingerprint, text, tenant) for text in prompted]
        found = await self._vectors.get_many(keys) if self._vectors is not None else {}
        missing = {key: text for key, text in zip(keys, prompted, strict=True) if key not in found}
        made = dict(zip(missing, await self._passages.embed(list(missing.values()), tenant), strict=True))
        if self._vectors is not None:
            await self._vectors.put_many(made)
        return [found[key] if key in found else made[key] for key in keys]

    async def embed_texts(self, texts: Sequence[str], tenant: str, *, as_queries: bool) -> tuple[list[Vector], int]:
        """Vectors (dimension,) of texts that are no passages, in order, and how many tokens they have. None is kept.

        By the process of passages, whose turns they take. Raises InvalidRequest naming texts that are longer than the
        model's window, and what `embed_passages` raises.
        """
        prompt = self._exported.query_prompt if as_queries else self._exported.document_prompt
        prompted = [prompt + text for text in texts]
        counts, problems = [], Problems()
        for number, text in enumerate(prompted):
            async with self._counting.slot(tenant):
                counts.append(len(await asyncio.to_thread(self.model.tokens, text)))
            told = f"has {counts[-1]:,} tokens, expected at most {self.model.room:,}, which is what the model sees"
            problems.expect(counts[-1] <= self.model.room, f"input[{number}]", told)
        problems.refuse()
        return await self._passages.embed(prompted, tenant), sum(counts)

    def close(self) -> None:
        """End the queries' thread, once it is done with the text at hand, and the process."""
        self._queries.shutdown(wait=False, cancel_futures=True)
        self._passages.close()
