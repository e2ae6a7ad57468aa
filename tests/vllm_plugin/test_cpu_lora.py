"""The CPU LoRA plugin: what it mends, that it is needed, and that it refuses what was not checked."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from importlib.metadata import entry_points
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from trivet.vllm_plugin import cpu_lora

ROOT = Path(__file__).parents[2]


def shrink(inputs: Any, weights: Any, output: Any, indices: Any, scaling: float = 1.0) -> None:
    """What vLLM's operator computes, gathering `weights[-1]` for base rows as it does."""
    import torch

    output[:] = scaling * torch.einsum("bi,boi->bo", inputs, weights[indices])


def test_rows_of_the_base_model_are_zero() -> None:
    import torch

    inputs, weights = torch.ones(4, 3), torch.arange(2 * 5 * 3, dtype=torch.float32).reshape(2, 5, 3)
    indices = torch.tensor([0, -1, 1, -1])
    plain, mended = torch.full((4, 5), 9.0), torch.full((4, 5), 9.0)
    shrink(inputs, weights, plain, indices, 2.0)
    cpu_lora.without_base_rows(shrink)(inputs, weights, mended, indices, 2.0)
    assert mended[1].eq(0).all()
    assert mended[3].eq(0).all()
    assert mended[0].eq(plain[0]).all()
    assert mended[2].eq(plain[2]).all()
    assert not plain[1].eq(0).any()


def expand(inputs: Any, weights: Any, output: Any, indices: Any, add_inputs: bool = True) -> None:
    """As vLLM's operator, too."""
    import torch

    output += torch.einsum("bi,boi->bo", inputs, weights[indices])


def test_nothing_is_added_to_rows_of_the_base_model() -> None:
    import torch

    inputs, weights = torch.ones(3, 5), torch.arange(2 * 4 * 5, dtype=torch.float32).reshape(2, 4, 5)
    indices = torch.tensor([0, -1, 1])
    plain, mended = torch.full((3, 4), 9.0), torch.full((3, 4), 9.0)
    expand(inputs, weights, plain, indices)
    cpu_lora.with_no_base_input(expand)(inputs, weights, mended, indices)
    assert mended[1].eq(9).all()
    assert mended[[0, 2]].eq(plain[[0, 2]]).all()
    assert not plain[1].eq(9).any()
    assert inputs.eq(1).all()


def test_mended_once() -> None:
    modules = [SimpleNamespace(bgmv_shrink=shrink, bgmv_expand=expand) for _ in range(2)]
    cpu_lora.mend(*modules)
    first = [(module.bgmv_shrink, module.bgmv_expand) for module in modules]
    cpu_lora.mend(*modules)
    assert [(module.bgmv_shrink, module.bgmv_expand) for module in modules] == first
    assert all(operator.__module__ == cpu_lora.__name__ for operators in first for operator in operators)


def test_unchecked_version_refuses_when_lora_is_prepared() -> None:
    class PunicaWrapperCPU:
        pass

    module = SimpleNamespace(PunicaWrapperCPU=PunicaWrapperCPU)
    cpu_lora.refuse(module, "9.9.9")
    with pytest.raises(RuntimeError, match=r"vLLM 9\.9\.9 may answer .* Install one of these, or turn LoRA off"):
        module.PunicaWrapperCPU()


def test_registered_with_vllm() -> None:
    (point,) = entry_points(group="vllm.general_plugins", name="trivet_cpu_lora")
    assert point.load() is cpu_lora.register


@pytest.mark.engine
def test_needed_and_enough(tiny_model: Path, tmp_path: Path) -> None:
    """Without it base requests get wrong answers in mixed batches, with it none does; and Trivet insists on it."""
    environment = os.environ | {"VLLM_PLUGINS": "", "PYTHONPATH": str(ROOT)}
    command = [sys.executable, str(Path(__file__).with_name("mixed_batches.py")), str(tiny_model), str(tmp_path)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=150, check=False)
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout.splitlines()[-1])
    assert "VLLM_PLUGINS does not leave trivet_cpu_lora out" in said["refused"]
    assert said["without"]["base"] > 0
    assert said["with"] == {"base": 0, "adapters": 0}
