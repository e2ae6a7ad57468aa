"""docs/limits.md has the bound of each field as the table in the code has it."""

from __future__ import annotations

from pathlib import Path

from trivet.rpc.messages.bounds import BOUNDS, Bound

PAGE = Path(__file__).parents[2] / "docs" / "limits.md"


def row(field: str, bound: Bound) -> str:
    """The line of the page."""

    def number(value: int | None) -> str:
        return "" if value is None else f"{value:,}"

    size = "as its message" if bound.size is None and bound.items is None else number(bound.size)
    return f"| `{field}` | {size} | {number(bound.items)} | {number(bound.key)} |"


def test_the_page_has_the_bound_of_each_field_and_of_no_other() -> None:
    lines = PAGE.read_text().splitlines()
    begin = next(i for i, line in enumerate(lines) if line.startswith("| field |")) + 2
    found = []
    for line in lines[begin:]:
        if not line.startswith("|"):
            break
        found.append(line)
    assert found == [row(field, bound) for field, bound in BOUNDS.items()]
