"""PDFs as text, by PDFium."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections import Counter
from collections.abc import Sequence
from itertools import accumulate

import pypdfium2 as pdfium

from trivet.errors import DocumentRejected
from trivet.retrieval.passages.formats.pdf_layout import Piece, page_text
from trivet.retrieval.passages.formats.places import NumberedPlaces
from trivet.retrieval.passages.formats.sections import ParsedDocument, SectionText, cut_sections

_BETWEEN_PAGES = "\n\n"
_MOST_SAID = 200  # characters of another's error message
_HYPHEN = "\x02"  # what PDFium makes of one at the end of a line
# A word is bounded so that a long run of letters is not looked through again from each of them.
_BROKEN = re.compile(rf"(?<!\w)(\w{{1,60}})[{_HYPHEN}\-\u00ad\u2010]\n\n?(\w{{1,60}})")
_WORD = re.compile(r"\w+(?:-\w+)*")
_MOST_LOOKS = 50_000_000  # characters that are looked through for the pieces of one page


def read_pdf(content: bytes, *, pages: int, characters: int) -> ParsedDocument:
    """Its text with an empty line between pages, whose numbers are places; words broken at line ends are whole again.

    One that anybody can open is read, whatever its owner forbids. Raises DocumentRejected for one that asks for a
    password, is damaged, has no text, or has more than so many pages or characters of text.
    """
    try:
        document = pdfium.PdfDocument(content)
    except pdfium.PdfiumError as error:
        if "password" in str(error).lower():
            raise DocumentRejected("it is encrypted: it asks for a password") from None
        raise DocumentRejected(f"it is damaged ({error})"[:_MOST_SAID]) from None
    if (count := len(document)) > pages:
        raise DocumentRejected(f"it has {count:,} pages, expected at most {pages:,}")
    texts, total = [], 0
    try:
        for number in range(count):
            texts.append(_clean(_page(document, number)))
            total += len(texts[-1])
            if total > characters:
                raise DocumentRejected(f"it has more than {characters:,} characters of text")
    except pdfium.PdfiumError as error:
        raise DocumentRejected(f"it is damaged (page {number + 1}: {error})"[:_MOST_SAID]) from None
    text, starts = _joined(texts)
    if not text:
        raise DocumentRejected("there is no text in it (pages that were scanned need text recognition first)")
    title = " ".join(_clean(document.get_metadata_value("Title")).split())
    sections = cut_sections(text, [SectionText((), 0, len(text))])
    return ParsedDocument(title, text, sections, places=NumberedPlaces("page", starts))


def _page(document: pdfium.PdfDocument, number: int) -> str:
    page = document[number]
    text = page.get_textpage()
    try:
        count = text.count_rects()
        if count * text.count_chars() > _MOST_LOOKS:
            return str(text.get_text_range())
        boxes = [text.get_rect(n) for n in range(count)]
        return page_text([Piece(text.get_text_bounded(*box).strip("\r\n"), *box) for box in boxes])
    finally:
        text.close()
        page.close()


def _joined(pages: Sequence[str]) -> tuple[str, list[int]]:
    """The text of all pages, and where each begins in it. A page without text begins where the next one does."""
    parts: list[str] = []
    starts: list[int] = []
    at = 0
    for page in pages:
        starts.append(at)
        if page:
            parts.append(page)
            at += len(page) + len(_BETWEEN_PAGES)
    text, shortened = _whole_words(_BETWEEN_PAGES.join(parts))
    moved = [0, *accumulate(by for _, by in shortened)]
    ends = [end for end, _ in shortened]
    return text, [start - moved[bisect_right(ends, start)] for start in starts]


def _whole_words(text: str) -> tuple[str, list[tuple[int, int]]]:
    """Words that were broken at the end of a line put together: without the hyphen unless it seems to be the word's.

    Also where each of them ended before, and how many characters shorter the text is for it.
    """
    if not _BROKEN.search(text):
        return text.replace(_HYPHEN, "-"), []
    shortened: list[tuple[int, int]] = []
    known = Counter(word.lower() for word in _WORD.findall(text))

    def whole(found: re.Match[str]) -> str:
        put = put_together(found)
        shortened.append((found.end(), len(found[0]) - len(put)))
        return put

    def put_together(found: re.Match[str]) -> str:
        first, second = found.groups()
        if not second[0].islower():
            return f"{first}-{second}" if second[0].isalnum() and first[-1].isalnum() else found[0]
        joined, hyphened = (first + second).lower(), f"{first}-{second}".lower()
        keep = known[hyphened] > known[joined] or not (first + second).isalpha()
        return f"{first}-{second}" if keep else first + second

    return _BROKEN.sub(whole, text).replace(_HYPHEN, "-"), shortened


def _clean(text: str) -> str:
    """Without what is no text: NUL, form feeds, half surrogate pairs."""
    text = text.replace("\0", "").replace("\f", "\n").replace("\r\n", "\n").replace("\r", "\n")
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace").strip()
