"""Files of a data folder that the server's user may not read: named, nothing begun anew, nothing lost."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from trivet.adapters.preflight.preflight import digest
from trivet.metering.receipt_log import ReceiptLog
from trivet.retrieval.service import open_database
from trivet.stores.data_folder import DataFolder
from trivet.stores.state import StateStore

pytestmark = [
    pytest.mark.process,
    pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file to somebody else"),
]

NOBODY = 65534
# As "nobody": what the doctor finds, and what a start and a backup say.
LOOK = f"""
import asyncio, json, os, sys
from pathlib import Path
from trivet.app.recovery.backup import back_up
from trivet.app.recovery.doctor import examine
from trivet.metering.receipt_log import ReceiptLog
from trivet.retrieval.service import open_database
from trivet.stores.data_folder import DataFolder
os.setgroups([]); os.setgid({NOBODY}); os.setuid({NOBODY})
root, target = map(Path, sys.argv[1:])

def quiet(*_): pass
def start():
    DataFolder.open(root)
    open_database(root / "documents.sqlite")
    ReceiptLog(root / "receipts.jsonl")

told = {{"found": [[one.where, one.what] for one in asyncio.run(examine(root, quiet)).findings]}}
for name, work in (("start", start), ("backup", lambda: back_up(root, target, quiet))):
    try:
        work()
        told[name] = ""
    except Exception as error:
        told[name] = str(error)
print(json.dumps(told))
"""


@pytest.fixture
def root() -> Iterator[Path]:
    """A data folder of user "nobody", in a folder that it can enter."""
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o777)
        root = Path(name) / "data"
        DataFolder.open(root).close()
        open_database(root / "documents.sqlite").close()
        StateStore.open(root / "state.sqlite").close()
        ReceiptLog(root / "receipts.jsonl").close()
        work = root / "adapters" / "work"
        work.mkdir(parents=True)
        for file in ("adapter.yaml", "adapter_config.json", "adapter_model.safetensors"):
            (work / file).write_text("x")
        made = digest(work / "adapter_config.json", work / "adapter_model.safetensors")
        work.rename(root / "adapters" / f"a@1#{made[:12]}")
        (root / "cache").mkdir()
        (root / "cache" / "passages.sqlite").touch()
        for path in (root, *root.rglob("*")):
            os.chown(path, NOBODY, NOBODY)
        yield root


def looked(root: Path) -> dict[str, Any]:
    command = [sys.executable, "-c", LOOK, str(root), str(root.with_name("backup"))]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    told: dict[str, Any] = json.loads(done.stdout)
    return told


def test_a_folder_of_its_own_is_sound(root: Path) -> None:
    assert looked(root) == {"found": [], "start": "", "backup": ""}


@pytest.mark.parametrize(
    ("file", "starts", "backs_up"),
    [
        ("documents.sqlite", False, False),
        ("receipts.jsonl", False, False),
        ("lock", False, True),
        ("adapters/a@1#*/adapter_model.safetensors", True, False),
        ("cache/passages.sqlite", True, True),
    ],
)
def test_what_may_not_be_read_is_named_and_not_taken_for_damaged(
    root: Path, file: str, starts: bool, backs_up: bool
) -> None:
    (path,) = root.glob(file)
    os.chown(path, 0, 0)
    path.chmod(0o600)
    content = path.read_bytes()
    told = looked(root)
    assert told["found"], "the doctor says it"
    assert {where for where, _ in told["found"]} == {str(path)}
    assert all("may not read" in what or "cannot be locked" in what for _, what in told["found"])
    for worked, said in ((starts, told["start"]), (backs_up, told["backup"])):
        assert (said == "") == worked, said
        assert worked or path.name in said
    assert path.read_bytes() == content
