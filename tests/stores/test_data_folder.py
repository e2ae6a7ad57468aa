"""One process owns a data folder, and its end, however it comes, gives it back."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from trivet.errors import DataFolderInUse, FailedPrecondition
from trivet.stores.data_folder import DataFolder, refuse_without

HOLD = "import sys, time; from pathlib import Path; from trivet.stores.data_folder import DataFolder; " + (
    "held = DataFolder.open(Path(sys.argv[1])); print('held', flush=True); time.sleep(60)"
)


@pytest.mark.process
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


WRITE = """
import os, subprocess, sys
from pathlib import Path
from trivet.stores.data_folder import DataFolder
folder = DataFolder.open(Path(sys.argv[1]))
folder.receipts.write_text("who asked what")
(folder.logs / "engine.log").write_text("lines")
subprocess.run(["sh", "-c", f"mkdir {folder.vectors} && echo passages > {folder.vectors}/segment"], check=True)
"""
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")


@pytest.fixture
def open_place() -> Iterator[Path]:
    """A folder that every user may enter: pytest's own may not."""
    with TemporaryDirectory() as name:
        Path(name).chmod(0o755)
        yield Path(name)


def as_nobody(*command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, user="nobody", group="nogroup", extra_groups=[], capture_output=True, text=True)


@pytest.mark.process
@as_root
@pytest.mark.parametrize("made_before", [False, True])
def test_other_users_read_nothing_in_it(made_before: bool, open_place: Path) -> None:
    root = open_place / "data"
    if made_before:
        root.mkdir(mode=0o755)
        (root / "receipts.jsonl").write_text("")
        root.chmod(0o755)  # whatever the umask of the tests is by now
        (root / "receipts.jsonl").chmod(0o644)
        assert as_nobody("cat", str(root / "receipts.jsonl")).returncode == 0
    done = subprocess.run([sys.executable, "-c", WRITE, str(root)], capture_output=True, text=True, check=True)
    assert ("was open to other users (mode 0755): closed to them now" in done.stderr) == made_before
    written = [path for path in root.rglob("*") if not (made_before and path.name == "receipts.jsonl")]
    assert len(written) >= 5
    assert {path.stat().st_mode & 0o077 for path in (root, *written)} == {0}
    for command in (("ls", str(root)), *(("cat", str(path)) for path in root.rglob("*") if path.is_file())):
        denied = as_nobody(*command)
        assert denied.returncode != 0
        assert "Permission denied" in denied.stderr


@as_root
def test_one_of_another_user_is_refused(open_place: Path) -> None:
    root = open_place / "data"
    root.mkdir()
    os.chown(root, 65534, 65534)
    with pytest.raises(FailedPrecondition, match="belongs to user 65534, expected 0, who runs this"):
        DataFolder.open(root)
    assert list(root.iterdir()) == []


@pytest.mark.parametrize("content", [None, b""])
def test_a_lost_file_beside_what_depends_on_it_is_refused_with_the_remedy(
    tmp_path: Path, content: bytes | None
) -> None:
    file, depending = tmp_path / "adapters.sqlite", tmp_path / "adapters"
    refuse_without(file, [depending])  # a new folder
    if content is not None:
        file.write_bytes(content)
    (depending / ".tmp-1").mkdir(parents=True)
    refuse_without(file, [depending])  # half-written things are nobody's
    (depending / "a@1#0123456789ab").mkdir()
    with pytest.raises(
        FailedPrecondition, match=r"adapters\.sqlite is (missing|empty), .*trivet restore.*adapters\.old"
    ):
        refuse_without(file, [depending])
    file.write_bytes(b"a database")
    refuse_without(file, [depending])


def test_a_folder_whose_restore_was_not_finished_is_refused(tmp_path: Path) -> None:
    (tmp_path / "restoring").mkdir()
    with pytest.raises(FailedPrecondition, match="Run the same `trivet restore` again"):
        DataFolder.open(tmp_path)
    DataFolder.open(tmp_path, restoring=True).close()
