"""Jupyter notebooks: text as Markdown, code as code, what it printed below it."""

from __future__ import annotations

import json
from typing import Any

from trivet.errors import DocumentRejected
from trivet.retrieval.passages.formats.joined import JoinedDocument
from trivet.retrieval.passages.formats.markdown import read_markdown
from trivet.retrieval.passages.formats.sections import HeadingPath, ParsedDocument, Section
from trivet.retrieval.passages.limits import DocumentLimits

_MOST_CELLS = 10_000
_MOST_OUTPUT = 4_000  # characters of what a cell printed


def read_notebook(content: str, limits: DocumentLimits) -> ParsedDocument:
    """The cells in order. Pictures, HTML and scripts in what was printed are left out; nothing is run.

    Raises DocumentRejected for what is no notebook of format 4.
    """
    try:
        notebook = json.loads(content)
    except json.JSONDecodeError as error:
        raise DocumentRejected(f"it is not JSON ({error.msg} at character {error.pos})") from None
    except RecursionError:
        raise DocumentRejected("it is nested too deeply") from None
    cells = notebook.get("cells") if isinstance(notebook, dict) else None
    if not isinstance(cells, list) or notebook.get("nbformat") != 4:
        raise DocumentRejected("it is no notebook of format 4, expected `cells` and `nbformat: 4`")
    if len(cells) > _MOST_CELLS:
        raise DocumentRejected(f"it has {len(cells):,} cells, expected at most {_MOST_CELLS:,}")
    document = JoinedDocument("cell", limits.characters)
    headings = HeadingPath()
    for cell in cells:
        document.add(_cell(cell if isinstance(cell, dict) else {}, headings))
    parsed = document.whole("")
    first = next((section.path[0] for section in parsed.sections if section.path), "")
    return ParsedDocument(first, parsed.text, parsed.sections, places=parsed.places)


def _cell(cell: dict[str, Any], headings: HeadingPath) -> ParsedDocument:
    source = _text(cell.get("source")).replace("\0", "")
    if cell.get("cell_type") == "markdown":
        return read_markdown(source, headings)
    outputs = cell.get("outputs")
    told = (_printed(one) for one in outputs) if isinstance(outputs, list) else ()
    printed = "\n".join(filter(None, told))[:_MOST_OUTPUT]
    text = "\n\n".join(filter(None, (source.strip("\n"), printed.strip("\n"))))
    section = Section(headings.path, text, code=True)
    return ParsedDocument("", text, (section,) if text.strip() else ())


def _printed(output: Any) -> str:
    if not isinstance(output, dict):
        return ""
    data = output.get("data")
    return _text(output.get("text")) or (_text(data.get("text/plain")) if isinstance(data, dict) else "")


def _text(value: Any) -> str:
    """A string, or the list of its lines."""
    if isinstance(value, list):
        value = "".join(line for line in value if isinstance(line, str))
    return value.replace("\r\n", "\n").replace("\r", "\n") if isinstance(value, str) else ""
