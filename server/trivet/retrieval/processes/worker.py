"""What a child process does first, and how one that answers in frames is asked."""

from __future__ import annotations

import os
from collections.abc import Iterator
from functools import partial

from trivet.retrieval.processes.frames import BrokenFrame, read_frame
from trivet.vector.lifeline import die_with_parent

_NICENESS = 10


def begin() -> int:
    """End with the parent, take the processor last, and keep standard output for answers: the descriptor for them.

    What libraries print goes to standard error from here on.
    """
    die_with_parent()
    os.nice(_NICENESS)
    answers = os.dup(1)
    os.dup2(2, 1)
    return answers


def asked() -> Iterator[bytes]:
    """What each frame of the input says, until the input ends. Nothing of it is kept here: it may be large."""
    read = partial(os.read, 0)
    while True:
        try:
            yield read_frame(read)[1]
        except BrokenFrame:
            return
