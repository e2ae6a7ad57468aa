"""What strangers put into office files: it is refused with its reason, or left alone, and within bounds."""

from __future__ import annotations

import json
import socket
import struct
import time

import pytest

from tests.support.retrieval.office_files import ENTITIES, archive, changed, docx, epub, odt, pptx, xlsx
from trivet.errors import DocumentRejected
from trivet.retrieval.passages.limits import DEFAULT_LIMITS, DocumentLimits
from trivet.retrieval.passages.parsing import read, read_bytes
from trivet.types.passage import DocumentFormat

SAMPLES = {
    DocumentFormat.DOCX: (docx(headings={"A": "Text of it."}), "word/document.xml"),
    DocumentFormat.PPTX: (pptx({"A": "Text of it."}), "ppt/slides/slide1.xml"),
    DocumentFormat.XLSX: (xlsx({"A": [["Text of it.", 1]]}), "xl/worksheets/sheet1.xml"),
    DocumentFormat.ODF: (odt("<text:p>Text of it.</text:p>"), "content.xml"),
    DocumentFormat.EPUB: (epub(["<p>Text of it.</p>"]), "book/package.opf"),
}
formats = pytest.mark.parametrize("format_", SAMPLES)


def refused(content: bytes, format_: DocumentFormat, limits: DocumentLimits = DEFAULT_LIMITS) -> str:
    started = time.process_time()
    with pytest.raises(DocumentRejected) as error:
        read_bytes(content, format_, limits)
    assert time.process_time() - started < 10  # half of what it may take; each of them takes well under a second
    return str(error.value)


@formats
def test_what_unpacks_to_much_more_is_a_bomb(format_: DocumentFormat) -> None:
    content, part = SAMPLES[format_]
    assert "times its size" in refused(changed(content, {part: b"<x>" + b" " * (64 << 20) + b"</x>"}), format_)
    many = {f"{part}{n}.xml": f"<x>{n}{'<y/>' * 220_000}</x>" for n in range(12)}
    tight = DocumentLimits(unpacked=8 << 20)
    assert "unpacks to more than 8,388,608 bytes" in refused(changed(content, many), format_, tight)


@formats
def test_what_a_bomb_says_of_its_size_is_not_believed(format_: DocumentFormat) -> None:
    content, part = SAMPLES[format_]
    packed = changed(content, {part: b"<x>" + b" " * (32 << 20) + b"</x>"})
    real = struct.pack("<I", (32 << 20) + 7)
    assert packed.count(real) >= 2  # in its own header and in the archive's list
    lying = packed.replace(real, struct.pack("<I", 1000))
    assert "damaged" in refused(lying, format_)


@formats
def test_entities_are_refused(format_: DocumentFormat) -> None:
    content, part = SAMPLES[format_]
    for encoding in ("utf-8", "utf-16"):
        declared = ENTITIES.replace("?>", f' encoding="{encoding}"?>', 1)
        bomb = f"{declared}<x>&b;</x>".encode(encoding)
        assert "declares entities" in refused(changed(content, {part: bomb}), format_)
    external = b'<!DOCTYPE x [<!ENTITY a SYSTEM "file:///etc/passwd">]><x>&a;</x>'
    assert "declares entities" in refused(changed(content, {part: external}), format_)
    unknown = b'<?xml version="1.0" encoding="UTF-7"?><x/>'
    assert "encoding" in refused(changed(content, {part: unknown}), format_)


@formats
def test_deep_nesting_is_refused(format_: DocumentFormat) -> None:
    content, part = SAMPLES[format_]
    deep = "<x>" * 100_000 + "</x>" * 100_000
    assert "nested more than 256 deep" in refused(changed(content, {part: deep}), format_)


@formats
def test_archives_scripts_and_macros_inside_are_left_alone(format_: DocumentFormat) -> None:
    content, _ = SAMPLES[format_]
    inside: dict[str, str | bytes] = {
        "inside/nested.zip": archive({"deeper.zip": archive({"a.txt": "x" * 1000})}),
        "word/vbaProject.bin": b"Sub AutoOpen()",
        "Basic/Standard/Module1.xba": "<script>Shell</script>",
        "../../outside.txt": "x",
        "/etc/outside.txt": "x",
    }
    parsed = read_bytes(changed(content, inside), format_, DEFAULT_LIMITS)
    assert "Text of it." in parsed.text
    assert not any(word in parsed.text for word in ("AutoOpen", "Shell", "outside", "deeper"))


def test_nothing_that_a_document_refers_to_is_loaded() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0.2)
        address = f"http://127.0.0.1:{server.getsockname()[1]}/x.png"
        relation = (
            '<Relationships xmlns="http://schemas.openxmlformats.org/package/2006/relationships">'
            '<Relationship Id="rId1" '
            'Type="http://schemas.openxmlformats.org/officeDocument/2006/relationships/image" TargetMode="External" '
            f'Target="{address}"/></Relationships>'
        )
        picture = (
            '<w:document xmlns:w="http://schemas.openxmlformats.org/wordprocessingml/2006/main" '
            'xmlns:a="http://schemas.openxmlformats.org/drawingml/2006/main" '
            'xmlns:r="http://schemas.openxmlformats.org/officeDocument/2006/relationships" '
            'xmlns:wp="http://schemas.openxmlformats.org/drawingml/2006/wordprocessingDrawing">'
            "<w:body><w:p><w:r><w:t>Shown"
            '</w:t><w:drawing><wp:inline><a:graphic><a:graphicData><a:blip r:link="rId1"/></a:graphicData></a:graphic>'
            "</wp:inline></w:drawing></w:r></w:p></w:body></w:document>"
        )
        parts = {"word/document.xml": picture, "word/_rels/document.xml.rels": relation}
        assert read_bytes(changed(docx(headings={}), parts), DocumentFormat.DOCX, DEFAULT_LIMITS).text == "Shown"
        page = f'<p>Shown</p><img src="{address}"/><link href="{address}"/><script src="{address}"></script>'
        assert read_bytes(epub([page]), DocumentFormat.EPUB, DEFAULT_LIMITS).text == "Shown"
        with pytest.raises(TimeoutError):
            server.accept()


def test_a_huge_sheet_is_refused_before_it_is_in_memory() -> None:
    rows = "".join(f'<row r="{n}"><c r="XFD{n}"><v>1</v></c></row>' for n in range(1, 400))
    sheet = (
        '<worksheet xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"><dimension ref="A1:XFD1048576"/>'
        f"<sheetData>{rows}</sheetData></worksheet>"
    )
    content, part = SAMPLES[DocumentFormat.XLSX]
    assert "2,000,000 cells" in refused(changed(content, {part: sheet}), DocumentFormat.XLSX)
    far = sheet.replace(rows, '<row r="1048577000"><c r="A1048577000"><v>1</v></c></row>')
    assert "cells" in refused(changed(content, {part: far}), DocumentFormat.XLSX)


def test_mails_in_mails_end_within_bounds() -> None:
    head = "".join(f'Content-Type: multipart/mixed; boundary="{n}"\n\n--{n}\n' for n in range(1000))
    assert "nested too deeply" in refused(f"Subject: x\n{head}text".encode(), DocumentFormat.MAIL)
    parts = "".join(f"--b\nContent-Disposition: attachment; filename=f{n}\n\nx\n" for n in range(2000))
    many = f"Subject: x\nContent-Type: multipart/mixed; boundary=b\n\n{parts}--b--\n".encode()
    assert "parts" in refused(many, DocumentFormat.MAIL)


def test_text_that_is_too_much_is_refused() -> None:
    tight = DocumentLimits(characters=50)
    long = "word " * 100
    for format_, content in {
        DocumentFormat.DOCX: docx(headings={"A": long}),
        DocumentFormat.PPTX: pptx({"A": long}),
        DocumentFormat.XLSX: xlsx({"A": [[long]]}),
        DocumentFormat.ODF: odt(f"<text:p>{long}</text:p>"),
        DocumentFormat.EPUB: epub([f"<p>{long}</p>"]),
        DocumentFormat.MAIL: f"Subject: x\n\n{long}".encode(),
    }.items():
        assert "more than 50 characters" in refused(content, format_, tight)
    with pytest.raises(DocumentRejected, match="more than 50 characters"):
        cell = {"cell_type": "markdown", "source": long}
        read(json.dumps({"nbformat": 4, "cells": [cell]}), DocumentFormat.NOTEBOOK, tight)
