"""Wheels and clean environments, outside the repository.

They come from the configured package index through uv's cache. Where there is neither, a test fails and says so.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).parent.parent
OVERRIDES = ROOT / "deploy" / "overrides-cpu.txt"


def build_wheel(project: Path, folder: Path) -> Path:
    """Build a project's wheel into `folder`."""
    _uv("build", "--wheel", "--out-dir", str(folder), str(project))
    (wheel,) = folder.glob("*.whl")
    return wheel


def environment(folder: Path) -> Path:
    """Make an empty virtual environment; the path of its interpreter."""
    _uv("venv", "--python", sys.executable, str(folder))
    return folder / "bin" / "python"


def install(python: Path, *arguments: str) -> None:
    """Install into an environment, as `deploy/install.sh` does."""
    _uv("pip", "install", "--python", str(python), *arguments)


def _uv(*arguments: str) -> None:
    done = subprocess.run(
        [*_program(), *arguments], env=_environment(), capture_output=True, text=True, timeout=600, check=False
    )
    assert done.returncode == 0, f"uv {' '.join(arguments)} failed; it needs a package index:\n{done.stderr}"


def _program() -> Sequence[str]:
    return [str(Path(sys.executable).with_name("uv"))]


def _environment() -> dict[str, str]:
    """pip's index and links are handed on, as `deploy/install.sh` does; the repository's own code is not seen."""
    made = {name: value for name, value in os.environ.items() if name not in {"PYTHONPATH", "VIRTUAL_ENV"}}
    made.setdefault("UV_HTTP_TIMEOUT", "180")
    for ours, theirs in (("UV_FIND_LINKS", "global.find-links"), ("UV_DEFAULT_INDEX", "global.index-url")):
        setting = subprocess.run(
            [sys.executable, "-m", "pip", "config", "get", theirs], capture_output=True, text=True, check=False
        ).stdout.strip()
        if setting:
            made.setdefault(ours, ",".join(setting.split()) if ours == "UV_FIND_LINKS" else setting)
    return made
