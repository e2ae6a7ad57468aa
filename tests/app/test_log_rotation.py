"""Logs that child processes write are bounded while they write."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from pathlib import Path

import pytest

from trivet.app.supervision.log_rotation import LogRotation

WRITES = "import sys, time\nwhile True: print('x' * 99, flush=True); time.sleep(0.0005)"


@pytest.mark.process
def test_the_log_of_a_child_that_writes_is_bounded(tmp_path: Path) -> None:
    log = tmp_path / "engine-local.log"
    with log.open("ab") as output, subprocess.Popen([sys.executable, "-c", WRITES], stdout=output) as child:
        try:
            asyncio.run(rotate_until(tmp_path, log.with_name("engine-local.log.2")))
        finally:
            child.kill()
    assert {path.name for path in tmp_path.iterdir()} == {f"engine-local.log{end}" for end in ("", ".1", ".2")}
    for path in tmp_path.iterdir():
        lines = path.read_bytes().splitlines()
        assert all(line == b"x" * 99 for line in lines[:-1]), path.name  # no hole where the file was emptied
        assert path.stat().st_size < 200_000


async def rotate_until(folder: Path, there: Path) -> None:
    rotation = LogRotation(folder, file_bytes=10_000, files=2, interval=0.02)
    rotation.start()
    try:
        async with asyncio.timeout(60):
            while not await asyncio.to_thread(there.exists):
                await asyncio.sleep(0.02)
        await asyncio.sleep(0.2)
    finally:
        await rotation.close()


def test_small_logs_and_other_files_stay(tmp_path: Path) -> None:
    (tmp_path / "vector.log").write_bytes(b"few\n")
    (tmp_path / "engine-logging.json").write_bytes(b"x" * 1000)
    LogRotation(tmp_path, file_bytes=100, files=1).look()
    assert len(list(tmp_path.iterdir())) == 2


def test_of_each_log_the_newest_stay(tmp_path: Path) -> None:
    rotation = LogRotation(tmp_path, file_bytes=1, files=2)
    for text in ("one", "two", "three"):
        (tmp_path / "vector.log").write_text(text)
        rotation.look()
    assert (tmp_path / "vector.log").read_text() == ""
    assert [(tmp_path / f"vector.log.{number}").read_text() for number in (1, 2)] == ["three", "two"]
    assert (tmp_path / "vector.log.1").stat().st_mode & 0o777 == 0o600


def test_one_that_cannot_be_copied_is_emptied_and_no_other_is_kept_waiting(tmp_path: Path) -> None:
    (tmp_path / "a.log.1").mkdir()  # stands in the way
    (tmp_path / "a.log.1" / "x").touch()
    for name in ("a.log", "b.log"):
        (tmp_path / name).write_text("text")
    LogRotation(tmp_path, file_bytes=1, files=1).look()
    assert (tmp_path / "a.log").read_text() == ""
    assert (tmp_path / "b.log.1").read_text() == "text"
