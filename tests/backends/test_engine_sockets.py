"""The engine's sockets are at home, for this user alone, and do not pile up."""

from __future__ import annotations

from pathlib import Path

import pytest

from trivet.backends.engine_sockets import clear_sockets, new_sockets, socket_folder

UUID = "/8a6e0804-2bd0-4672-b79d-d97027f9071a"


def test_each_engine_has_a_folder_of_its_own_that_a_socket_fits_in() -> None:
    short, long = Path("/data/cache"), Path("/data") / ("x" * 200)
    assert socket_folder(short, "one") == Path("/data/cache/sockets/one")
    folders = [socket_folder(cache, name) for cache in (short, long) for name in ("one", "two")]
    assert len(set(folders)) == 4
    assert all(len(f"{folder}{UUID}") <= 107 for folder in folders)
    assert socket_folder(long, "one") == socket_folder(long, "one")


def test_what_a_killed_engine_left_is_gone(tmp_path: Path) -> None:
    folder = tmp_path / "sockets" / "one"
    new_sockets(folder)
    (folder / "left").touch()
    new_sockets(folder)
    assert list(folder.iterdir()) == []
    assert folder.stat().st_mode & 0o777 == 0o700
    clear_sockets(folder)
    clear_sockets(folder)
    assert not folder.exists()


def test_a_link_in_its_place_is_refused(tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "precious").touch()
    link = tmp_path / "link"
    link.symlink_to(elsewhere)
    with pytest.raises(OSError, match="not a folder of this user"):
        new_sockets(link)
    assert (elsewhere / "precious").exists()
