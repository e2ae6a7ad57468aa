"""Office files, e-books and mails for tests: made by the libraries that people make them with, or byte by byte."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping, Sequence
from email.message import EmailMessage
from typing import Any

CONTAINER = (
    '<container xmlns="urn:oasis:names:tc:opendocument:xmlns:container">'
    '<rootfiles><rootfile full-path="book/package.opf"/></rootfiles></container>'
)
ENTITIES = '<?xml version="1.0"?><!DOCTYPE x [<!ENTITY a "lol"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;">]>'
_OFFICE = "urn:oasis:names:tc:opendocument:xmlns"
_ODF = f'xmlns:office="{_OFFICE}:office:1.0" xmlns:text="{_OFFICE}:text:1.0" xmlns:table="{_OFFICE}:table:1.0"'


def docx(title: str = "", *, headings: Mapping[str, str], rows: Sequence[Sequence[str]] = ()) -> bytes:
    """A Word document: a paragraph under each heading, then a table."""
    import docx as word

    document = word.Document()
    document.core_properties.title = title
    for heading, text in headings.items():
        document.add_heading(heading, 1)
        document.add_paragraph(text)
    if rows:
        table = document.add_table(len(rows), len(rows[0]))
        for n, row in enumerate(rows):
            for m, text in enumerate(row):
                table.cell(n, m).text = text
    return _saved(document)


def pptx(slides: Mapping[str, str], notes: str = "") -> bytes:
    """A presentation; the notes are the last slide's."""
    from pptx import Presentation

    presentation = Presentation()
    for title, text in slides.items():
        slide = presentation.slides.add_slide(presentation.slide_layouts[1])
        slide.shapes.title.text = title
        slide.placeholders[1].text = text
    if notes:
        slide.notes_slide.notes_text_frame.text = notes
    return _saved(presentation)


def xlsx(sheets: Mapping[str, Sequence[Sequence[Any]]]) -> bytes:
    """A workbook."""
    import openpyxl

    workbook = openpyxl.Workbook()
    workbook.remove(workbook.active)
    for name, rows in sheets.items():
        sheet = workbook.create_sheet(name)
        for row in rows:
            sheet.append(list(row))
    return _saved(workbook)


def odt(body: str, title: str = "") -> bytes:
    """An OpenDocument text of a body in its own XML."""
    inner = f"<office:body><office:text>{body}</office:text></office:body>"
    content = f"<office:document-content {_ODF}>{inner}</office:document-content>"
    meta = (
        f'<office:document-meta {_ODF} xmlns:dc="http://purl.org/dc/elements/1.1/"><office:meta>'
        f"<dc:title>{title}</dc:title></office:meta></office:document-meta>"
    )
    return archive({"mimetype": "application/vnd.oasis.opendocument.text", "content.xml": content, "meta.xml": meta})


def epub(chapters: Sequence[str], title: str = "") -> bytes:
    """An e-book of XHTML bodies."""
    items = "".join(
        f'<item id="c{n}" href="c{n}.xhtml" media-type="application/xhtml+xml"/>' for n in range(len(chapters))
    )
    order = "".join(f'<itemref idref="c{n}"/>' for n in range(len(chapters)))
    package = (
        '<package xmlns="http://www.idpf.org/2007/opf" xmlns:dc="http://purl.org/dc/elements/1.1/">'
        f"<metadata><dc:title>{title}</dc:title></metadata><manifest>{items}</manifest><spine>{order}</spine></package>"
    )
    files = {"META-INF/container.xml": CONTAINER, "book/package.opf": package}
    for n, body in enumerate(chapters):
        files[f"book/c{n}.xhtml"] = f'<html xmlns="http://www.w3.org/1999/xhtml"><body>{body}</body></html>'
    return archive(files)


def mail(subject: str, text: str, *, html: str = "", attachment: str = "") -> bytes:
    """A mail from Ada to Bob."""
    message = EmailMessage()
    message["Subject"], message["From"], message["To"] = subject, "Ada <ada@example.org>", "bob@example.org"
    message.set_content(text)
    if html:
        message.add_alternative(html, subtype="html")
    if attachment:
        message.add_attachment(b"PK\3\4", maintype="application", subtype="zip", filename=attachment)
    return bytes(message)


def archive(files: Mapping[str, str | bytes]) -> bytes:
    """A ZIP archive, compressed."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as file:
        for name, content in files.items():
            file.writestr(name, content)
    return out.getvalue()


def changed(content: bytes, files: Mapping[str, str | bytes]) -> bytes:
    """The same archive with other or more files in it."""
    with zipfile.ZipFile(io.BytesIO(content)) as file:
        kept = {name: file.read(name) for name in file.namelist()}
    return archive({**kept, **files})


def _saved(document: Any) -> bytes:
    out = io.BytesIO()
    document.save(out)
    return out.getvalue()
