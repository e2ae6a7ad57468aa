"""How a benchmark measures and what it does not show: said once, in its docstring, for `--help` and for its page."""

from __future__ import annotations

TITLES = ("How it is measured", "What it does not show")


def method(docstring: str | None) -> list[str]:
    """The sections of the docstring that `TITLES` name, as Markdown; lines that begin further left end them."""
    lines: list[str] = []
    inside = False
    for line in (docstring or "").splitlines():
        if line in TITLES:
            inside = True
            lines += ["", f"## {line}", ""]
        elif inside and line.startswith(("- ", "  ")):
            lines.append(line)
        elif line:
            inside = False
    return lines
