"""Dying with the parent process."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from collections.abc import Mapping

_PR_SET_PDEATHSIG = 1  # <sys/prctl.h>
_PARENT = "TRIVET_PARENT_PID"


def environment_of_child(environment: Mapping[str, str] | None = None) -> dict[str, str]:
    """This process's environment, or the one given, for a child that will call `die_with_parent`: it says whose it is.

    A copy: the start of an engine changes the environment in another thread, under the feet of an exec.
    """
    given = os.environ if environment is None else environment
    names = {name: value for name in list(given) if (value := given.get(name)) is not None}
    return {**names, _PARENT: str(os.getpid())}


def die_with_parent(parent: int | None = None) -> None:
    """Let the kernel kill this process when its parent dies (Linux; elsewhere the end of stdin has to do).

    `parent`: its process id, if it is not in the environment. Whoever was started by a process that has died before
    this call dies in it, if its parent is known in one of these ways; from the system alone it cannot be known.

    SIGKILL, not SIGTERM: acknowledged writes are in the write-ahead log, and the next owner wants the folder at once.
    """
    if sys.platform != "linux":
        return
    told = os.environ.pop(_PARENT, "")  # it is not for children of this one
    if parent is None:
        parent = int(told) if told.isdecimal() else os.getppid()
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_PDEATHSIG)")
    if os.getppid() != parent:  # it died before the call, the signal will never come
        os.kill(os.getpid(), signal.SIGKILL)
