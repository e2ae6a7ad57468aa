"""Separated values, reStructuredText, notebooks, mail and source code."""

from __future__ import annotations

import json

import pytest

from tests.support.retrieval.office_files import mail
from trivet.errors import DocumentRejected
from trivet.retrieval.passages.formats.listings import Table
from trivet.retrieval.passages.formats.sections import ParsedDocument
from trivet.retrieval.passages.limits import DEFAULT_LIMITS
from trivet.retrieval.passages.parsing import read, read_bytes
from trivet.types.passage import DocumentFormat


def places(parsed: ParsedDocument) -> list[str]:
    assert parsed.places is not None
    for section in parsed.sections:
        assert parsed.text[section.start : section.start + len(section.text)] == section.text
    return [parsed.places.name(one.start, one.start + len(one.text)) for one in parsed.sections]


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_records_are_rows_with_their_header(delimiter: str) -> None:
    content = (
        delimiter.join(("Item", "Price")) + "\r\n" + delimiter.join(('"Lamp, new; big"', "7")) + "\r\n\r\nBulb,1\r\n"
    )
    parsed = read(content, DocumentFormat.CSV)
    assert parsed.text.split("\n")[:2] == ["Item | Price", "Lamp, new; big | 7"]
    (table,) = parsed.sections[0].blocks
    assert isinstance(table, Table)
    assert table.header == "Item | Price"
    assert places(parsed) == ["rows 1-4"]


def test_a_quote_that_is_never_closed_is_refused() -> None:
    with pytest.raises(DocumentRejected, match="record 2"):
        read('a,b\n"c,d\n', DocumentFormat.CSV)


def test_restructured_text_is_cut_at_its_headings() -> None:
    content = (
        "=====\nLamps\n=====\n\nIntro.\n\nWeight\n------\n\n.. function:: weigh(x)\n\n   Says 12 grams.\n\n"
        "Deep\n~~~~\n\nx::\n\n   Not a heading\n   -------------\n\nPrice\n-----\n\n==== ==\na    b\n==== ==\n"
    )
    parsed = read(content, DocumentFormat.RST)
    assert parsed.title == "Lamps"
    paths = [section.path for section in parsed.sections]
    assert paths == [("Lamps",), ("Lamps", "Weight"), ("Lamps", "Weight", "Deep"), ("Lamps", "Price")]
    assert "Says 12 grams." in parsed.sections[1].text
    assert all(content[one.start : one.start + len(one.text)] == one.text for one in parsed.sections)


def test_cells_of_a_notebook_keep_the_headings_above() -> None:
    cells = [
        {"cell_type": "markdown", "source": ["# Data\n", "Load it."]},
        {"cell_type": "code", "source": "x = 1\nprint(x)", "outputs": [{"output_type": "stream", "text": ["1\n"]}]},
        {"cell_type": "code", "source": "y", "outputs": [{"data": {"text/html": "<b>no</b>", "text/plain": "2"}}]},
        {"cell_type": "markdown", "source": "## More\nText."},
    ]
    parsed = read(json.dumps({"nbformat": 4, "metadata": {}, "cells": cells}), DocumentFormat.NOTEBOOK)
    paths = [section.path for section in parsed.sections]
    assert paths == [("Data",), ("Data",), ("Data",), ("Data", "More")]
    assert [section.text for section in parsed.sections] == ["Load it.", "x = 1\nprint(x)\n\n1", "y\n\n2", "Text."]
    assert places(parsed) == ["cell 1", "cell 2", "cell 3", "cell 4"]


@pytest.mark.parametrize("content", ["[", "[]", "{}", '{"cells": [], "nbformat": 3}', "[" * 100_000])
def test_what_is_no_notebook_is_refused(content: str) -> None:
    with pytest.raises(DocumentRejected):
        read(content, DocumentFormat.NOTEBOOK)


def test_a_mail_says_who_and_names_attachments() -> None:
    content = mail("Invoice 7", "Please pay 7 euros.", html="<p>Other</p>", attachment="a.zip")
    parsed = read_bytes(content, DocumentFormat.MAIL, DEFAULT_LIMITS)
    assert (parsed.title, parsed.sections[0].path) == ("Invoice 7", ("Invoice 7",))
    assert parsed.text == "From: Ada <ada@example.org>\nTo: bob@example.org\nAttachments: a.zip\n\nPlease pay 7 euros."


def test_a_mailbox_is_many_mails() -> None:
    one, two = mail("One", "First.\nFrom here on it is text."), mail("Two", "Second.")
    parsed = read_bytes(b"From a Mon\n" + one + b"\nFrom b Tue\n" + two, DocumentFormat.MAIL, DEFAULT_LIMITS)
    assert [section.path for section in parsed.sections] == [("One",), ("Two",)]
    assert "From here on it is text." in parsed.sections[0].text
    assert places(parsed) == ["mail 1", "mail 2"]


def test_source_code_is_cut_where_things_are_defined() -> None:
    function = "# What it weighs.\n@cached\ndef weigh(x):\n    return 12\n\n\n"
    content = f"import os\n\n\n{function}class Lamp:\n    def on(self): ...\n"
    parsed = read(content, DocumentFormat.CODE)
    assert [section.path for section in parsed.sections] == [(), ("def weigh(x)",), ("class Lamp",)]
    assert places(parsed) == ["line 1", "lines 4-7", "lines 10-11"]
    assert parsed.text == content
