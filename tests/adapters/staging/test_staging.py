"""Staging: the copy is what was checked, whole or not there."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
import time
from pathlib import Path
from typing import BinaryIO

import pytest

from tests.support.engine.tiny_model import adapter_files
from trivet.adapters.preflight.preflight import check
from trivet.adapters.settings import AdapterSettings
from trivet.adapters.sources import folder as folder_root
from trivet.adapters.staging import staging as staging_module
from trivet.adapters.staging.staging import AdapterStaging
from trivet.errors import AdapterRejected
from trivet.testing.adapters import digest, write_adapter
from trivet.types.variant import VersionRef

REF = VersionRef("tone", "1")


@pytest.fixture
def settings(tmp_path: Path, tiny_model: Path) -> AdapterSettings:
    write_adapter(tmp_path / "root" / "tone" / "1", adapter_files(1))
    return AdapterSettings((tmp_path / "root",), tmp_path / "staged", tiny_model, 16)


def root_of(settings: AdapterSettings) -> Path:
    (root,) = settings.roots
    assert isinstance(root, Path)
    return root


def test_staged(settings: AdapterSettings) -> None:
    staged = AdapterStaging(settings).stage(REF)
    source = root_of(settings) / "tone" / "1"
    assert staged.digest == digest(source) == digest(staged.path)
    assert staged.path.name == staged.engine_name == f"tone@1#{staged.digest[:12]}"
    for path in staged.path.iterdir():
        assert stat.S_IMODE(path.stat().st_mode) == 0o400
    assert [path.name for path in settings.staging.iterdir()] == [staged.engine_name]


def test_staged_twice_is_one_copy(settings: AdapterSettings) -> None:
    staging = AdapterStaging(settings)
    first = staging.stage(REF)
    node = first.path.stat().st_ino
    assert staging.stage(REF) == first
    assert first.path.stat().st_ino == node


def test_copy_that_rotted_is_replaced(settings: AdapterSettings) -> None:
    staging = AdapterStaging(settings)
    staged = staging.stage(REF)
    weights = staged.path / "adapter_model.safetensors"
    weights.chmod(0o644)
    weights.write_bytes(b"x")
    assert not staging.is_sound(staged)
    assert staging.is_sound(staging.stage(REF))


def test_source_that_changes_between_copy_and_check(settings: AdapterSettings, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is checked is the copy: a source that is swapped after the copy changes nothing."""
    source = root_of(settings) / "tone" / "1" / "adapter_model.safetensors"
    before = digest(source.parent)

    def swap_then_check(*arguments: object, **options: object) -> object:
        source.write_bytes(b"swapped")
        return check(*arguments, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(staging_module, "check", swap_then_check)
    assert digest(AdapterStaging(settings).stage(REF).path) == before


def test_refused_leaves_nothing(settings: AdapterSettings) -> None:
    (root_of(settings) / "tone" / "1" / "adapter_config.json").write_text("{}")
    with pytest.raises(AdapterRejected):
        AdapterStaging(settings).stage(REF)
    assert list(settings.staging.iterdir()) == []


def test_discard(settings: AdapterSettings) -> None:
    staging = AdapterStaging(settings)
    staging.discard(staging.stage(REF))
    assert list(settings.staging.iterdir()) == []


CRASH = """
import sys, time
from pathlib import Path
from trivet.adapters.staging import staging
from trivet.adapters.preflight.preflight import check
from trivet.adapters.settings import AdapterSettings
from trivet.types.variant import VersionRef
def hang(*_):
    print("copied", flush=True)
    time.sleep(60)
staging._publish = hang
root, folder, base = map(Path, sys.argv[1:])
staging.AdapterStaging(AdapterSettings((root,), folder, base, 16)).stage(VersionRef("tone", "1"))
"""


@pytest.mark.process
def test_killed_half_way(settings: AdapterSettings) -> None:
    """A process killed before its copy was named leaves rubbish that is swept, and never a copy to load."""
    arguments = [str(root_of(settings)), str(settings.staging), str(settings.base_model)]
    with subprocess.Popen([sys.executable, "-c", CRASH, *arguments], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"copied\n"
        process.kill()
    (left,) = settings.staging.iterdir()
    assert left.name.startswith(".tmp-")
    AdapterStaging(settings).sweep({REF})
    assert list(settings.staging.iterdir()) == []


def test_sweep_keeps_what_is_wanted(settings: AdapterSettings) -> None:
    write_adapter(root_of(settings) / "other" / "2", adapter_files(2))
    staging = AdapterStaging(settings)
    kept = staging.stage(REF)
    staging.stage(VersionRef("other", "2"))
    staging.sweep({REF})
    assert list(settings.staging.iterdir()) == [kept.path]


def test_reading_a_pipe_does_not_hang(settings: AdapterSettings, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that turns into a pipe after the size was looked at is refused."""
    weights = root_of(settings) / "tone" / "1" / "adapter_model.safetensors"
    real = folder_root._open

    def swap_then_open(path: Path, name: str, offset: int) -> BinaryIO:
        if name == weights.name:
            weights.unlink()
            os.mkfifo(weights)
        return real(path, name, offset)

    monkeypatch.setattr(folder_root, "_open", swap_then_open)
    started = time.monotonic()
    with pytest.raises(AdapterRejected, match=r"adapter_model.safetensors is not a plain file"):
        AdapterStaging(settings).stage(REF)
    assert time.monotonic() - started < 5
