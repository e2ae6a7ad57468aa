"""Two threads where vLLM has one."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

from trivet.vllm_plugin.grammar_threads import mend


class Manager:
    """As much of vLLM's as the plugin touches."""

    def __init__(self, *, compiles: bool = True) -> None:
        if compiles:
            self.executor = ThreadPoolExecutor(1)


def test_one_schema_passes_another_by() -> None:
    mend(Manager)
    mend(Manager)  # again changes nothing
    manager, large = Manager(), threading.Event()
    first = manager.executor.submit(large.wait, 30)
    assert manager.executor.submit(lambda: "small").result(10) == "small"
    large.set()
    assert first.result(10)
    assert not hasattr(Manager(compiles=False), "executor")
