"""Files as a share has them that nobody can read: damaged, encrypted, mislabelled, hostile. By name."""

from __future__ import annotations

import io
import json
import random
from collections.abc import Mapping

import pypdf

from tests.support.retrieval.office_files import ENTITIES, archive, changed, docx, epub, odt, pptx, xlsx
from tests.support.retrieval.pdf_files import pdf

_SEED = 7


def broken_files() -> Mapping[str, bytes]:
    """Twenty of them."""
    noise = random.Random(_SEED).randbytes(4096)
    word, slides, sheets = docx(headings={"A": "x"}), pptx({"A": "x"}), xlsx({"A": [["x"]]})
    text, book, pages = odt("<text:p>x</text:p>"), epub(["<p>x</p>"]), pdf([["A page."]])
    deep = "<x>" * 50_000 + "</x>" * 50_000
    return {
        "cut.docx": word[: len(word) // 2],
        "cut_slides.pptx": slides[: len(slides) // 2],
        "cut_sheet.xlsx": sheets[: len(sheets) // 2],
        "cut_page.pdf": pages[:60],
        "cut_book.epub": book[: len(book) // 2],
        "noise.docx": b"PK\3\4" + noise,
        "noise_page.pdf": b"%PDF-1.7\n" + noise,
        "page.docx": b"<html><body>A page that was renamed.</body></html>",
        "bomb.docx": changed(word, {"word/document.xml": b"<x>" + b" " * (64 << 20) + b"</x>"}),
        "entities.xlsx": changed(sheets, {"xl/workbook.xml": f"{ENTITIES}<x>&b;</x>"}),
        "deep.odt": changed(text, {"content.xml": deep}),
        "deep_notebook.ipynb": b"[" * 100_000,
        "secret.pdf": _with_password(pages),
        "secret_text.odt": changed(text, {"META-INF/manifest.xml": "<x><encryption-data/></x>"}),
        "scan.pdf": pdf([[]]),
        "empty.txt": b"",
        "other.epub": archive({"readme.txt": "no book"}),
        "list.ipynb": json.dumps(["no", "notebook"]).encode(),
        "open.csv": b'a,b\n"c,d\n',
        "binary.txt": b"\0\1\2" + noise,
    }


def _with_password(content: bytes) -> bytes:
    writer = pypdf.PdfWriter(io.BytesIO(content))
    writer.encrypt("secret")
    out = io.BytesIO()
    writer.write(out)
    return out.getvalue()
