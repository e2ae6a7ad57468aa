"""Tesseract for tests: the machine's, or Debian's packages in a folder of their own."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

_PATIENCE = 120.0  # seconds


class NotHere(Exception):
    """There is no Tesseract, and it cannot be fetched: why."""


def tesseract(folder: Path) -> str:
    """A command that recognizes English. Raises NotHere."""
    if (found := shutil.which("tesseract")) is not None:
        return found
    for program in ("apt-get", "dpkg-deb"):
        if shutil.which(program) is None:
            raise NotHere(f"no tesseract here, and no {program} to fetch it with")
    planned = _run(folder, "apt-get", "install", "--simulate", "--no-install-recommends", "tesseract-ocr")
    missing = [line.split()[1] for line in planned.splitlines() if line.startswith("Inst ")]
    _run(folder, "apt-get", "download", *missing)
    for package in sorted(folder.glob("*.deb")):
        _run(folder, "dpkg-deb", "--extract", package.name, "root")
    (libraries,) = {str(path.parent) for path in folder.glob("root/usr/lib/*/libtesseract.so.5")}
    (data,) = folder.glob("root/usr/share/tesseract-ocr/*/tessdata")
    command = folder / "tesseract"
    command.write_text(
        f"#!/bin/sh\nexport LD_LIBRARY_PATH={libraries} TESSDATA_PREFIX={data}\n"
        f'exec {folder}/root/usr/bin/tesseract "$@"\n'
    )
    command.chmod(0o755)
    return str(command)


def _run(folder: Path, *command: str) -> str:
    try:
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, timeout=_PATIENCE)
    except subprocess.TimeoutExpired:
        raise NotHere(f"no tesseract here, and {command[0]} takes too long") from None
    if done.returncode:
        raise NotHere(f"no tesseract here, and {command[0]} fails: {done.stderr.strip()[-200:]}")
    return done.stdout
