"""The shell scripts: what a linter says."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FOLDERS = ("deploy", "tests", "examples", "models", "benchmarks")
SCRIPTS = sorted(
    path for folder in FOLDERS for path in (ROOT / folder).rglob("*.sh") if "node_modules" not in path.parts
)


@pytest.mark.process
@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_the_linter_has_nothing_to_say(script: Path) -> None:
    shellcheck = Path(sys.executable).parent / "shellcheck"
    done = subprocess.run([shellcheck, script], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "")


def test_those_that_deploy_are_among_them() -> None:
    assert {"install.sh", "fetch.sh", "secrets.sh"} <= {path.name for path in SCRIPTS}
