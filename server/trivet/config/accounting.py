"""Checks of what is kept and charged that look at more than one field."""

from __future__ import annotations

from collections.abc import Iterator

from trivet.config.schema import ConfigFile
from trivet.config.yaml_lines import YamlDocument


def accounting_problems(document: YamlDocument, file: ConfigFile) -> Iterator[str]:
    """One line for each, with file, line and field."""
    receipts = file.server.receipts
    if receipts.total_bytes < 2 * receipts.file_bytes:
        expected = f"expected at least twice file_bytes ({receipts.file_bytes}): the newest receipts would go as well"
        yield document.problem(("server", "receipts", "total_bytes"), expected)
    for name in file.prices:
        if ("backends", name) not in document.lines:
            yield document.problem(("prices", name), f"no backend of that name; known: {', '.join(file.backends)}")
    for name in file.machines:
        if ("backends", name) not in document.lines:
            yield document.problem(("machines", name), f"no backend of that name; known: {', '.join(file.backends)}")
        if ("prices", name) in document.lines:
            yield document.problem(
                ("machines", name), "has prices, too: expected one of them, or all would be paid twice"
            )
