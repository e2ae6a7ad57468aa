"""Documents and the passages that they are cut into."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum, StrEnum
from typing import Any

from trivet.types.metadata.where import Where

MOST_TEXTS = 4  # of one search
QUERY_CHARACTERS = 2048  # embedding models see some hundred words, and the work of a search grows with its text


class DocumentFormat(Enum):
    """How a document's bytes are read."""

    TEXT = "text"
    MARKDOWN = "markdown"
    HTML = "html"
    PDF = "pdf"
    JSON_LINES = "json_lines"
    DOCX = "docx"
    PPTX = "pptx"
    XLSX = "xlsx"
    ODF = "odf"
    EPUB = "epub"
    MAIL = "mail"
    CSV = "csv"
    RST = "rst"
    NOTEBOOK = "notebook"
    CODE = "code"
    IMAGE = "image"

    @property
    def is_text(self) -> bool:
        """Whether its bytes are text in UTF-8."""
        return self not in _NO_TEXTS

    @property
    def is_archive(self) -> bool:
        """Whether its bytes are a ZIP archive."""
        return self in _ARCHIVES


_ARCHIVES = frozenset(
    (DocumentFormat.DOCX, DocumentFormat.PPTX, DocumentFormat.XLSX, DocumentFormat.ODF, DocumentFormat.EPUB)
)
_NO_TEXTS = _ARCHIVES | {DocumentFormat.PDF, DocumentFormat.MAIL, DocumentFormat.IMAGE}


@dataclass(frozen=True, slots=True)
class Document:
    """One document as an operator gave it; `(tenant, id)` identifies it.

    `tenant` is empty for one that all tenants share. It is shown from `valid_from` on and until just before
    `valid_until`, both in seconds since 1970, None for no bound. `fields`: by name, as JSON has them; the index types
    them.
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
    fields: Mapping[str, Any] = field(default_factory=dict, hash=False)


class Expansion(Enum):
    """What comes along with a passage that was found: the ones before and after it, those below the same headings, or
    those of its document."""

    NONE = "none"
    NEIGHBOURS = "neighbours"
    SECTION = "section"
    DOCUMENT = "document"


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
    query's, None where it was not computed. `place`: where a person finds it, such as "page 3"; empty if there is no
    name for it. `near`: the id of the passage that it stands around; empty for one that was found itself.
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
    place: str = ""
    near: str = ""


@dataclass(frozen=True, slots=True)
class SearchQuery:
    """One search. `tenant` is the server's own filter: shared documents and this tenant's.

    `text` may be of any length; `asked`, its first QUERY_CHARACTERS, is what is searched with. `where`: conditions on
    fields, each of which has to be met. `max_per_document`: how many passages of one document at most, 0 for any
    number. `rerank`: let the index's cross-encoder order the candidates. `collapse`: only the best of passages that say
    the same. `expansion`: what of their documents comes along, beyond `top_k`.
    `more`: other texts that ask the same, each searched with too; what all of them find is fused by rank.
    `deadline`: when the caller stops waiting, by the event loop's clock.
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
    expansion: Expansion = Expansion.NONE
    deadline: float | None = None
    where: tuple[Where, ...] = ()
    more: tuple[str, ...] = ()

    @property
    def asked(self) -> str:
        """What is searched with."""
        return _first_characters(self.text)

    @property
    def all_asked(self) -> tuple[str, ...]:
        """The same and of each other text, once each."""
        return tuple(dict.fromkeys((self.asked, *map(_first_characters, self.more))))


def _first_characters(text: str) -> str:
    return text if len(text) <= QUERY_CHARACTERS else text.lstrip()[:QUERY_CHARACTERS]


@dataclass(frozen=True, slots=True)
class QueryVector:
    """What a question was searched with. `values`: float32 (dimension,), not to be changed. `model`: which embedding
    model made it; vectors of different ones cannot be compared."""

    model: str
    values: Any


@dataclass(frozen=True, slots=True)
class SearchResult:
    """Passages best first, and the snapshot that they come from.

    `around`: by the ids of passages, what stands around them, nearest first; for the query's `expansion`.
    `reranked`: their scores are the reranker's. `degraded`: why they are less than they could be. `query`: absent where
    nothing was embedded.
    """

    passages: tuple[Passage, ...]
    snapshot: str
    reranked: bool = False
    degraded: tuple[str, ...] = ()
    query: QueryVector | None = field(default=None, compare=False, repr=False)
    around: Mapping[str, tuple[Passage, ...]] = field(default_factory=dict)

    @property
    def confidence(self) -> float | None:
        """How well the best passage fits: the reranker's score, else the highest similarity; None if not known."""
        if self.reranked:
            return max((passage.score for passage in self.passages), default=None)
        known = [passage.similarity for passage in self.passages if passage.similarity is not None]
        return max(known, default=None)


class LeftOut(StrEnum):
    """Why a search does not return a passage, for people."""

    REPLACED = "its document was replaced or deleted a moment ago"
    FILTERED = "it does not meet the filter"
    COPY = "it says the same as a passage before it"
    BELOW = "its score is below min_score"
    FULL = "its document has as many passages before it as may be"
    BEYOND = "others come before it: raise top_k to see it"
    UNREAD = "the cross-encoder does not read it: raise rerank.candidates in index.yaml"


@dataclass(frozen=True, slots=True)
class ExplainedPassage:
    """A candidate of a search. Ranks begin with 1, 0 where a half did not hand it on; `recency` is a part of the
    passage's score. `left_out`: None if a search returns it. `rerank_score`: by the
    cross-encoder, None where it did not read it."""

    passage: Passage
    meaning_rank: int
    terms_rank: int
    recency: float
    left_out: LeftOut | None
    rerank_score: float | None = None


@dataclass(frozen=True, slots=True)
class Correction:
    """A word of a question that no passage has, and the nearest words of the index that it is searched for as, too."""

    word: str
    instead: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class SearchExplanation:
    """How a search came about. `weights`: of the searches by meaning and by terms; `terms`: of the question.
    `reranked`: how many passages the cross-encoder has read."""

    snapshot: str
    weights: tuple[float, float]
    rrf_k: int
    candidates: int
    terms: int
    passages: tuple[ExplainedPassage, ...]
    reranked: int = 0
    corrections: tuple[Correction, ...] = ()


@dataclass(frozen=True, slots=True)
class DocumentSummary:
    """A document of an index. Times in seconds since 1970; `content` is the same for the same passages."""

    id: str
    tenant: str
    revision: int
    title: str
    source: str
    updated: float
    valid_until: float | None
    passages: int
    content: str


@dataclass(frozen=True, slots=True)
class IndexStatus:
    """What an index holds.

    `retained`: snapshots that a rollback can return to, the one that was live last first; the one furthest behind lacks
    `lag` documents as they are now. `build_due`: why a build would make a new snapshot, empty if it would not.
    `unoptimised`: points written to the live snapshot since it was optimised. `notes`: what about its settings may not
    be meant so.
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
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class BuildProgress:
    """How far a build is. `stage` is "fetch" (of a source elsewhere), "scan", "read", "split", "embed", "write",
    "optimise", "check" or "swap".

    `total` is 0 where it is not known. `skipped`: files and lines that could not be taken so far.
    """

    stage: str
    done: int
    total: int
    document_id: str = ""
    skipped: int = 0
