"""Documents into passages that the embedding model sees whole."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from trivet.errors import DocumentRejected, FailedPrecondition
from trivet.retrieval.documents.documents import text_of
from trivet.retrieval.passages.formats.sections import ParsedDocument, Section
from trivet.retrieval.passages.limits import DEFAULT_LIMITS, DocumentLimits
from trivet.retrieval.passages.parsing import read, read_bytes
from trivet.retrieval.passages.spans import Span, SpanCutter
from trivet.retrieval.passages.token_counts import TokenCounts, TokenModel
from trivet.retrieval.settings import IndexSettings
from trivet.types.passage import Document

_BLANKS = re.compile(r"\s+")
_LETTER = re.compile(r"\S")
_TITLE_TOKENS = 64
_TITLE_CHARACTERS = 2_000  # more are not looked at
_TITLE_LEAST = 8
_MIN_CHUNK = 16  # no single character has as many tokens, so any text can be split to this size


@dataclass(frozen=True, slots=True)
class Chunk:
    """One passage of a document. `title` is the document's with the headings above; `n_tokens` counts `text` alone.

    `start` and `end`: its range in the text as read (see `trivet.retrieval.passages.parsing`), in characters. `text`
    is what stands there; in a passage that begins with a later row of a table, or within a definition, the table's
    header or the term comes before it.
    `tags`: those that the document gives itself. `place`: where a person finds it, such as "page 3"; empty where there
    is no name for it. `fields`: those that the document gives itself, as JSON has them, of its first passage.
    """

    n: int
    title: str
    text: str
    n_tokens: int
    start: int
    end: int
    question: str = ""
    tags: tuple[str, ...] = ()
    place: str = ""
    fields: Mapping[str, Any] = field(default_factory=dict, hash=False)

    @property
    def embedded(self) -> str:
        """What the searches index: title and text, or an example's question alone."""
        return self.question or f"{self.title}\n{self.text}"


def check_chunk_tokens(settings: IndexSettings, room: int) -> None:
    """Raise FailedPrecondition if passages of this size do not fit a model that sees `room` tokens of each."""
    most = room - _TITLE_LEAST
    if not _MIN_CHUNK <= settings.chunk_tokens <= most:
        raise FailedPrecondition(
            f"index {settings.name!r}: chunk_tokens is {settings.chunk_tokens}, "
            f"expected {_MIN_CHUNK} to {most} with this embedding model"
        )
    if not 0 <= settings.overlap <= settings.chunk_tokens // 2:
        raise FailedPrecondition(
            f"index {settings.name!r}: chunking.overlap is {settings.overlap}, expected at most half of max_tokens, "
            f"{settings.chunk_tokens // 2}"
        )


class Splitter:
    """Splits as one index wants it. Blocking; a hostile document may take any time: see `SplittingPool`."""

    def __init__(
        self, settings: IndexSettings, model: TokenModel, room: int, limits: DocumentLimits = DEFAULT_LIMITS
    ) -> None:
        """`room`: tokens that the model sees of a passage; FailedPrecondition if `chunk_tokens` does not fit it."""
        check_chunk_tokens(settings, room)
        self._settings = settings
        self._model = model
        self._room = room
        self._limits = limits
        self._title_tokens = min(_TITLE_TOKENS, room - settings.chunk_tokens)

    def split(self, document: Document) -> list[Chunk]:
        """The passages of a document; raises DocumentRejected if it cannot be accepted or there is no text in it."""
        reading = self._read(document)
        title = (document.title or reading.title or document.id.rpartition("/")[2])[:_TITLE_CHARACTERS]
        chunks: list[Chunk] = []
        for section in reading.sections:
            path = section.path[1:] if section.path[:1] == (title,) else section.path
            heading = " > ".join((title, *path))[:_TITLE_CHARACTERS]
            for chunk in self._chunks(document, heading, section):
                if len(chunks) >= self._limits.passages:
                    raise DocumentRejected(
                        f"document {document.id!r}: it has more than {self._limits.passages:,} passages, "
                        "expected several documents instead"
                    )
                place = reading.places.name(chunk.start, chunk.end) if reading.places is not None else ""
                chunks.append(replace(chunk, n=len(chunks), tags=reading.tags, place=place))
        if not chunks:
            raise DocumentRejected(f"document {document.id!r} has no text")
        chunks[0] = replace(chunks[0], fields=reading.fields)
        return chunks

    def _read(self, document: Document) -> ParsedDocument:
        try:
            if not document.format.is_text:
                return read_bytes(document.content, document.format, self._limits)
            return read(text_of(document), document.format, self._limits)
        except DocumentRejected as error:
            raise DocumentRejected(f"document {document.id!r}: {error}") from None

    def _chunks(self, document: Document, heading: str, section: Section) -> Iterator[Chunk]:
        """The passages of a section, not numbered yet."""
        if section.whole and (chunk := self._whole(document, heading, section)) is not None:
            yield chunk
            return
        title = self._cut(heading, self._title_tokens)
        counts = TokenCounts(self._model, section.text)
        size = self._settings.chunk_tokens - self._settings.overlap
        pack = self._settings.pack or section.whole
        cutter = SpanCutter(section.text, counts, size, section.blocks, self._tokens, code=section.code, pack=pack)
        end = 0  # of the passage before
        for span in cutter.spans():
            if self._settings.overlap and not span.header and end:
                span = self._overlapping(section.text, span, counts, end)
            end = span.end
            for text, tokens, start in self._exact(section.text, span):
                end = start + len(text)
                if span.header:
                    text = f"{span.header}\n{text}"
                    tokens = self._tokens(text)
                yield Chunk(0, title, text, tokens, section.start + start, section.start + end)

    def _overlapping(self, text: str, span: Span, counts: TokenCounts, before: int) -> Span:
        """The span with the last words of the text before it; without any if they would begin within a word."""
        start = counts.place_before(span.start, self._settings.overlap)
        if start and not text[start - 1].isspace():
            found = _BLANKS.search(text, start, before)
            start = found.end() if found else span.start
        return Span(start, span.end)

    def _whole(self, document: Document, heading: str, section: Section) -> Chunk | None:
        """A section that is one passage; None if the model does not see all of it."""
        tokens, seen = self._tokens(section.text), self._room - _TITLE_LEAST
        end = section.start + len(section.text)
        if not section.question:
            if tokens > seen:
                return None
            # What is embedded has to fit: a passage that was cut elsewhere may leave less room than ours do.
            title = self._cut(heading, min(_TITLE_TOKENS, self._room - tokens))
            return Chunk(0, title, section.text, tokens, section.start, end)
        if (asked := self._tokens(section.question)) > self._room:
            raise DocumentRejected(
                f"document {document.id!r}: a question has {asked} tokens, expected at most {self._room}, "
                "which is what the embedding model reads"
            )
        title = self._cut(heading, self._title_tokens)
        return Chunk(0, title, section.text, tokens, section.start, end, section.question)

    def _exact(self, text: str, span: Span) -> Iterator[tuple[str, int, int]]:
        """The text of a span, its tokens and where it begins; in several parts if it has too many after all.

        With some tokenizers the tokens of a part are not those that the whole has there.
        """
        room = self._settings.chunk_tokens - (self._tokens(span.header) if span.header else 0)
        at = span.start
        while at < span.end:
            head = text[at : span.end]
            offsets = self._model.offsets(head)
            tokens = len(offsets)
            if tokens > room:
                head = head[: offsets[room - 1][1]].rstrip() or head
                tokens = self._tokens(head)
            yield head, tokens, at
            at = _skip_blanks(text, at + len(head))

    def _tokens(self, text: str) -> int:
        return len(self._model.tokens(text))

    def _cut(self, text: str, tokens: int) -> str:
        """`text` without what is beyond so many tokens."""
        offsets = self._model.offsets(text)
        return text if len(offsets) <= tokens else text[: offsets[tokens - 1][1]]


def _skip_blanks(text: str, at: int) -> int:
    found = _LETTER.search(text, at)
    return found.start() if found else len(text)
