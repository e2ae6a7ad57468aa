"""Checks of what is kept and charged that look at more than one field."""

from __future__ import annotations

from collections.abc import Iterator

from trivet.config import schema
from trivet.config.schema import ConfigFile, RemoteBackend
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
    for name in file.index_prices:
        if ("indexes", name) not in document.lines:
            known = ", ".join(file.indexes) or "none"
            yield document.problem(("index_prices", name), f"no index of that name; known: {known}")
    for name in file.machines:
        if ("backends", name) not in document.lines:
            yield document.problem(("machines", name), f"no backend of that name; known: {', '.join(file.backends)}")
        if isinstance(file.backends.get(name), RemoteBackend):
            yield document.problem(
                ("machines", name),
                "is a fleet of engine nodes: expected prices here, or machine in the engine.yaml of each node",
            )
        if isinstance(file.backends.get(name), schema.OpenAiBackend):
            yield document.problem(
                ("machines", name), "is an endpoint whose machine is not ours to share out: expected prices"
            )
        if ("prices", name) in document.lines:
            yield document.problem(
                ("machines", name), "has prices, too: expected one of them, or all would be paid twice"
            )
