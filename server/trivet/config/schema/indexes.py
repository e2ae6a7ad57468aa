"""Documents, where their passages live, and `index.yaml`."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, Field, StringConstraints, model_validator

from trivet.config.fields import patterns
from trivet.config.fields.kinds import Count, Encoding, Name, Pattern, Section
from trivet.types.metadata.fields import MAX_FIELDS
from trivet.types.text import languages


class Qdrant(Section):
    """Where passages live. Without `url`, an embedded engine in the data folder."""

    url: Annotated[str, StringConstraints(pattern=patterns.QDRANT_URL)] | None = None
    grpc_port: Annotated[int, Field(ge=1, le=65535)] = 6334
    api_key_file: str | None = None
    replicas: Annotated[int, Field(ge=1, le=16)] = 1
    shards: Annotated[int, Field(ge=1, le=1024)] | None = None
    write_consistency: Annotated[int, Field(ge=1, le=16)] = 1
    quantization: Literal["none", "int8"] = "none"


class QuotaSection(Section):
    """How much a tenant may have in all indexes together; None for no bound."""

    max_documents: Annotated[int, Field(ge=0)] | None = None
    max_bytes: Annotated[int, Field(ge=0)] | None = None


class QuotasSection(QuotaSection):
    """Each tenant's, and whole ones of their own for some."""

    tenants: dict[Name, QuotaSection] = {}


class TextRecognition(Section):
    """Pictures and scanned pages are read by Tesseract, which has to be installed. Languages by its names for them."""

    languages: Annotated[
        list[Annotated[str, StringConstraints(pattern=patterns.OCR_LANGUAGE)]], Field(min_length=1, max_length=8)
    ] = ["eng"]
    command: Annotated[str, StringConstraints(min_length=1, max_length=4096)] = "tesseract"


class Documents(Section):
    """The processes that read documents and cut them into passages, and what one document may take."""

    processes: Annotated[int, Field(ge=1, le=64)] = 2
    max_queued: Annotated[int, Field(ge=0)] = 64
    max_seconds: Annotated[int, Field(ge=1, le=3600)] = 20
    max_memory_bytes: Annotated[int, Field(ge=256 << 20)] = 1 << 30
    max_pages: Count = 2_000
    max_characters: Count = 4 << 20
    max_passages: Count = 20_000
    max_unpacked_bytes: Annotated[int, Field(ge=1 << 20, le=4 << 30)] = 128 << 20
    ocr: TextRecognition | None = None


class Chunking(Section):
    """How documents are cut; tokens of the embedding model. With `pack`, neighbouring paragraphs share a passage.

    `overlap`: of the passage before, where a section is cut. `headings`: what stands above is embedded with a passage.
    """

    max_tokens: Annotated[int, Field(ge=16, le=8192)] = 180
    pack: bool = True
    overlap: Annotated[int, Field(ge=0, le=4096)] = 0
    headings: bool = True


class Embedding(Section):
    """Which model, by path or as `hub:organisation/name[@revision]`; the default is installed with Trivet."""

    model: Annotated[str, Field(pattern=patterns.MODEL)] | None = None
    precision: Literal["float32", "int8"] = "int8"


class Rerank(Section):
    """A cross-encoder that orders the best `candidates` of a search anew, for routes that ask for it."""

    model: str
    candidates: Annotated[int, Field(ge=2, le=100)] = 20
    precision: Literal["float32", "int8"] = "int8"


class Source(Section):
    """Where a corpus comes from that lies elsewhere."""

    url: Annotated[str, Field(pattern=patterns.SOURCE, max_length=2048)]
    allow: Annotated[list[Annotated[str, Field(pattern=patterns.URL, max_length=2048)]], Field(max_length=100)] = []
    every: Annotated[float, Field(ge=60, allow_inf_nan=False)] | None = None
    max_bytes: Count = 10 << 30
    timeout: Annotated[float, Field(ge=1, le=86_400, allow_inf_nan=False)] = 3600.0
    allow_private: bool = False
    endpoint_url: Annotated[str, Field(pattern=patterns.URL)] | None = None
    region: Annotated[str, Field(pattern=patterns.REGION)] | None = None


class Recency(Section):
    """Newer documents come first: by a field of dates, whose part is halved with each half-life of a document's age."""

    field: Annotated[str, Field(pattern=patterns.FIELD)]
    half_life_days: Annotated[float, Field(gt=0, le=100_000, allow_inf_nan=False)] = 90.0
    weight: Annotated[float, Field(gt=0, le=1, allow_inf_nan=False)] = 0.25


class IndexFile(Section):
    """`indexes/<name>/index.yaml`."""

    version: Literal[1] = 1
    corpus: str = "corpus"
    source: Source | None = None
    chunking: Chunking = Chunking()
    embedding: Embedding = Embedding()
    language: Annotated[str, AfterValidator(languages.check_language)] = "english"
    candidates: Annotated[int, Field(ge=1, le=1000)] = 50
    rrf_k: Annotated[int, Field(ge=1, le=1000)] = 2
    rerank: Rerank | None = None
    retain: Annotated[int, Field(ge=0, le=10)] = 1
    rebuild_after: Annotated[int, Field(ge=0)] = 25_000
    fields: Annotated[
        dict[Annotated[str, Field(pattern=patterns.FIELD)], Literal["text", "number", "date", "bool", "list"]],
        Field(max_length=MAX_FIELDS),
    ] = {}
    recency: Recency | None = None
    correct_spelling: bool = False
    include: Annotated[list[Pattern], Field(max_length=100)] = []
    ignore: Annotated[list[Pattern], Field(max_length=100)] = []
    follow_links: bool = False
    encoding: Encoding | None = None
    max_files: Annotated[int, Field(ge=1, le=10_000_000)] = 250_000
    max_document_bytes: Annotated[int, Field(ge=1024, le=256 << 20)] = 4 << 20

    @model_validator(mode="after")
    def _recency_has_a_date(self) -> IndexFile:
        if self.recency is not None and self.fields.get(self.recency.field) != "date":
            raise ValueError(
                f"recency.field is {self.recency.field!r}, expected a field that `fields` declares as date"
            )
        return self
