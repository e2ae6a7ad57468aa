"""A gateway's own name, also where its file is damaged."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.recovery.damage import DAMAGE
from trivet.app.rollouts.gateway_name import own_name


def test_it_stays(tmp_path: Path) -> None:
    name = own_name(tmp_path / "gateway")
    assert len(name) == 8
    assert own_name(tmp_path / "gateway") == name
    assert own_name(tmp_path / "another") != name


@pytest.mark.parametrize("kind", DAMAGE)
def test_a_damaged_one_is_drawn_again(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "gateway"
    old = own_name(path)
    DAMAGE[kind](path)
    name = own_name(path)
    assert len(name) == 8
    assert name != old
    if kind != "folder":
        assert own_name(path) == name


@pytest.mark.parametrize("content", [b"\xff" * 10, b"x" * 100_000, b"00000000\n00000000"])
def test_what_is_none_of_ours_is_no_name(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "gateway"
    path.write_bytes(content)
    assert len(own_name(path)) == 8
    assert path.read_bytes() != content
