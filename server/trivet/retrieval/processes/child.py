"""One run of a child process, as its parent sees it."""

from __future__ import annotations

import os
import select
import subprocess
import time
from collections.abc import Mapping, Sequence

from trivet.retrieval.processes.frames import BrokenFrame, Frame, read_frame
from trivet.vector.lifeline import environment_of_child

_PIECE = 65536  # bytes: a pipe holds no more


class ChildProcess:
    """Blocking, but never for longer than it is told to. One thread talks to it, the one that made it.

    The kernel ends a child that asked for it with the thread that started it.
    """

    def __init__(self, command: Sequence[str], environment: Mapping[str, str]) -> None:
        # Not in a session of its own: where the kernel groups by session, a niceness only counts inside of one. In a
        # process group of its own: Ctrl-C is for the gateway, which drains first.
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            bufsize=0,
            process_group=0,
            env=environment_of_child(environment),
        )
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._input, self._output = self._process.stdin.fileno(), self._process.stdout.fileno()
        os.set_blocking(self._input, False)

    @property
    def pid(self) -> int:
        """Process id."""
        return self._process.pid

    def wait_ready(self, timeout: float) -> None:
        """Return when it takes work; raises BrokenFrame or TimeoutError. `timeout` in seconds."""
        kind, _ = self.read(time.monotonic() + timeout)
        if kind is not Frame.READY:
            raise BrokenFrame(f"it began with {kind.name}")

    def send(self, frame: bytes, deadline: float) -> None:
        """Write a frame until `deadline` (monotonic clock); raises TimeoutError, OSError."""
        rest = memoryview(frame)
        while rest:
            _wait(self._input, select.POLLOUT, deadline)
            rest = rest[os.write(self._input, rest[:_PIECE]) :]

    def read(self, deadline: float) -> tuple[Frame, bytes]:
        """The next frame, until `deadline`; raises BrokenFrame, TimeoutError, OSError."""

        def read(most: int) -> bytes:
            _wait(self._output, select.POLLIN, deadline)
            return os.read(self._output, min(most, _PIECE))

        return read_frame(read)

    def kill(self) -> None:
        """From any thread."""
        self._process.kill()

    def end(self) -> int:
        """Kill it and leave nothing of it; how it ended: its exit status, or the negative number of a signal."""
        with self._process:  # closes the pipes and waits
            self._process.kill()
        return self._process.returncode


def _wait(descriptor: int, event: int, deadline: float) -> None:
    poll = select.poll()
    poll.register(descriptor, event)
    if not poll.poll(max(0.0, deadline - time.monotonic()) * 1000):
        raise TimeoutError("it did not answer in time")
