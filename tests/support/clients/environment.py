"""The environment of the clients that do not fit into the server's: made once, by uv, in `.data/clients`.

python -m tests.support.clients.environment     makes it and prints its Python
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

HERE = Path(__file__).parent
FOLDER = HERE.parents[2] / ".data" / "clients"
TIMEOUT = 600  # seconds; it takes five where the packages are near


def clients_python(requirements: Path = HERE / "requirements.txt") -> Path:
    """The Python of an environment with these requirements. Made if it is not there; it is whole or not there."""
    text = f"{sys.version}\n{requirements.read_text()}"
    name = f"{requirements.stem}-{hashlib.sha256(text.encode()).hexdigest()[:12]}"
    place = FOLDER / name
    FOLDER.mkdir(parents=True, exist_ok=True)
    with (FOLDER / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # several processes test at once
        done = place / "done"
        if not done.exists():
            shutil.rmtree(place, ignore_errors=True)
            _uv("venv", "--quiet", "--python", sys.executable, str(place))
            _uv("pip", "install", "--quiet", "--python", str(place / "bin/python"), "-r", str(requirements))
            done.touch()
    return place / "bin/python"


def _uv(*arguments: str) -> None:
    uv = Path(sys.executable).parent / "uv"
    program = str(uv) if uv.exists() else "uv"
    done = subprocess.run(
        [program, *arguments], env=_variables(), capture_output=True, text=True, timeout=TIMEOUT, check=False
    )
    if done.returncode:
        raise RuntimeError(f"uv {' '.join(arguments)} failed; it needs a package index:\n{done.stdout}{done.stderr}")


def _variables() -> Mapping[str, str]:
    """uv does not read pip's configuration: hand it on, as deploy/install.sh does.

    Files are copied out of its cache: there are packages (NLTK) that open no file with several links.
    """
    variables = {"UV_HTTP_TIMEOUT": "180", "UV_LINK_MODE": "copy", **os.environ}
    for ours, theirs, setting in (
        ("UV_FIND_LINKS", "PIP_FIND_LINKS", "global.find-links"),
        ("UV_DEFAULT_INDEX", "PIP_INDEX_URL", "global.index-url"),
    ):
        value = os.environ.get(theirs) or _pip(setting)
        if value and ours not in variables:
            variables[ours] = ",".join(value.split())
    return variables


def _pip(setting: str) -> str:
    command = [sys.executable, "-m", "pip", "config", "get", setting]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False).stdout.strip()


if __name__ == "__main__":
    print(clients_python())
