"""Desired adapters on the disk."""

from __future__ import annotations

from pathlib import Path

import pytest

from trivet.errors import FailedPrecondition
from trivet.stores.desired_adapters import DesiredAdapter, DesiredAdapters
from trivet.types.variant import VersionRef

FIRST = DesiredAdapter(VersionRef("tone", "1"), "1" * 64)
SECOND = DesiredAdapter(VersionRef("tone", "2"), "2" * 64)


async def test_wishes_are_there_after_a_restart_the_last_one_first(tmp_path: Path) -> None:
    desired = DesiredAdapters.open(tmp_path / "adapters.sqlite")
    for one in (FIRST, SECOND, FIRST):
        await desired.record("small", one)
    await desired.record("large", SECOND)
    desired.close()
    desired = DesiredAdapters.open(tmp_path / "adapters.sqlite")
    assert await desired.all("small") == [FIRST, SECOND]
    assert await desired.all("large") == [SECOND]
    desired.close()


async def test_other_bytes_and_a_withdrawal_replace_what_was_there(tmp_path: Path) -> None:
    desired = DesiredAdapters.open(tmp_path / "adapters.sqlite")
    await desired.record("small", FIRST)
    changed = DesiredAdapter(FIRST.ref, "3" * 64)
    await desired.record("small", changed)
    assert await desired.all("small") == [changed]
    await desired.withdraw("large", FIRST.ref)
    assert await desired.all("small") == [changed]
    await desired.withdraw("small", FIRST.ref)
    await desired.withdraw("small", FIRST.ref)
    assert await desired.all("small") == []
    desired.close()


async def test_what_is_no_database_is_refused(tmp_path: Path) -> None:
    (tmp_path / "adapters.sqlite").write_text("not a database " * 100)
    with pytest.raises(FailedPrecondition, match=r"adapters\.sqlite cannot be opened"):
        DesiredAdapters.open(tmp_path / "adapters.sqlite")
