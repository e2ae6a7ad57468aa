"""Documents into passages that the embedding model sees whole. LlamaIndex splits; imported when first needed."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from trivet.errors import DocumentRejected, FailedPrecondition
from trivet.retrieval.documents import text_of
from trivet.retrieval.onnx_model import OnnxModel
from trivet.retrieval.reading import Section, read
from trivet.retrieval.settings import IndexSettings
from trivet.types.passage import Document

_PARAGRAPHS = re.compile(r"\n[ \t]*\n\s*")
# Not LlamaIndex's default, NLTK: that refuses its own data files where a package manager has hard-linked them.
_SENTENCES = re.compile(r".+?(?:[.!?…]+[\"'”’)\]]*\s+|[。！？]+|\n+|$)", re.DOTALL)
_TITLE_TOKENS = 64
_TITLE_LEAST = 8
_MIN_CHUNK = 16  # no single character has as many tokens, so any text can be split to this size


@dataclass(frozen=True, slots=True)
class Chunk:
    """One passage of a document. `title` is the document's with the headings above; `n_tokens` counts `text` alone."""

    n: int
    title: str
    text: str
    n_tokens: int

    @property
    def embedded(self) -> str:
        """What the searches index: title and text."""
        return f"{self.title}\n{self.text}"


class Splitter:
    """Splits as one index wants it. Blocking; for one thread."""

    def __init__(self, settings: IndexSettings, model: OnnxModel, room: int) -> None:
        """`room`: tokens that the model sees of a passage; FailedPrecondition if `chunk_tokens` does not fit it."""
        most = room - _TITLE_LEAST
        if not _MIN_CHUNK <= settings.chunk_tokens <= most:
            raise FailedPrecondition(
                f"index {settings.name!r}: chunk_tokens is {settings.chunk_tokens}, "
                f"expected {_MIN_CHUNK} to {most} with this embedding model"
            )
        self._settings = settings
        self._model = model
        self._title_tokens = min(_TITLE_TOKENS, room - settings.chunk_tokens)

    def split(self, document: Document) -> list[Chunk]:
        """The passages of a document; raises DocumentRejected if it cannot be accepted or there is no text in it."""
        reading = read(text_of(document, self._settings.max_document_bytes), document.format)
        title = document.title or reading.title or document.id.rpartition("/")[2]
        chunks: list[Chunk] = []
        for section in reading.sections:
            path = section.path[1:] if section.path[:1] == (title,) else section.path
            heading = self._cut(" > ".join((title, *path)), self._title_tokens)
            for text in self._texts(section):
                chunks.append(Chunk(len(chunks), heading, text, len(self._model.tokens(text))))
        if not chunks:
            raise DocumentRejected(f"document {document.id!r} has no text")
        return chunks

    def _texts(self, section: Section) -> Iterator[str]:
        units = [section.text] if self._settings.pack else _PARAGRAPHS.split(section.text)
        for unit in units:
            for text in self._sentences.split_text(unit.strip()):
                while rest := text.strip():
                    # Tokens of the whole can be more than the sum of the parts' with some tokenizers: hence the check.
                    head = self._cut(rest, self._settings.chunk_tokens) or rest
                    yield head
                    text = rest[len(head) :]

    def _cut(self, text: str, tokens: int) -> str:
        """`text` without what is beyond so many tokens."""
        offsets = self._model.offsets(text)
        return text if len(offsets) <= tokens else text[: offsets[tokens - 1][1]]

    @cached_property
    def _sentences(self) -> Any:
        """Paragraphs together while they fit, else sentences, else words; sized by the embedding model's tokens."""
        from llama_index.core.node_parser import SentenceSplitter

        return SentenceSplitter(
            chunk_size=self._settings.chunk_tokens,
            chunk_overlap=0,
            # What has no token at all (a joiner, a blank) counts as one: LlamaIndex repeats parts of size 0.
            tokenizer=lambda text: self._model.tokens(text) or [0],
            paragraph_separator="\n\n",
            chunking_tokenizer_fn=_SENTENCES.findall,
        )
