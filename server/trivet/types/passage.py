"""Documents and the passages that they are cut into."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

QUERY_CHARACTERS = 2048  # embedding models see some hundred words, and the work of a search grows with its text


class DocumentFormat(Enum):
    """How a document's bytes are read."""

    TEXT = "text"
    MARKDOWN = "markdown"
    HTML = "html"
    PDF = "pdf"
    JSON_LINES = "json_lines"


@dataclass(frozen=True, slots=True)
class Document:
    """One document as an operator gave it; `(tenant, id)` identifies it.

    `tenant` is empty for one that all tenants share. It is shown from `valid_from` on and until just before
    `valid_until`, both in seconds since 1970, None for no bound.
    """

    id: str
    content: bytes
    format: DocumentFormat
    title: str = ""
    source: str = ""
    tags: tuple[str, ...] = ()
    tenant: str = ""
    valid_from: float | None = None
    valid_until: float | None = None


@dataclass(frozen=True, slots=True)
class Acknowledgement:
    """A document that is durable and will be found by the next request."""

    id: str
    revision: int
    unchanged: bool
    passages: int


@dataclass(frozen=True, slots=True)
class Passage:
    """A piece of a document, found. `score` is the fused rank score, or the reranker's; higher is better.

    `start` and `end`: its range in the document's text, in characters. `similarity`: cosine of its vector with the
    query's, None where it was not computed.
    """

    id: str
    document_id: str
    title: str
    text: str
    score: float
    revision: int
    start: int = 0
    end: int = 0
    similarity: float | None = None


@dataclass(frozen=True, slots=True)
class SearchQuery:
    """One search. `tenant` is the server's own filter: shared documents and this tenant's.

    `text` may be of any length; `asked`, its first QUERY_CHARACTERS, is what is searched with.
    `max_per_document`: how many passages of one document at most, 0 for any number. `rerank`: let the index's
    cross-encoder order the candidates. `collapse`: only the best of passages that say the same. `deadline`: when the
    caller stops waiting, by the event loop's clock.
    """

    index: str
    text: str
    tenant: str
    top_k: int
    min_score: float = 0.0
    tags: tuple[str, ...] = ()
    max_per_document: int = 0
    rerank: bool = False
    collapse: bool = False
    deadline: float | None = None

    @property
    def asked(self) -> str:
        """What is searched with."""
        return self.text if len(self.text) <= QUERY_CHARACTERS else self.text.lstrip()[:QUERY_CHARACTERS]


@dataclass(frozen=True, slots=True)
class SearchResult:
    """Passages best first, and the snapshot that they come from.

    `reranked`: their scores are the reranker's. `degraded`: why they are less than they could be.
    """

    passages: tuple[Passage, ...]
    snapshot: str
    reranked: bool = False
    degraded: tuple[str, ...] = ()

    @property
    def confidence(self) -> float | None:
        """How well the best passage fits: the reranker's score, else the highest similarity; None if not known."""
        if self.reranked:
            return max((passage.score for passage in self.passages), default=None)
        known = [passage.similarity for passage in self.passages if passage.similarity is not None]
        return max(known, default=None)


@dataclass(frozen=True, slots=True)
class IndexStatus:
    """What an index holds.

    `retained`: snapshots that a rollback can return to, the one that was live last first; the one furthest behind lacks
    `lag` documents as they are now. `build_due`: why a build would make a new snapshot, empty if it would not.
    `unoptimised`: points written to the live snapshot since it was optimised.
    """

    name: str
    snapshot: str
    documents: int
    passages: int
    embedding_model: str
    dimension: int
    retained: tuple[str, ...] = ()
    build_due: str = ""
    unoptimised: int = 0
    lag: int = 0


@dataclass(frozen=True, slots=True)
class BuildProgress:
    """How far a build is. `stage` is "scan", "read", "split", "embed", "write", "optimise", "check" or "swap".

    `total` is 0 where it is not known. `skipped`: files and lines that could not be taken so far.
    """

    stage: str
    done: int
    total: int
    document_id: str = ""
    skipped: int = 0
