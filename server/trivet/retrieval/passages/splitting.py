"""Documents into passages that the embedding model sees whole."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace

from trivet.errors import DocumentRejected, FailedPrecondition
from trivet.retrieval.documents.documents import text_of
from trivet.retrieval.passages.formats.sections import ParsedDocument, Section
from trivet.retrieval.passages.limits import DEFAULT_LIMITS, DocumentLimits
from trivet.retrieval.passages.parsing import read
from trivet.retrieval.passages.spans import Span, SpanCutter
from trivet.retrieval.passages.token_counts import TokenCounts, TokenModel
from trivet.retrieval.settings import IndexSettings
from trivet.types.passage import Document, DocumentFormat

_LETTER = re.compile(r"\S")
_TITLE_TOKENS = 64
_TITLE_CHARACTERS = 2_000  # more are not looked at
_TITLE_LEAST = 8
_MIN_CHUNK = 16  # no single character has as many tokens, so any text can be split to this size


@dataclass(frozen=True, slots=True)
class Chunk:
    """One passage of a document. `title` is the document's with the headings above; `n_tokens` counts `text` alone.

    `start` and `end`: its range in the text as read (see `trivet.retrieval.passages.parsing`), in characters. `text`
    is what stands there; in a passage that begins with a later row of a table the table's header comes before it.
    `tags`: those that the document gives itself.
    """

    n: int
    title: str
    text: str
    n_tokens: int
    start: int
    end: int
    question: str = ""
    tags: tuple[str, ...] = ()

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
                chunks.append(replace(chunk, n=len(chunks), tags=reading.tags))
        if not chunks:
            raise DocumentRejected(f"document {document.id!r} has no text")
        return chunks

    def _read(self, document: Document) -> ParsedDocument:
        try:
            if document.format is DocumentFormat.PDF:
                # Imported here: most processes never meet a PDF.
                from trivet.retrieval.passages.formats.pdf import read_pdf

                limits = self._limits
                title, text = read_pdf(document.content, pages=limits.pages, characters=limits.characters)
                return replace(read(text, document.format), title=title)
            return read(text_of(document), document.format)
        except DocumentRejected as error:
            raise DocumentRejected(f"document {document.id!r}: {error}") from None

    def _chunks(self, document: Document, heading: str, section: Section) -> Iterator[Chunk]:
        """The passages of a section, not numbered yet."""
        if section.whole and (chunk := self._whole(document, heading, section)) is not None:
            yield chunk
            return
        title = self._cut(heading, self._title_tokens)
        counts = TokenCounts(self._model, section.text)
        cutter = SpanCutter(section.text, counts, self._settings.chunk_tokens, section.tables, self._tokens)
        for span in cutter.spans(pack=self._settings.pack or section.whole):
            for text, tokens, start in self._exact(section.text, span):
                end = start + len(text)
                if span.header:
                    text = f"{span.header}\n{text}"
                    tokens = self._tokens(text)
                yield Chunk(0, title, text, tokens, section.start + start, section.start + end)

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
