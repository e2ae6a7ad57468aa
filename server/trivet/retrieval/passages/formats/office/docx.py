"""Word documents: Mammoth makes HTML of what they say, and that is read as any other."""

from __future__ import annotations

import io
from dataclasses import replace
from typing import Any

import mammoth
from lxml import etree

from trivet.errors import DocumentRejected
from trivet.retrieval.passages.formats.html import read_html
from trivet.retrieval.passages.formats.office.archive import DocumentArchive
from trivet.retrieval.passages.formats.sections import ParsedDocument
from trivet.retrieval.passages.limits import DocumentLimits

# Beside the headings that Mammoth knows: what a document calls itself, and text that looks like code.
_STYLES = """
p[style-name='Title'] => h1.title:fresh
p[style-name='Subtitle'] => p:fresh
p[style-name='HTML Preformatted'] => pre:separator('\\n')
p[style-name='Code'] => pre:separator('\\n')
"""
_TITLE = "{http://purl.org/dc/elements/1.1/}title"


def read_docx(content: bytes, limits: DocumentLimits) -> ParsedDocument:
    """Headings as sections, lists and tables as in HTML, footnotes at the end. Images, macros, comments and what was
    deleted are left out; nothing that it refers to is loaded. Raises DocumentRejected."""
    archive = DocumentArchive(content, limits.unpacked)
    archive.check_parts()
    try:
        made = mammoth.convert_to_html(
            io.BytesIO(content),
            convert_image=_no_image,
            style_map=_STYLES,
            include_embedded_style_map=False,
            external_file_access=False,
        )
    except (MemoryError, DocumentRejected):
        raise
    except Exception as error:  # of a library that finds something else than it expects
        raise DocumentRejected(
            f"it is no Word document that can be read ({type(error).__name__}: {error})"[:200]
        ) from None
    parsed = read_html(f"<html><body><main>{made.value}</main></body></html>")
    if len(parsed.text) > limits.characters:
        raise DocumentRejected(f"it has more than {limits.characters:,} characters of text")
    return replace(parsed, title=core_title(archive) or parsed.title)


def _no_image(_image: Any) -> list[Any]:
    return []


def core_title(archive: DocumentArchive) -> str:
    """The title among an Office document's properties; empty if it has none."""
    if "docProps/core.xml" not in archive.names():
        return ""
    try:
        root = etree.fromstring(archive.read("docProps/core.xml"), etree.XMLParser(resolve_entities=False))
    except etree.XMLSyntaxError:
        return ""
    return " ".join((root.findtext(f".//{_TITLE}") or "").split())
