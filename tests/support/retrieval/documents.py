"""Short forms for tests of documents and searches."""

from __future__ import annotations

from trivet.retrieval.service import IndexService
from trivet.types.corpus import CorpusReport
from trivet.types.passage import BuildProgress, Document, DocumentFormat, SearchQuery, SearchResult


def markdown(document_id: str, text: str, *, tags: tuple[str, ...] = (), tenant: str = "") -> Document:
    """A Markdown document."""
    return Document(document_id, text.encode(), DocumentFormat.MARKDOWN, tags=tags, tenant=tenant)


async def search(
    service: IndexService, text: str, *, tenant: str = "acme", top_k: int = 5, tags: tuple[str, ...] = ()
) -> SearchResult:
    """Search the index `handbook`."""
    return await service.search(SearchQuery("handbook", text, tenant, top_k, tags=tags))


async def texts(service: IndexService, text: str, **options: str | int | tuple[str, ...]) -> list[str]:
    """The texts of the passages found."""
    return [passage.text for passage in (await search(service, text, **options)).passages]  # type: ignore[arg-type]


async def built(service: IndexService) -> list[BuildProgress]:
    """Build the index `handbook`; the progress that was reported, after the folder's walk."""
    events = [event async for event in service.build("handbook")]
    return [event for event in events if isinstance(event, BuildProgress) and event.stage != "scan"]


async def reported(service: IndexService) -> CorpusReport:
    """Build the index `handbook`; what was found in its corpus."""
    (report,) = [event async for event in service.build("handbook") if isinstance(event, CorpusReport)]
    return report
