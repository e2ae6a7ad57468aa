"""`trivet` under a sampling profiler: `python -m benchmarks.path.profiled FILE ARGUMENTS...`.

SIGUSR1 starts the profile and SIGUSR2 ends it and writes it to FILE, so that the start is not in it. Every few
milliseconds of CPU time the stack of the main thread is noted, where the event loop runs. Time in C code counts for the
Python function that called it. Unlike cProfile this slows next to nothing, so small functions do not look large.

FILE is JSON: a list of [stack, number of samples], a stack being a list of "file:line function", outermost first.
"""

from __future__ import annotations

import json
import signal
import sys
from collections import Counter
from pathlib import Path
from types import FrameType

INTERVAL = 0.001  # seconds of CPU time; the kernel may make it longer


class Sampler:
    """Counts stacks of the main thread."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._stacks: Counter[tuple[str, ...]] = Counter()

    def start(self, number: int, frame: FrameType | None) -> None:
        """A signal handler: start."""
        signal.setitimer(signal.ITIMER_PROF, INTERVAL, INTERVAL)

    def sample(self, number: int, frame: FrameType | None) -> None:
        """A signal handler: note where the main thread is."""
        stack = []
        while frame is not None:
            code = frame.f_code
            stack.append(f"{code.co_filename}:{code.co_firstlineno} {code.co_qualname}")
            frame = frame.f_back
        self._stacks[tuple(reversed(stack))] += 1

    def end(self, number: int, frame: FrameType | None) -> None:
        """A signal handler: end, and write the file, which is there only when it is whole."""
        signal.setitimer(signal.ITIMER_PROF, 0)
        draft = self._file.with_suffix(".tmp")
        draft.write_text(json.dumps(list(self._stacks.items())))
        draft.replace(self._file)


def main() -> None:
    """Run `trivet`."""
    sampler = Sampler(Path(sys.argv[1]))
    signal.signal(signal.SIGPROF, sampler.sample)
    signal.signal(signal.SIGUSR1, sampler.start)
    signal.signal(signal.SIGUSR2, sampler.end)
    from trivet.cli.main import main as trivet

    sys.argv = ["trivet", *sys.argv[2:]]
    trivet()


if __name__ == "__main__":
    main()
