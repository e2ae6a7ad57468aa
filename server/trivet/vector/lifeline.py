"""Dying with the parent process."""

from __future__ import annotations

import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1  # <sys/prctl.h>


def die_with_parent() -> None:
    """Let the kernel kill this process when its parent dies (Linux; elsewhere the end of stdin has to do).

    SIGKILL, not SIGTERM: acknowledged writes are in the write-ahead log, and the next owner wants the folder at once.
    """
    if sys.platform != "linux":
        return
    parent = os.getppid()
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_PDEATHSIG)")
    if os.getppid() != parent:  # it died before the call, the signal will never come
        os.kill(os.getpid(), signal.SIGKILL)
