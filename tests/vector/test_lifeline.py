"""A process dies with its parent, also if that died before it could ask for it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.processes import gone
from trivet.vector.lifeline import environment_of_child

pytestmark = pytest.mark.process

CHILD = """
import os, sys, time
from pathlib import Path
while os.getppid() == int(sys.argv[1]):
    time.sleep(0.01)
from trivet.vector.lifeline import die_with_parent
die_with_parent(*map(int, sys.argv[3:]))
Path(sys.argv[2]).touch()
"""
PARENT = """
import os, subprocess, sys
from trivet.vector.lifeline import environment_of_child
me = str(os.getpid())
told, more = (environment_of_child(), []) if sys.argv[2] == "environment" else (None, [me])
child = subprocess.Popen([sys.executable, "-c", sys.argv[1], me, sys.argv[3], *more], env=told)
print(child.pid, flush=True)
os._exit(0)
"""


@pytest.mark.parametrize("how", ["environment", "argument"])
def test_of_a_parent_that_has_died_already(tmp_path: Path, how: str) -> None:
    lived = tmp_path / "lived"
    command = [sys.executable, "-c", PARENT, CHILD, how, str(lived)]
    parent = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True, timeout=120)
    assert gone(int(parent.stdout))
    assert not lived.exists()


def test_while_its_parent_lives_it_does_too_and_tells_its_own_children_nothing() -> None:
    code = "import os; from trivet.vector.lifeline import die_with_parent; die_with_parent(); print(dict(os.environ))"
    command = [sys.executable, "-c", code]
    done = subprocess.run(
        command, env=environment_of_child(), stdout=subprocess.PIPE, text=True, check=True, timeout=120
    )
    assert "TRIVET_PARENT" not in done.stdout
