"""Operators' wishes on the disk."""

from __future__ import annotations

from pathlib import Path

import pytest

from trivet.errors import FailedPrecondition
from trivet.stores.adapter_wishes import AdapterWish, AdapterWishes
from trivet.types.variant import VersionRef

FIRST = AdapterWish(VersionRef("tone", "1"), "1" * 64)
SECOND = AdapterWish(VersionRef("tone", "2"), "2" * 64)


async def test_wishes_are_there_after_a_restart_the_last_one_first(tmp_path: Path) -> None:
    wishes = AdapterWishes.open(tmp_path / "adapters.sqlite")
    for wish in (FIRST, SECOND, FIRST):
        await wishes.record("small", wish)
    await wishes.record("large", SECOND)
    wishes.close()
    wishes = AdapterWishes.open(tmp_path / "adapters.sqlite")
    assert await wishes.all("small") == [FIRST, SECOND]
    assert await wishes.all("large") == [SECOND]
    wishes.close()


async def test_other_bytes_and_a_withdrawal_replace_what_was_there(tmp_path: Path) -> None:
    wishes = AdapterWishes.open(tmp_path / "adapters.sqlite")
    await wishes.record("small", FIRST)
    changed = AdapterWish(FIRST.ref, "3" * 64)
    await wishes.record("small", changed)
    assert await wishes.all("small") == [changed]
    await wishes.withdraw("large", FIRST.ref)
    assert await wishes.all("small") == [changed]
    await wishes.withdraw("small", FIRST.ref)
    await wishes.withdraw("small", FIRST.ref)
    assert await wishes.all("small") == []
    wishes.close()


async def test_what_is_no_database_is_refused(tmp_path: Path) -> None:
    (tmp_path / "adapters.sqlite").write_text("not a database " * 100)
    with pytest.raises(FailedPrecondition, match=r"adapters\.sqlite cannot be opened"):
        AdapterWishes.open(tmp_path / "adapters.sqlite")
