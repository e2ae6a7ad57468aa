"""Debian packages as sources of text: fetched from the machine's own mirror and unpacked beside, not installed."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path


class Unavailable(Exception):
    """A package cannot be had here; says why."""


def unpacked(package: str, folder: Path) -> Path:
    """The folder with what is in a package, fetched into `folder` if need be. Raises Unavailable."""
    there = folder / package
    if there.is_dir():
        return there
    for program in ("apt-get", "dpkg-deb"):
        if shutil.which(program) is None:
            raise Unavailable(f"no {program} here: the package {package} needs a Debian or Ubuntu machine")
    folder.mkdir(parents=True, exist_ok=True)
    _run(["apt-get", "download", package], folder)
    file = max(folder.glob(f"{package}_*.deb"))
    unfinished = folder / f"{package}.unfinished"
    shutil.rmtree(unfinished, ignore_errors=True)
    _run(["dpkg-deb", "--extract", file.name, unfinished.name], folder)
    unfinished.rename(there)
    return there


def _run(command: list[str], folder: Path) -> None:
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode:
        raise Unavailable(f"{' '.join(command)} failed: {done.stderr.strip()[-300:]}")
