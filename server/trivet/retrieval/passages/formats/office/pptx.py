"""Presentations: a section for each slide, its tables as rows, its notes below."""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator
from typing import Any

from pptx import Presentation

from trivet.errors import DocumentRejected
from trivet.retrieval.passages.formats.html_blocks import HtmlBlocks
from trivet.retrieval.passages.formats.joined import JoinedDocument
from trivet.retrieval.passages.formats.office.archive import DocumentArchive
from trivet.retrieval.passages.formats.sections import ParsedDocument
from trivet.retrieval.passages.limits import DocumentLimits

_MOST_GROUPS = 16  # groups of shapes in groups


def read_pptx(content: bytes, limits: DocumentLimits) -> ParsedDocument:
    """Slides in order, hidden ones too. Pictures, charts' drawings and macros are left out. Raises DocumentRejected."""
    archive = DocumentArchive(content, limits.unpacked)
    archive.check_parts()
    try:
        presentation = Presentation(io.BytesIO(content))
        slides = list(presentation.slides)
        title = " ".join((presentation.core_properties.title or "").split())
    except (MemoryError, DocumentRejected):
        raise
    except Exception as error:  # of a library that finds something else than it expects
        raise DocumentRejected(
            f"it is no presentation that can be read ({type(error).__name__}: {error})"[:200]
        ) from None
    if len(slides) > limits.pages:
        raise DocumentRejected(f"it has {len(slides):,} slides, expected at most {limits.pages:,}")
    document = JoinedDocument("slide", limits.characters)
    for number, slide in enumerate(slides, 1):
        heading = _title(slide) or f"Slide {number}"
        document.add(_slide(slide, heading), heading)
    # The name that python-pptx's and PowerPoint's own templates give is none.
    return document.whole("" if title == "PowerPoint Presentation" else title)


def _slide(slide: Any, heading: str) -> ParsedDocument:
    blocks = HtmlBlocks()
    _block(blocks, "h1", heading)
    for shape in _shapes(slide.shapes, 0):
        if shape == slide.shapes.title:
            continue
        if getattr(shape, "has_table", False):
            _table(blocks, shape.table)
        elif shape.has_text_frame:
            _paragraphs(blocks, shape.text_frame)
    if slide.has_notes_slide and slide.notes_slide.notes_text_frame is not None:
        _paragraphs(blocks, slide.notes_slide.notes_text_frame)
    return blocks.reading()


def _title(slide: Any) -> str:
    shape = slide.shapes.title
    return "" if shape is None else " ".join(shape.text_frame.text.split())


def _shapes(shapes: Iterable[Any], depth: int) -> Iterator[Any]:
    """The shapes with text, those in groups too, from top to bottom as they were drawn."""
    for shape in shapes:
        if hasattr(shape, "shapes"):
            if depth < _MOST_GROUPS:
                yield from _shapes(shape.shapes, depth + 1)
        elif shape.has_text_frame or getattr(shape, "has_table", False):
            yield shape


def _paragraphs(blocks: HtmlBlocks, frame: Any) -> None:
    for paragraph in frame.paragraphs:
        text = paragraph.text.replace("\v", "\n").strip()
        if text:
            _block(blocks, "p", text)


def _table(blocks: HtmlBlocks, table: Any) -> None:
    blocks.start("table", {})
    for number, row in enumerate(table.rows):
        blocks.start("tr", {})
        cell_tag = "th" if number == 0 and table.first_row else "td"
        for cell in row.cells:
            if cell.is_spanned:
                continue
            spans = {"colspan": str(cell.span_width), "rowspan": str(cell.span_height)}
            blocks.start(cell_tag, spans if cell.is_merge_origin else {})
            blocks.text(cell.text_frame.text)
            blocks.end(cell_tag)
        blocks.end("tr")
    blocks.end("table")


def _block(blocks: HtmlBlocks, tag: str, text: str) -> None:
    blocks.start(tag, {})
    blocks.text(text)
    blocks.end(tag)
