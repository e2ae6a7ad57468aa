"""PDFs as text, by PDFium; pages that were scanned by text recognition, where it is on."""

from __future__ import annotations

import pypdfium2 as pdfium

from trivet.errors import DocumentRejected
from trivet.retrieval.passages.formats.pages.page_texts import clean, joined
from trivet.retrieval.passages.formats.pages.pdf_layout import Piece, page_text
from trivet.retrieval.passages.formats.pages.recognition import MOST_PIXELS, RESOLUTION, TextRecognition
from trivet.retrieval.passages.formats.places import NumberedPlaces
from trivet.retrieval.passages.formats.sections import ParsedDocument, SectionText, cut_sections
from trivet.retrieval.passages.limits import DocumentLimits

_MOST_SAID = 200  # characters of another's error message
_MOST_LOOKS = 50_000_000  # characters that are looked through for the pieces of one page
_POINTS = 72  # of an inch


def read_pdf(content: bytes, limits: DocumentLimits) -> ParsedDocument:
    """Its text with an empty line between pages, whose numbers are places; words broken at line ends are whole again.

    The text of a page that has none is recognized, where that is on. One that anybody can open is read, whatever its
    owner forbids. Raises DocumentRejected for one that asks for a password, is damaged, has no text, or has more than
    so many pages or characters of text.
    """
    try:
        document = pdfium.PdfDocument(content)
    except pdfium.PdfiumError as error:
        if "password" in str(error).lower():
            raise DocumentRejected("it is encrypted: it asks for a password") from None
        raise DocumentRejected(f"it is damaged ({error})"[:_MOST_SAID]) from None
    if (count := len(document)) > limits.pages:
        raise DocumentRejected(f"it has {count:,} pages, expected at most {limits.pages:,}")
    recognition = TextRecognition.of(limits)
    texts, total = [], 0
    try:
        for number in range(count):
            texts.append(clean(_page(document, number, recognition)))
            total += len(texts[-1])
            if total > limits.characters:
                raise DocumentRejected(f"it has more than {limits.characters:,} characters of text")
    except pdfium.PdfiumError as error:
        raise DocumentRejected(f"it is damaged (page {number + 1}: {error})"[:_MOST_SAID]) from None
    text, starts = joined(texts)
    if not text:
        told = "nor any that is recognized" if recognition else "and pages that were scanned need `documents.ocr`"
        raise DocumentRejected(f"there is no text in it, {told}")
    title = " ".join(clean(document.get_metadata_value("Title")).split())
    sections = cut_sections(text, [SectionText((), 0, len(text))])
    return ParsedDocument(title, text, sections, places=NumberedPlaces("page", starts))


def _page(document: pdfium.PdfDocument, number: int, recognition: TextRecognition | None) -> str:
    page = document[number]
    try:
        text = _text(page)
        if recognition is None or text.strip() or next(page.get_objects(max_depth=1), None) is None:
            return text
        return _recognized(page, recognition)
    finally:
        page.close()


def _text(page: pdfium.PdfPage) -> str:
    text = page.get_textpage()
    try:
        count = text.count_rects()
        if count * text.count_chars() > _MOST_LOOKS:
            return str(text.get_text_range())
        boxes = [text.get_rect(n) for n in range(count)]
        return page_text([Piece(text.get_text_bounded(*box).strip("\r\n"), *box) for box in boxes])
    finally:
        text.close()


def _recognized(page: pdfium.PdfPage, recognition: TextRecognition) -> str:
    """Of the page as it is printed, at a lower resolution where it is huge."""
    width, height = page.get_size()
    scale = RESOLUTION / _POINTS
    pixels = width * height * scale**2
    bitmap = page.render(scale=scale * min(1.0, (MOST_PIXELS / max(pixels, 1.0)) ** 0.5), grayscale=True)
    try:
        return recognition.text_of(bitmap.to_pil().convert("L"))
    finally:
        bitmap.close()
