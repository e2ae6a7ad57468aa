"""The check that slow tests carry their markers."""

from __future__ import annotations

import asyncio
import multiprocessing
import subprocess
import sys

import onnxruntime as ort
import pytest

from tests.support.markers import UnmarkedTest

COMMAND = [sys.executable, "-c", "pass"]


def test_an_unmarked_test_starts_no_process() -> None:
    with pytest.raises(UnmarkedTest, match=r"test_an_unmarked_test_starts_no_process.* starts a process"):
        subprocess.run(COMMAND, check=True)


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_an_unmarked_test_starts_none_by_multiprocessing_either(method: str) -> None:
    process = multiprocessing.get_context(method).Process(target=print)  # type: ignore[attr-defined]
    with pytest.raises(UnmarkedTest, match=r"it needs @pytest\.mark\.process"):
        process.start()


async def test_nor_does_it_by_asyncio() -> None:
    with pytest.raises(UnmarkedTest):
        await asyncio.create_subprocess_exec(*COMMAND)


def test_an_unmarked_test_computes_with_no_model() -> None:
    with pytest.raises(UnmarkedTest, match=r"it needs @pytest\.mark\.embedding"):
        ort.InferenceSession("none.onnx")


@pytest.mark.process
def test_a_marked_test_may() -> None:
    subprocess.run(COMMAND, check=True)
