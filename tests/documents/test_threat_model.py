"""Each line of the threat model names tests that exist, or says that there is no protection."""

from __future__ import annotations

import re

import pytest

from tests.support.pages.markdown_pages import ROOT

SECURITY = (ROOT / "docs" / "security.md").read_text(encoding="utf-8")
TABLE = SECURITY.split("## What listens")[0]
ROWS = [line for line in TABLE.splitlines() if line.startswith("| ") and not line.startswith("| from whom")]
NAMED = re.compile(r"`(tests/[\w/]+\.py)::(test_\w+)`")


@pytest.mark.parametrize("row", ROWS)
def test_a_line_names_tests_or_says_that_nothing_protects(row: str) -> None:
    cells = [cell.strip() for cell in row.strip("|").split(" | ")]
    assert len(cells) == 4
    assert NAMED.search(cells[3]) or "**not protected**" in cells[2]
    for path, name in NAMED.findall(row):
        text = (ROOT / path).read_text(encoding="utf-8")
        assert re.search(rf"^(?:async )?def {name}\(", text, re.MULTILINE), f"{path} has no {name}"


def test_every_attacker_is_there() -> None:
    who = {row.split(" | ")[0].removeprefix("| ") for row in ROWS}
    expected = {"a client without a key", "a tenant", "another user of the machine", "a document's author"}
    assert expected | {"an adapter's author", "an operator"} <= who
