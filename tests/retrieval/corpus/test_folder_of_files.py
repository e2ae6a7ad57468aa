"""A folder as people have them: every format, some files broken. It is built in one go, and what is left out is
told."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.support.retrieval.broken_files import broken_files
from tests.support.retrieval.documents import reported
from tests.support.retrieval.office_files import docx, epub, mail, odt, pptx, xlsx
from tests.support.retrieval.pdf_files import pdf
from trivet.retrieval.service import IndexService
from trivet.types.passage import SearchQuery

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.embedding]

BROKEN = ("cut.docx", "bomb.docx", "entities.xlsx", "secret.pdf", "empty.txt")


def facts() -> dict[str, tuple[bytes, str, str]]:
    """By file: its content, what it is asked, and the place that the answer has."""

    def said(thing: str) -> str:
        return f"The {thing} weighs 12 grams."

    rows: list[list[Any]] = [["Item", "Grams"], ["anvil", 900], ["sextant", 70]]
    notebook = {"nbformat": 4, "cells": [{"cell_type": "markdown", "source": f"# Notes\n{said('kettle')}"}]}
    return {
        "word.docx": (docx(headings={"Weights": said("lantern")}), "lantern", ""),
        "talk.pptx": (pptx({"Intro": "Hello.", "Weights": said("compass")}), "compass", "slide 2"),
        "prices.xlsx": (xlsx({"Prices": rows}), "sextant", "Prices!A1:B3"),
        "text.odt": (odt(f"<text:p>{said('anchor')}</text:p>"), "anchor", ""),
        "book.epub": (epub([f"<p>{said('rudder')}</p>"]), "rudder", "chapter 1"),
        "post.eml": (mail("Weights", said("paddle")), "paddle", "mail 1"),
        "box.mbox": (b"From a Mon\n" + mail("Weights", said("hammock")), "hammock", "mail 1"),
        "stock.csv": (b"Item,Grams\nbarometer,50\n", "barometer", "rows 1-2"),
        "manual.rst": (f"Weights\n=======\n\n{said('windlass')}\n".encode(), "windlass", ""),
        "notes.ipynb": (json.dumps(notebook).encode(), "kettle", "cell 1"),
        "weigh.py": (b"def weigh_capstan():\n    return 12\n", "capstan", "lines 1-2"),
        "weigh.c": (b"/* bollard */\nint grams(void) { return 12; }\n", "bollard", "lines 1-2"),
        "page.html": (f"<p>{said('fender')}</p>".encode(), "fender", ""),
        "scan.pdf": (pdf([["First page."], [said("cleat")]]), "cleat", "page"),
        "plain.txt": (said("shackle").encode("utf-16"), "shackle", ""),
    }


async def test_what_can_be_read_is_found_and_the_rest_is_told(service: IndexService, tmp_path: Path) -> None:
    corpus = tmp_path / "corpus"
    wanted, broken = facts(), broken_files()
    for name, (content, _, _) in wanted.items():
        (corpus / name).write_bytes(content)
    (corpus / "broken").mkdir()
    for name in BROKEN:
        (corpus / "broken" / name).write_bytes(broken[name])
    report = await reported(service)
    assert {one.file for one in report.first_skipped} == {f"broken/{name}" for name in BROKEN}
    for name, (_, thing, place) in wanted.items():
        query = SearchQuery("handbook", thing, "acme", 1)
        (found,) = (await service.search(query)).passages
        document = name if name.startswith("weigh.") else name.rpartition(".")[0]
        assert (found.document_id, thing in found.text) == (document, True)
        assert found.place.startswith(place)
    assert report.documents == len(wanted) + len(BROKEN) - 1  # an empty file is none
