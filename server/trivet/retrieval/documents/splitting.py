"""Documents into passages that the embedding model sees whole. LlamaIndex splits; imported when first needed."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from trivet.errors import DocumentRejected, FailedPrecondition
from trivet.retrieval.documents.documents import text_of
from trivet.retrieval.documents.pdf import read_pdf
from trivet.retrieval.documents.reading import Reading, Section, read
from trivet.retrieval.embedding.onnx_model import OnnxModel
from trivet.retrieval.settings import IndexSettings
from trivet.types.passage import Document, DocumentFormat

_LETTER = re.compile(r"\S")
_PARAGRAPHS = re.compile(r"\n[ \t]*\n\s*")
# Not LlamaIndex's default, NLTK: that refuses its own data files where a package manager has hard-linked them.
_SENTENCES = re.compile(r".+?(?:[.!?…]+[\"'”’)\]]*\s+|[。！？]+|\n+|$)", re.DOTALL)
_TITLE_TOKENS = 64
_TITLE_LEAST = 8
_MIN_CHUNK = 16  # no single character has as many tokens, so any text can be split to this size


@dataclass(frozen=True, slots=True)
class Chunk:
    """One passage of a document. `title` is the document's with the headings above; `n_tokens` counts `text` alone.

    `start` and `end`: its range in the text as read (see `trivet.retrieval.documents.reading`), in characters.
    """

    n: int
    title: str
    text: str
    n_tokens: int
    start: int
    end: int
    question: str = ""

    @property
    def embedded(self) -> str:
        """What the searches index: title and text, or an example's question alone."""
        return self.question or f"{self.title}\n{self.text}"


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
        self._room = room
        self._title_tokens = min(_TITLE_TOKENS, room - settings.chunk_tokens)

    def split(self, document: Document) -> list[Chunk]:
        """The passages of a document; raises DocumentRejected if it cannot be accepted or there is no text in it."""
        reading = self._read(document)
        title = document.title or reading.title or document.id.rpartition("/")[2]
        chunks: list[Chunk] = []
        for section in reading.sections:
            path = section.path[1:] if section.path[:1] == (title,) else section.path
            heading = " > ".join((title, *path))
            for span in self._spans(document, section):
                chunks.append(self._chunk(len(chunks), heading, section, *span))
        if not chunks:
            raise DocumentRejected(f"document {document.id!r} has no text")
        return chunks

    def _read(self, document: Document) -> Reading:
        try:
            if document.format is DocumentFormat.PDF:
                pdf = read_pdf(document.content)
                return replace(read(pdf.text, document.format), title=pdf.title)
            return read(text_of(document), document.format)
        except DocumentRejected as error:
            raise DocumentRejected(f"document {document.id!r}: {error}") from None

    def _chunk(self, n: int, heading: str, section: Section, start: int, end: int) -> Chunk:
        text = section.text[start:end]
        tokens = len(self._model.tokens(text))
        # What is embedded has to fit: a passage that was cut elsewhere may leave less room than ours do.
        room = self._room - tokens if section.whole and not section.question else self._title_tokens
        return Chunk(
            n=n,
            title=self._cut(heading, min(_TITLE_TOKENS, room)),
            text=text,
            n_tokens=tokens,
            start=section.start + start,
            end=section.start + end,
            question=section.question,
        )

    def _spans(self, document: Document, section: Section) -> Iterator[tuple[int, int]]:
        """Where the passages of a section begin and end in its text."""
        text = section.text
        if section.question:
            if (tokens := len(self._model.tokens(section.question))) > self._room:
                raise DocumentRejected(
                    f"document {document.id!r}: a question has {tokens} tokens, the embedding model sees {self._room}"
                )
            yield 0, len(text)
            return
        if section.whole and len(self._model.tokens(text)) <= self._room - _TITLE_LEAST:
            yield 0, len(text)
            return
        for begin, end in [(0, len(text))] if self._settings.pack or section.whole else _paragraphs(text):
            at = begin
            for piece in self._sentences.split_text(text[begin:end]):
                # LlamaIndex gives the text back in order, less blanks between the pieces.
                at = _skip_blanks(text, at)
                stop = at + len(piece.strip())
                while at < stop:
                    # Tokens of the whole can be more than the sum of the parts' with some tokenizers: hence the check.
                    head = self._cut(text[at:stop], self._settings.chunk_tokens).rstrip() or text[at:stop]
                    yield at, at + len(head)
                    at = _skip_blanks(text, at + len(head))

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


def _paragraphs(text: str) -> Iterator[tuple[int, int]]:
    """Where each begins and ends."""
    at = 0
    for blank in _PARAGRAPHS.finditer(text):
        yield at, blank.start()
        at = blank.end()
    yield at, len(text)


def _skip_blanks(text: str, at: int) -> int:
    found = _LETTER.search(text, at)
    return found.start() if found else len(text)
