"""Death watch: an engine's process is missed at once, also when nothing is asked of it."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Sequence
from multiprocessing.process import BaseProcess


class DeathWatch:
    """Calls `died` on the event loop, once, with a reason, when the first of the processes ends."""

    def __init__(self, processes: Sequence[BaseProcess], died: Callable[[str], None]) -> None:
        self._loop = asyncio.get_running_loop()
        self._died = died
        self._descriptors: list[int] = []
        for process in processes:
            descriptor = _descriptor(process)
            self._descriptors.append(descriptor)
            self._loop.add_reader(descriptor, self._notice, process)

    def close(self) -> None:
        """Stop watching."""
        for descriptor in self._descriptors:
            self._loop.remove_reader(descriptor)
            os.close(descriptor)
        self._descriptors.clear()

    def _notice(self, process: BaseProcess) -> None:
        self.close()
        self._died(f"process {process.pid} ({process.name}) ended")


def _descriptor(process: BaseProcess) -> int:
    """A descriptor of our own that becomes readable when the process ends.

    The process's sentinel would do but for its own children, who may have inherited the pipe that it is made of.
    """
    if hasattr(os, "pidfd_open") and process.pid is not None:
        return os.pidfd_open(process.pid)
    return os.dup(process.sentinel)
