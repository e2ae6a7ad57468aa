"""docs/models.md lists the engine arguments that are taken, no more and no fewer."""

from __future__ import annotations

import re

from tests.support.pages.markdown_pages import ROOT
from trivet.config.engine_arguments import ACCEPTED


def test_the_list_of_engine_arguments_is_that_of_the_configuration() -> None:
    page = (ROOT / "docs" / "models.md").read_text()
    table = page.split("## Engine arguments")[1].split("All others are refused")[0]
    rows = [line for line in table.splitlines() if line.startswith("| ") and "`" in line]
    assert sorted(re.findall(r"`(\w+)`", "".join(rows))) == sorted(ACCEPTED)
