"""A test that starts a process, or computes with an ONNX model, carries the marker that says so, or it fails.

`make test-fast` leaves the marked ones out: without this check it would grow slow unnoticed. Processes are noticed by
Python's audit events, so it does not matter which library starts one.
"""

from __future__ import annotations

import functools
import re
import sys
from collections.abc import Generator, Iterator
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import pytest

from tests.support.groups import SLOW

STARTS = ("subprocess.Popen", "os.fork", "os.forkpty", "os.posix_spawn", "os.system", "multiprocessing.Process.start")


FAST = " and ".join(f"not {marker}" for marker in SLOW)  # what `make test-fast` asks for
_WHOLE_MODULE = re.compile(rf"^pytestmark = .*({'|'.join(SLOW)}|SESSION_ENGINE)", re.MULTILINE)


class UnmarkedTest(Exception):
    """A test did what only a marked one may do."""


class Watch:
    """Knows which unmarked test runs; raises out of what it must not do."""

    def __init__(self) -> None:
        self.unmarked: str | None = None

    def audit(self, event: str, arguments: tuple[Any, ...]) -> None:
        """Python's audit hook; it cannot be removed, so it must be cheap."""
        if self.unmarked is not None and event in STARTS:
            self.refuse(f"starts a process ({event})", "process")

    def refuse(self, what: str, marker: str) -> None:
        """Raise UnmarkedTest if an unmarked test runs."""
        if self.unmarked is not None:
            raise UnmarkedTest(f"{self.unmarked} {what}: it needs @pytest.mark.{marker}, or another of {SLOW}")


_watch = Watch()


def pytest_configure(config: pytest.Config) -> None:
    """Watch the ways in which processes are started; a spawned one of multiprocessing raises no event of Python's."""
    sys.addaudithook(_watch.audit)
    start = BaseProcess.start

    @functools.wraps(start)
    def watched(self: BaseProcess) -> None:
        sys.audit("multiprocessing.Process.start")
        start(self)

    BaseProcess.start = watched  # type: ignore[method-assign]


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Of the fast tests, do not even import what is slow as a whole: PyTorch and the like take seconds."""
    if config.option.markexpr != FAST or collection_path.suffix != ".py":
        return None
    return bool(_WHOLE_MODULE.search(collection_path.read_text())) or None


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """From its first fixture to its last."""
    marked = any(item.get_closest_marker(name) for name in SLOW)
    _watch.unmarked = None if marked else item.nodeid
    try:
        return (yield)
    finally:
        _watch.unmarked = None


@pytest.fixture(autouse=True)
def _no_model_in_an_unmarked_test() -> Iterator[None]:
    """Sessions of ONNX are made in this process: only the library that is loaded already can be watched.

    With a patch of its own: asking for `monkeypatch` here would undo a test's patches after its `tmp_path` is removed.
    """
    library = sys.modules.get("onnxruntime")
    if library is None or _watch.unmarked is None:
        yield
        return

    def refused(*arguments: Any, **options: Any) -> None:
        _watch.refuse("computes with a model", "embedding")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(library.InferenceSession, "__init__", refused)
        yield
