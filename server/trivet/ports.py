"""The seams: one small Protocol each. `trivet.app` alone decides what stands behind them."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from typing import Protocol

from trivet.types.adapter import StagedAdapter
from trivet.types.generation import BackendRequest, Chunk
from trivet.types.passage import (
    Acknowledgement,
    BuildProgress,
    Document,
    IndexStatus,
    SearchQuery,
    SearchResult,
)
from trivet.types.receipt import Receipt


class Backend(Protocol):
    """What generates. All calls are made from one event loop."""

    @property
    def name(self) -> str:
        """Its name in the configuration."""
        ...

    @property
    def block_size(self) -> int:
        """Tokens per KV cache block: prefixes are cached in whole blocks."""
        ...

    @property
    def context_tokens(self) -> int:
        """Prompt and answer together are at most this long."""
        ...

    @property
    def salts_after_prefix(self) -> bool:
        """It heeds `BackendRequest.unsalted_tokens`; else a salt covers the whole prompt."""
        ...

    @property
    def ready(self) -> bool:
        """The engine is alive and takes requests."""
        ...

    @property
    def incarnation(self) -> int:
        """Grows with each (re)start of the engine: what was cached before it is gone."""
        ...

    def generate(self, request: BackendRequest) -> AsyncGenerator[Chunk, None]:
        """Stream the answer; the first token alone, then coalesced. The last chunk has `finish`.

        Closing the generator, or cancelling the task that reads it, aborts the work in the engine at once. Raises
        BackendUnavailable when the engine dies or is not ready, NotFound when the adapter is not resident.
        """
        ...

    async def load_adapter(self, adapter: StagedAdapter) -> None:
        """Make it resident under its engine name; raises AdapterRejected if the engine refuses it."""
        ...

    async def unload_adapter(self, engine_name: str) -> None:
        """Forget it. The caller has drained it; no error if it was not resident."""
        ...


class Retriever(Protocol):
    """What finds passages."""

    async def search(self, query: SearchQuery) -> SearchResult:
        """Hybrid search; raises NotFound for an unknown index, RetrievalUnavailable when the engine is down.

        The caller bounds it in time; cancelling it leaves nothing behind.
        """
        ...


class IndexAdministration(Protocol):
    """What changes an index."""

    async def upsert(self, index: str, document: Document) -> Acknowledgement:
        """Durable and found by the next search when this returns."""
        ...

    async def delete(self, index: str, ids: Sequence[str], tenant: str = "") -> list[str]:
        """Delete documents of `tenant` (empty: shared ones); the ids that existed. Never cited again afterwards."""
        ...

    async def status(self) -> list[IndexStatus]:
        """All configured indexes."""
        ...

    def build(self, index: str, *, rebuild: bool = False) -> AsyncIterator[BuildProgress]:
        """Bring the index up to its corpus folder and settings; with `rebuild`, make a new snapshot in any case."""
        ...

    async def rollback(self, index: str, snapshot: str = "", reason: str = "") -> IndexStatus:
        """Return to a retained snapshot, the one that was live last by default, with today's documents."""
        ...


class ReceiptSink(Protocol):
    """Where every receipt goes, exactly once."""

    def record(self, receipt: Receipt, token_gaps: Sequence[tuple[float, int]] = ()) -> None:
        """Count it and append it to the request log. Never raises into the request path.

        `token_gaps`: (seconds, tokens) between chunks at the engine's output.
        """
        ...
