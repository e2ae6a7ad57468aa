"""Who owns a data folder."""

from __future__ import annotations

import os
from pathlib import Path


def owner_of(root: Path) -> int | None:
    """The process that took the data folder's lock, if it lives; None if none does.

    The lock itself is not tried: whoever tries it has it for a moment, in which a server that starts is refused.
    """
    try:
        pid = int((root / "lock").read_text())
    except (OSError, ValueError):
        return None
    try:
        os.kill(pid, 0)
    except PermissionError:  # it lives, and is another user's
        return pid
    except (OSError, OverflowError):
        return None
    return pid
