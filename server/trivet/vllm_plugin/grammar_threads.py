"""vLLM plugin: a second thread that compiles schemas, where vLLM has one.

vLLM 0.32 compiles schemas in (cores + 1) // 2 threads of the engine's process and interrupts none: on two cores
everybody's schema waits for the one at hand. With a second thread a small one of another tenant passes a large one by;
the library gives the interpreter's lock free while it compiles. vLLM calls `register` in every process of its own
(entry point group `vllm.general_plugins`); without this plugin, or on a version that it was not checked for, there is
one thread.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from trivet.vllm_plugin.versions import is_checked

CHECKED_VERSIONS = ("0.32.0",)
THREADS = 2
_FEW_CORES = 2  # so many, or fewer, and vLLM has one thread


def register() -> None:
    """Mend vLLM's manager of schemas, on a version that was checked and on few cores."""
    if not is_checked(CHECKED_VERSIONS) or (os.cpu_count() or 1) > _FEW_CORES:
        return
    from vllm.v1.structured_output import StructuredOutputManager

    mend(StructuredOutputManager)


def mend(manager: Any) -> None:
    """Give each new one an executor with `THREADS`."""
    if manager.__init__.__module__ != __name__:
        manager.__init__ = with_threads(manager.__init__)


def with_threads(init: Callable[..., None]) -> Callable[..., None]:
    """Wrap `StructuredOutputManager.__init__`. Its own executor has not been used yet, so it has no thread."""

    def __init__(self: Any, *arguments: Any, **named: Any) -> None:
        init(self, *arguments, **named)
        if hasattr(self, "executor"):
            self.executor.shutdown(wait=False)
            self.executor = ThreadPoolExecutor(THREADS, "compile-schema")

    return __init__
