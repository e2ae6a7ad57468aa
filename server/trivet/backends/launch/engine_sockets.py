"""Where an engine's processes keep the sockets that they talk through, and their temporary files.

vLLM leaves both behind: the sockets at each end, the file by which its workers meet where it is killed.
"""

from __future__ import annotations

import os
import shutil
import stat
from pathlib import Path

_LONGEST = 107  # bytes of a Unix socket's path on Linux
_NAME = 37  # of them for a slash and vLLM's name of a socket, a UUID


class EngineSockets:
    """The folder of one engine's sockets and temporary files, below the cache folder: a start finds and removes what a
    killed one left.

    The folder's own path may be too long for a socket's. Then it is reached through this process's descriptor of it,
    by a path that the engine's processes can follow too, since they are the same user's.
    """

    def __init__(self, cache: Path, name: str) -> None:
        """`name`: the engine's."""
        self.folder = cache / "sockets" / name
        self._descriptor: int | None = None

    def make(self) -> Path:
        """Make the folder anew, empty, for this user alone; the path that sockets in it are to be made with.

        It holds until `remove`. OSError if the folder is somebody else's.
        """
        self.remove()
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        found = self.folder.lstat()
        if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid():
            raise OSError(f"{self.folder} is not a folder of this user")
        if len(os.fsencode(self.folder)) + _NAME <= _LONGEST:
            return self.folder
        self._descriptor = os.open(self.folder, os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
        return Path(f"/proc/{os.getpid()}/fd/{self._descriptor}")

    def remove(self) -> None:
        """Remove it with all that is in it; fine if it is not there."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None
        shutil.rmtree(self.folder, ignore_errors=True)
