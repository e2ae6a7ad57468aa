"""Where an engine's processes keep the sockets that they talk through. vLLM leaves them behind at each end."""

from __future__ import annotations

import hashlib
import os
import shutil
import stat
import tempfile
from pathlib import Path

_LONGEST = 107  # bytes of a Unix socket's path on Linux
_NAME = 37  # of them for a slash and vLLM's name of a socket, a UUID


def socket_folder(cache: Path, name: str) -> Path:
    """The folder of the engine `name`: below the cache folder, or where that is too long a path, a temporary one.

    It is the same for each start of the same engine, so that a start finds what a killed one left.
    """
    folder = cache / "sockets" / name
    if len(os.fsencode(folder)) + _NAME <= _LONGEST:
        return folder
    digest = hashlib.sha256(os.fsencode(folder)).hexdigest()[:16]
    return Path(tempfile.gettempdir()) / f"trivet-{digest}"


def new_sockets(folder: Path) -> None:
    """Make the folder anew, empty, for this user alone; OSError if it is somebody else's."""
    clear_sockets(folder)
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid():
        raise OSError(f"{folder} is not a folder of this user")


def clear_sockets(folder: Path) -> None:
    """Remove it with all that is in it; fine if it is not there."""
    shutil.rmtree(folder, ignore_errors=True)
