"""Embedding: queries at once, documents beside them."""

from __future__ import annotations

import asyncio
import os
import sys
import threading
from collections import OrderedDict
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from trivet.retrieval.embedding_cache import EmbeddingCache, cache_key
from trivet.retrieval.models import ExportedModel, open_exported
from trivet.retrieval.onnx_model import OnnxModel, Vector
from trivet.retrieval.settings import EmbeddingSettings

_CACHED_QUERIES = 2048
_CACHED_CHARACTERS = 2048  # longer queries are not kept: memory stays below 8 MiB
_DOCUMENT_NICENESS = 10


class OnnxEmbedder:
    """Text to normalised vectors, on threads of its own, never on the event loop.

    Queries and documents have one thread each, so that a query waits for other queries at most; the documents' thread
    has a lower priority. Query vectors are cached (they depend on nothing but the text), the least recently used go.
    """

    def __init__(self, exported: ExportedModel, vectors: EmbeddingCache | None = None) -> None:
        """`vectors`: where those of passages are kept; the caller's to close, after this."""
        self._exported = exported
        self._vectors = vectors
        self._queries = ThreadPoolExecutor(1, "embed-query")
        self._documents = ThreadPoolExecutor(1, "embed-document", initializer=_be_nice)
        self._cache: OrderedDict[str, Vector] = OrderedDict()

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
    def model(self) -> OnnxModel:
        """For counting tokens (blocking)."""
        return self._exported.model

    @property
    def room(self) -> int:
        """How many tokens of a passage the model sees: its window without special tokens and prompt."""
        return self.model.room - len(self.model.tokens(self._exported.document_prompt))

    async def embed_query(self, text: str) -> Vector:
        """The vector (dimension,) of a query. Not to be changed: the cache has the same one."""
        found = self._cache.get(text)
        if found is not None:
            self._cache.move_to_end(text)
            return found
        prompted = self._exported.query_prompt + text
        vector = await asyncio.get_running_loop().run_in_executor(self._queries, self.model.embed, prompted)
        if len(text) <= _CACHED_CHARACTERS:
            self._cache[text] = vector
            if len(self._cache) > _CACHED_QUERIES:
                self._cache.popitem(last=False)
        return vector

    async def embed_passages(self, texts: Sequence[str]) -> list[Vector]:
        """Their vectors (dimension,), in order; each text is embedded once. Cancelling stops after the text at hand."""
        prompted = [self._exported.document_prompt + text for text in texts]
        keys = [cache_key(self.fingerprint, text) for text in prompted]
        found = await self._vectors.get_many(keys) if self._vectors is not None else {}
        missing = {key: text for key, text in zip(keys, prompted, strict=True) if key not in found}
        loop = asyncio.get_running_loop()
        made = {
            key: await loop.run_in_executor(self._documents, self.model.embed, text) for key, text in missing.items()
        }
        if self._vectors is not None:
            await self._vectors.put_many(made)
        return [found[key] if key in found else made[key] for key in keys]

    def close(self) -> None:
        """End the threads once they are done with the text at hand."""
        self._queries.shutdown(wait=False, cancel_futures=True)
        self._documents.shutdown(wait=False, cancel_futures=True)


def _be_nice() -> None:
    """Let the scheduler prefer the other threads. On Linux alone a niceness is a thread's, not the process's."""
    if sys.platform == "linux":
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _DOCUMENT_NICENESS)
