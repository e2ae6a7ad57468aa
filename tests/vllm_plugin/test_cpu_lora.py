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


SLOTS, RANK, WIDTH = 3, 4, 16


def vllms(inputs: Any, weights: Any, indices: Any) -> Any:
    """The products of vLLM's operators, which copy a matrix for each row."""
    import torch

    matrices = weights[indices]
    return torch.einsum("bi,boi->bo", inputs, matrices.squeeze(1) if matrices.dim() == 4 else matrices)


def forbidden(*_: Any) -> None:
    pytest.fail("many rows went to vLLM's operator")


@pytest.mark.parametrize("stacked", [True, False])
@pytest.mark.parametrize("adapters", ["mixed", "runs", "one", "none"])
@pytest.mark.parametrize("rows", [cpu_lora.MANY, 300])
def test_many_rows_are_as_vllm_has_them(rows: int, adapters: str, stacked: bool) -> None:
    import torch

    random = torch.Generator().manual_seed(rows)
    indices = {
        "mixed": torch.randint(-1, SLOTS, (rows,), generator=random),
        "runs": torch.tensor([-1, 1, 0, -1, 1]).repeat_interleave(torch.tensor([5, 2, 9, 1, rows - 17])),
        "one": torch.full((rows,), 2),
    }.get(adapters, torch.full((rows,), -1))
    base = (indices < 0).unsqueeze(1)
    a, b = torch.randn(SLOTS, RANK, WIDTH, generator=random), torch.randn(SLOTS, WIDTH, RANK, generator=random)
    if stacked:
        a, b = a.unsqueeze(1), b.unsqueeze(1)
    inputs, wide = torch.randn(rows, WIDTH, generator=random), torch.randn(rows, 3 * WIDTH, generator=random)
    shrunk = torch.full((rows, RANK), 9.0)
    cpu_lora.without_base_rows(forbidden)(inputs, a, shrunk, indices, 0.5)
    torch.testing.assert_close(shrunk, torch.where(base, 0.0, 0.5 * vllms(inputs, a, indices)))

    added = vllms(shrunk, b, indices)
    for add in (True, False):
        expected, found = wide.clone(), wide.clone()
        middle = expected[:, WIDTH : 2 * WIDTH]
        middle.copy_(added + middle if add else added)
        cpu_lora.by_adapter(forbidden)(shrunk, b, found, indices, WIDTH, WIDTH, add)
        torch.testing.assert_close(found, expected)
    for width in (WIDTH - 3, WIDTH, WIDTH + 3):  # outputs may be padded, and so may adapters
        found, common = wide[:, :width].clone(), min(width, WIDTH)
        cpu_lora.with_no_base_input(forbidden)(inputs[:, :RANK], b, found, indices)
        expected = wide[:, :width].clone()
        expected[:, :common] += torch.where(base, 0.0, vllms(inputs[:, :RANK], b, indices))[:, :common]
        torch.testing.assert_close(found, expected)


def test_few_rows_are_vllms_own() -> None:
    import torch

    indices, called = torch.full((cpu_lora.MANY - 1,), 1), []
    few = torch.ones(len(indices), RANK)
    cpu_lora.by_adapter(lambda *given: called.append(given))(few, few, few, indices, 2, 3, False)
    assert [given[3:] for given in called] == [(indices, 2, 3, False)]


OPERATORS = ("bgmv_shrink", "bgmv_expand", "bgmv_expand_slice")


def test_mended_once() -> None:
    modules = [SimpleNamespace(bgmv_shrink=shrink, bgmv_expand=expand, bgmv_expand_slice=expand) for _ in range(2)]
    cpu_lora.mend(*modules)
    first = [[getattr(module, name) for name in OPERATORS] for module in modules]
    cpu_lora.mend(*modules)
    assert [[getattr(module, name) for name in OPERATORS] for module in modules] == first
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
