"""PDFs as text, by PDFium."""

from __future__ import annotations

import re
from collections import Counter

import pypdfium2 as pdfium

from trivet.errors import DocumentRejected
from trivet.retrieval.passages.formats.pdf_layout import Piece, page_text

_MOST_SAID = 200  # characters of another's error message
_HYPHEN = "\x02"  # what PDFium makes of one at the end of a line
# A word is bounded so that a long run of letters is not looked through again from each of them.
_BROKEN = re.compile(rf"(?<!\w)(\w{{1,60}})[{_HYPHEN}\-\u00ad\u2010]\n\n?(\w{{1,60}})")
_WORD = re.compile(r"\w+(?:-\w+)*")
_MOST_LOOKS = 50_000_000  # characters that are looked through for the pieces of one page


def read_pdf(content: bytes, *, pages: int, characters: int) -> tuple[str, str]:
    """Title (maybe empty) and text, an empty line between pages; words broken at line ends are whole again.

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
    text = _whole_words("\n\n".join(text for text in texts if text))
    if not text:
        raise DocumentRejected("there is no text in it (pages that were scanned need text recognition first)")
    return " ".join(_clean(document.get_metadata_value("Title")).split()), text


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


def _whole_words(text: str) -> str:
    """Words that were broken at the end of a line put together: without the hyphen unless it seems to be the word's."""
    if not _BROKEN.search(text):
        return text.replace(_HYPHEN, "-")
    known = Counter(word.lower() for word in _WORD.findall(text))

    def whole(found: re.Match[str]) -> str:
        first, second = found.groups()
        if not second[0].islower():
            return f"{first}-{second}" if second[0].isalnum() and first[-1].isalnum() else found[0]
        joined, hyphened = (first + second).lower(), f"{first}-{second}".lower()
        keep = known[hyphened] > known[joined] or not (first + second).isalpha()
        return f"{first}-{second}" if keep else first + second

    return _BROKEN.sub(whole, text).replace(_HYPHEN, "-")


def _clean(text: str) -> str:
    """Without what is no text: NUL, form feeds, half surrogate pairs."""
    text = text.replace("\0", "").replace("\f", "\n").replace("\r\n", "\n").replace("\r", "\n")
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace").strip()
