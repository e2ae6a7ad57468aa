"""The file of rollbacks by hand, damaged: never taken for none, and the message says what to do."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.recovery.damage import DAMAGE
from trivet.rollouts.control.overrides import Overrides

ONE = '[{"rollout": "r1", "route": "support", "actor": "anna", "reason": "wrong answers"}]'


@pytest.mark.parametrize("kind", sorted(set(DAMAGE) - {"missing"}))
def test_it_is_refused_with_what_to_do(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "rolled_back.json"
    path.write_text(ONE)
    DAMAGE[kind](path)
    with pytest.raises(ValueError, match=r"rolled_back\.json holds no rollbacks of ours.*move the file away"):
        Overrides(path)


@pytest.mark.parametrize("content", ["7", "{}x", "[7]", '[{"rollout": "r1"}]', "[" * 100_000, "null"], ids=range(6))
def test_what_is_none_of_ours(tmp_path: Path, content: str) -> None:
    path = tmp_path / "rolled_back.json"
    path.write_text(content)
    with pytest.raises(ValueError, match="expected a list"):
        Overrides(path)


def test_a_sound_one_is_read(tmp_path: Path) -> None:
    path = tmp_path / "rolled_back.json"
    path.write_text(ONE)
    assert Overrides(path).told() == {"support": "wrong answers"}
