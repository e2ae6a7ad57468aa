"""`trivet restore`: a data folder from a backup, whole or not at all."""

from __future__ import annotations

import shutil
from pathlib import Path, PurePosixPath

from trivet.adapters.staging.disk import remove, sync
from trivet.app.recovery.files import copy_file, digest_of, sync_folders
from trivet.app.recovery.manifest import Manifest, Report
from trivet.errors import FailedPrecondition
from trivet.retrieval.service import DOCUMENTS_VERSION
from trivet.stores.data_folder import RESTORING, DataFolder
from trivet.stores.state.database.migration import STATE_VERSION

_SCHEMAS = {"documents.sqlite": DOCUMENTS_VERSION, "state.sqlite": STATE_VERSION}
_NOT_DATA = {"lock", "lost+found"}


def restore(source: Path, root: Path, report: Report) -> Manifest:
    """Make the data folder `root`, which must be absent or empty, from a backup.

    What is copied stands in `root/restoring` until all of it is there: a server refuses such a folder, and the same
    command again begins anew. Raises FailedPrecondition if the backup is damaged or of another version, or `root` is
    not free; OSError.
    """
    manifest = Manifest.read(source)
    _verify(manifest, source, report)
    existed = root.exists()
    if existed and not root.is_dir():
        raise FailedPrecondition(f"{root} is not a folder")
    _check_free(root, manifest)
    folder = DataFolder.open(root, restoring=True)
    try:
        _check_free(root, manifest)
        _check_space(root, manifest)
        _clear(root, manifest)
        try:
            _copy(manifest, source, root, report)
        except BaseException:
            _clear(root, manifest)
            raise
    except BaseException:
        if not existed:
            shutil.rmtree(root, ignore_errors=True)
        raise
    finally:
        folder.close()
    return manifest


def _verify(manifest: Manifest, source: Path, report: Report) -> None:
    for name, version in manifest.schemas.items():
        expected = _SCHEMAS.get(name, version)
        if version > expected:  # what is older is brought up when it is opened
            raise FailedPrecondition(
                f"the backup's {name} has schema version {version}, this version of Trivet reads {expected}: use "
                f"the version that made it, {manifest.trivet}"
            )
    done, problems = 0, []
    for file in manifest.files:
        path = source / file.path
        if path.is_symlink() or not path.is_file():
            problems.append(f"{file.path} is missing")
        elif path.stat().st_size != file.bytes:
            problems.append(f"{file.path} has {path.stat().st_size} bytes, expected {file.bytes}")
        elif digest_of(path, lambda _: None) != file.sha256:
            problems.append(f"{file.path} has other bytes than when the backup was made")
        done += file.bytes
        report("verify", done, manifest.total_bytes)
    if problems:
        raise FailedPrecondition(f"the backup {source} is damaged: " + "; ".join(problems[:10]))


def _check_free(root: Path, manifest: Manifest) -> None:
    if not root.exists():
        return
    found = {entry.name for entry in root.iterdir()} - _NOT_DATA
    if RESTORING in found:
        found -= {RESTORING, *_tops(manifest)}
    if found:
        raise FailedPrecondition(
            f"{root} is not empty ({', '.join(sorted(found)[:5])}): restore into a new folder, or move what is there "
            "away"
        )


def _check_space(root: Path, manifest: Manifest) -> None:
    free = shutil.disk_usage(root).free
    if free < manifest.total_bytes:
        raise FailedPrecondition(f"{root} has {free} bytes free, the backup needs {manifest.total_bytes}")


def _clear(root: Path, manifest: Manifest) -> None:
    """Remove what a restore that was not finished has left; what says so goes last."""
    if not (root / RESTORING).exists():
        return
    for name in (*_tops(manifest), RESTORING):
        if (root / name).exists():
            remove(root / name)


def _copy(manifest: Manifest, source: Path, root: Path, report: Report) -> None:
    work = root / RESTORING
    work.mkdir(mode=0o700)
    sync(root)
    done = 0

    def counted(more: int) -> None:
        nonlocal done
        done += more
        report("copy", done, manifest.total_bytes)

    for file in manifest.files:
        if copy_file(source / file.path, work / file.path, work, counted) != file:
            raise FailedPrecondition(f"{file.path} of the backup changed while it was copied")
    for adapter in (work / "adapters").glob("*"):
        adapter.chmod(0o555)  # as they are staged
    sync_folders(work)
    for name in _tops(manifest):
        (work / name).rename(root / name)
    sync(root)
    work.rmdir()
    sync(root)


def _tops(manifest: Manifest) -> list[str]:
    """The entries of the data folder itself that the backup has."""
    return sorted({PurePosixPath(file.path).parts[0] for file in manifest.files})
