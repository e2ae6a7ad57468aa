"""`trivet` under cProfile: profiled.py FILE ARGUMENTS... runs the command line with these arguments.

SIGUSR1 starts the profile and SIGUSR2 ends it and writes it to FILE (for `pstats`), so that the start is not in it. It
sees the main thread, which is where the event loop runs, and counts that thread's CPU time, not the waiting.
"""

from __future__ import annotations

import cProfile
import signal
import sys
import time
from pathlib import Path
from types import FrameType


def main() -> None:
    """Run `trivet`."""
    file = Path(sys.argv[1])
    profile = cProfile.Profile(time.thread_time)

    def start(number: int, frame: FrameType | None) -> None:
        profile.enable()

    def end(number: int, frame: FrameType | None) -> None:
        profile.disable()
        draft = file.with_suffix(".tmp")
        profile.dump_stats(draft)
        draft.replace(file)  # there only when it is whole

    signal.signal(signal.SIGUSR1, start)
    signal.signal(signal.SIGUSR2, end)
    from trivet.cli.main import main as trivet

    sys.argv = ["trivet", *sys.argv[2:]]
    trivet()


if __name__ == "__main__":
    main()
