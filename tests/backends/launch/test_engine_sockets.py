"""The engine's sockets are at home, for this user alone, and do not pile up."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from trivet.backends.launch.engine_sockets import EngineSockets

UUID = "8a6e0804-2bd0-4672-b79d-d97027f9071a"
LONG = "x" * 200

# Makes a socket in the folder of an engine, has a child of its own connect to it, and is killed.
KILLED = """
import os, pathlib, signal, socket, subprocess, sys
from trivet.backends.launch.engine_sockets import EngineSockets
path = EngineSockets(pathlib.Path(sys.argv[1]), "one").make() / sys.argv[2]
listening = socket.socket(socket.AF_UNIX)
listening.bind(str(path))
listening.listen()
code = "import socket, sys; socket.socket(socket.AF_UNIX).connect(sys.argv[1])"
assert subprocess.run([sys.executable, "-c", code, str(path)]).returncode == 0
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.parametrize("name", ["data", LONG], ids=["short", "long"])
def test_a_path_that_a_socket_fits_in_leads_to_the_folder(tmp_path: Path, name: str) -> None:
    one, two = (EngineSockets(tmp_path / name, engine) for engine in ("one", "two"))
    assert one.folder == tmp_path / name / "sockets" / "one"
    for sockets in (one, two):
        path = sockets.make() / UUID
        assert len(os.fsencode(path)) <= 107
        with socket.socket(socket.AF_UNIX) as made:
            made.bind(str(path))
        assert [found.name for found in sockets.folder.iterdir()] == [UUID]
        assert sockets.folder.stat().st_mode & 0o777 == 0o700
    one.remove()
    one.remove()
    assert not one.folder.exists()
    assert two.folder.exists()
    two.remove()


@pytest.mark.process
@pytest.mark.parametrize("name", ["data", LONG], ids=["short", "long"])
def test_what_two_killed_processes_left_is_gone(tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    elsewhere = tmp_path / "tmp"
    elsewhere.mkdir()
    monkeypatch.setenv("TMPDIR", str(elsewhere))
    sockets = EngineSockets(tmp_path / name, "one")
    for number in ("first", "second"):
        done = subprocess.run([sys.executable, "-c", KILLED, tmp_path / name, number], check=False)
        assert done.returncode == -signal.SIGKILL
        assert [found.name for found in sockets.folder.iterdir()] == [number]
    sockets.make()
    assert list(sockets.folder.iterdir()) == []
    assert list(elsewhere.iterdir()) == []
    sockets.remove()


def test_its_descriptors_do_not_pile_up(tmp_path: Path) -> None:
    sockets = EngineSockets(tmp_path / LONG, "one")
    before = len(list(Path("/proc/self/fd").iterdir()))
    for _ in range(5):
        sockets.make()
    assert len(list(Path("/proc/self/fd").iterdir())) == before + 1
    sockets.remove()
    assert len(list(Path("/proc/self/fd").iterdir())) == before


def test_a_link_in_its_place_is_refused(tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "precious").touch()
    (tmp_path / "sockets").mkdir()
    (tmp_path / "sockets" / "link").symlink_to(elsewhere)
    with pytest.raises(OSError, match="not a folder of this user"):
        EngineSockets(tmp_path, "link").make()
    assert (elsewhere / "precious").exists()
