"""Settings of the retrieval leg."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import Enum
from pathlib import Path
from typing import Any

from trivet.types.metadata.fields import FieldType, FieldTypes
from trivet.types.text.path_pattern import PathPattern

DEFAULT_DOCUMENT_BYTES = 4 << 20
_CHUNKING = 4  # grows when the same settings would give other passages than before
_TERMS = 3  # grows when the same passage would give other terms than before
_WAY = ("chunk_tokens", "pack", "language")


class Precision(Enum):
    """Arithmetic of the embedding model. int8 takes about a third of the time and changes the ranking a little."""

    FLOAT32 = "float32"
    INT8 = "int8"


@dataclass(frozen=True, slots=True)
class EmbeddingSettings:
    """Which model turns text into vectors.

    `model`: folder of a sentence-transformers model, or `hub:organisation/name[@revision]`; None for the default.
    """

    model: Path | str | None = None
    precision: Precision = Precision.INT8


@dataclass(frozen=True, slots=True)
class RecencySettings:
    """A third list that is fused with the two of a search: what was found, the newest first.

    `field`: of dates. A document's part in the list is halved with each `half_life` of its age, in seconds. `weight`:
    of the list, as the two others have theirs.
    """

    field: str
    half_life: float
    weight: float


@dataclass(frozen=True, slots=True)
class CorpusSelection:
    """Which files of a corpus folder are documents' files.

    `include`: those that one of these patterns fits, or all of a folder that one fits; empty for all. `ignore`: but for
    those, and all of a folder that one fits. `follow_links`: also through symbolic links out of the folder and to
    folders. `max_files`: files and folders that are looked at, and documents that are in them. `images`: pictures, too.
    """

    include: tuple[PathPattern, ...] = ()
    ignore: tuple[PathPattern, ...] = ()
    follow_links: bool = False
    max_files: int = 250_000
    images: bool = False


@dataclass(frozen=True, slots=True)
class CorpusSource:
    """Where a corpus comes from that lies elsewhere: its folder is a mirror then.

    `url`: `s3://bucket/prefix` and what else fsspec knows, a sitemap's `https://` address, or
    `git+https://host/repository@revision#folder`. `allow`: URLs that a site's pages begin with; empty for the sitemap's
    host. `every`: seconds between two syncs; 0 for none but those that are asked for. `max_bytes`: of all files
    together.
    `timeout`: of a sync, in seconds. `allow_private`: addresses that are not of the public internet, too.
    `endpoint_url`, `region`: of an S3 service.
    """

    url: str
    allow: tuple[str, ...] = ()
    every: float = 0.0
    max_bytes: int = 10 << 30
    timeout: float = 3600.0
    allow_private: bool = False
    endpoint_url: str | None = None
    region: str | None = None


@dataclass(frozen=True, slots=True)
class IndexSettings:
    """How one index is made and searched.

    `chunk_tokens`: a passage's text has at most so many tokens of the embedding model. `pack`: neighbouring paragraphs
    of a section share a passage while they fit; otherwise each paragraph is one of its own. `language`: for stop words
    and stemming of the term search, lower case, such as "english". `candidates`: how many passages each of the two
    searches hands to the fusion. `rrf_k`: constant of the reciprocal rank fusion (smaller: the first ranks count more).
    `retain`: how many snapshots that are not live any more are kept for a rollback. `rebuild_after`: with so many
    points written since the live snapshot was optimised, the index is built anew; 0 for never. `questions`: a file of
    lines {"question", "document"} that a new snapshot is checked with before it becomes live. `encoding`: of text,
    Markdown and HTML files that are no UTF-8 and do not say what they are; None to guess it. `source`: what the corpus
    folder mirrors; None if it is the user's own. `overlap`: where a section is cut, so many tokens at most of the
    passage before are repeated. `headings`: a passage is embedded, and found, with its document's title and the
    headings above it. `fields`: of documents, by name, that searches may filter by. `recency`: whether newer documents
    come first. `correct_spelling`: words that no passage has are searched for as the nearest ones, too.
    """

    name: str
    corpus: Path
    chunk_tokens: int = 180
    pack: bool = True
    language: str = "english"
    embedding: EmbeddingSettings = EmbeddingSettings()
    candidates: int = 50
    rrf_k: int = 2
    max_document_bytes: int = DEFAULT_DOCUMENT_BYTES
    retain: int = 1
    rebuild_after: int = 25_000
    questions: Path | None = None
    selection: CorpusSelection = CorpusSelection()
    encoding: str | None = None
    source: CorpusSource | None = None
    overlap: int = 0
    headings: bool = True
    fields: FieldTypes = field(default_factory=dict, hash=False)
    recency: RecencySettings | None = None
    correct_spelling: bool = False

    def way(self) -> dict[str, Any]:
        """The way of chunking and embedding: what makes a snapshot. What only matters to a search is not in it."""
        return {
            "chunking": _CHUNKING,
            "terms": _TERMS,
            **{name: getattr(self, name) for name in _WAY},
            # Absent where they are what they were before there was a choice: snapshots keep their names.
            **({"overlap": self.overlap} if self.overlap else {}),
            **({} if self.headings else {"headings": False}),
            "model": None if self.embedding.model is None else str(self.embedding.model),
            "precision": self.embedding.precision.value,
            **({"fields": {name: type_.value for name, type_ in sorted(self.fields.items())}} if self.fields else {}),
        }

    def in_way(self, way: Mapping[str, Any]) -> IndexSettings:
        """These settings, but chunking and embedding in that way."""
        model = way["model"]
        if model is not None and not model.startswith("hub:"):  # as the settings have it: a model is opened once
            model = Path(model)
        changes = {name: way[name] for name in _WAY if name in way}
        changes |= {"overlap": way.get("overlap", 0), "headings": way.get("headings", True)}
        fields = {name: FieldType(type_) for name, type_ in way.get("fields", {}).items()}
        return replace(self, **changes, fields=fields, embedding=EmbeddingSettings(model, Precision(way["precision"])))


def with_present_terms(way: Mapping[str, Any]) -> dict[str, Any]:
    """The same way, with the terms that are made now: they are no setting, and nobody wants the earlier ones."""
    return {**way, "terms": _TERMS}


def way_name(way: Mapping[str, Any], fingerprint: str) -> str:
    """Eight hex digits that name a way of chunking and embedding. `fingerprint`: of the model, wherever it lies."""
    about = {name: value for name, value in way.items() if name not in ("model", "precision")}
    return hashlib.sha256(json.dumps({**about, "model": fingerprint}, sort_keys=True).encode()).hexdigest()[:8]
