"""Wheels and clean environments, outside the repository.

They come from the configured package index through uv's cache. Where there is neither, a test fails and says so.
"""

from __future__ import annotations

import os
import subprocess
import sys
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[3]


def build_wheel(project: Path, folder: Path) -> Path:
    """Build a project's wheel into `folder`."""
    uv("build", "--wheel", "--out-dir", str(folder), str(project))
    (wheel,) = folder.glob("*.whl")
    return wheel


def environment(folder: Path) -> Path:
    """Make an empty virtual environment; the path of its interpreter."""
    uv("venv", "--python", sys.executable, str(folder))
    return folder / "bin" / "python"


def install(python: Path, *arguments: str) -> None:
    """Install into an environment, as `deploy/install.sh` does."""
    uv("pip", "install", "--python", str(python), *arguments)


def uv(*arguments: str, cwd: Path | None = None, **variables: str) -> None:
    """Run uv; it must succeed."""
    done = subprocess.run(
        [str(Path(sys.executable).with_name("uv")), *arguments],
        cwd=cwd,
        env=clean_environment() | variables,
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, f"uv {' '.join(arguments)} failed; it needs a package index:\n{done.stderr}"


def folders_with(pattern: str) -> list[Path]:
    """The folders of wheels, of those that pip and uv are told of, that have a file like this."""
    named = clean_environment().get("UV_FIND_LINKS", "").split(",")
    return [folder for folder in map(Path, named) if folder.is_dir() and any(folder.glob(pattern))]


def clean_environment() -> dict[str, str]:
    """pip's index and links are handed on, as `deploy/install.sh` does; the repository's own code is not seen."""
    hidden = {"PYTHONPATH", "VIRTUAL_ENV", "PYTHONDONTWRITEBYTECODE"}
    made = {name: value for name, value in os.environ.items() if name not in hidden}
    made.setdefault("UV_HTTP_TIMEOUT", "180")
    for ours, theirs in (("UV_FIND_LINKS", "global.find-links"), ("UV_DEFAULT_INDEX", "global.index-url")):
        if setting := _of_pip(theirs):
            made.setdefault(ours, ",".join(setting.split()) if ours == "UV_FIND_LINKS" else setting)
    return made


@cache
def _of_pip(setting: str) -> str:
    command = [sys.executable, "-m", "pip", "config", "get", setting]
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()
