"""One process owns a data folder, and its end, however it comes, gives it back."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from trivet.errors import DataFolderInUse
from trivet.stores.data_folder import DataFolder

HOLD = "import sys, time; from pathlib import Path; from trivet.stores.data_folder import DataFolder; " + (
    "held = DataFolder.open(Path(sys.argv[1])); print('held', flush=True); time.sleep(60)"
)


def test_a_second_owner_is_refused_with_the_first_ones_pid_until_that_is_killed(tmp_path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", HOLD, str(tmp_path)], stdout=subprocess.PIPE, text=True) as owner:
        assert owner.stdout is not None
        assert owner.stdout.readline() == "held\n"
        with pytest.raises(DataFolderInUse, match=f"in use by process {owner.pid}") as refused:
            DataFolder.open(tmp_path)
        assert refused.value.pid == owner.pid
        os.kill(owner.pid, signal.SIGKILL)
        owner.wait()
    DataFolder.open(tmp_path).close()


def test_it_can_be_opened_again_after_it_was_closed(tmp_path: Path) -> None:
    DataFolder.open(tmp_path / "new").close()
    folder = DataFolder.open(tmp_path / "new")
    assert (tmp_path / "new" / "lock").read_text() == f"{os.getpid()}\n"
    folder.close()
