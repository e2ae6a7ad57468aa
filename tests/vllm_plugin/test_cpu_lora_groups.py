"""The rows of a step, sorted out once: the same sums as vLLM's operators, and none where no row has an adapter."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from trivet.vllm_plugin import cpu_lora_groups

SLOTS, RANK, WIDTH = 3, 4, 16
ROWS = ([-1, -1, -1], [2, 2, 2], [0, 0, -1, 2, 0, 1, -1], [1], [0, 1, -1] * 5)


class Wrapper:
    """The part of vLLM's that counts."""

    def __init__(self, slots: list[int]) -> None:
        import torch

        self.token_lora_indices = torch.tensor(slots)
        self.sampler_indices = self.token_lora_indices

    def update_metadata(self) -> None:
        """vLLM copies the slots into its buffers here."""

    def add_lora_linear(self, *_: Any, **__: Any) -> None:
        pytest.fail("vLLM's own was called")

    add_lora_embedding = add_lora_logits = add_lora_linear


def mended(slots: list[int]) -> Any:
    kind = type("Mended", (Wrapper,), dict(vars(Wrapper)))
    cpu_lora_groups.mend(kind)
    wrapper = kind(slots)
    wrapper.update_metadata()
    return wrapper


def product(x: Any, matrix: Any, slots: list[int]) -> Any:
    """As vLLM's operators have it, row by row, with nothing for rows of the base model."""
    import torch

    none = torch.zeros(matrix.shape[-2])
    return torch.stack([none if slot < 0 else matrix[slot, 0] @ row for row, slot in zip(x, slots, strict=True)])


@pytest.mark.parametrize("slots", ROWS)
def test_slices_of_a_linear_layer(slots: list[int]) -> None:
    import torch

    random = torch.Generator().manual_seed(7)
    x, y = torch.randn(len(slots), WIDTH, generator=random), torch.randn(len(slots), 3 * WIDTH, generator=random)
    a = [torch.randn(SLOTS, 1, RANK, WIDTH, generator=random) for _ in range(2)]
    b = [torch.randn(SLOTS, 1, size, RANK, generator=random) for size in (WIDTH, 2 * WIDTH)]
    parts = [product(0.5 * product(x, one, slots), other, slots) for one, other in zip(a, b, strict=True)]
    expected = y + torch.cat(parts, dim=1)
    assert mended(slots).add_lora_linear(y, x, a, b, 0.5, (WIDTH, 2 * WIDTH)) is None
    torch.testing.assert_close(y, expected)


@pytest.mark.parametrize("slots", ROWS)
@pytest.mark.parametrize("width", [WIDTH - 3, WIDTH, WIDTH + 3])  # outputs may be padded, and so may adapters
def test_embedding_and_logits(slots: list[int], width: int) -> None:
    import torch

    random = torch.Generator().manual_seed(8)
    x, y = torch.randn(len(slots), WIDTH, generator=random), torch.randn(len(slots), width, generator=random)
    a = torch.randn(SLOTS, 1, RANK, WIDTH, generator=random)
    b = torch.randn(SLOTS, 1, WIDTH, RANK, generator=random)
    common, shrunk = min(width, WIDTH), product(x, a, slots)
    expected, added = y.clone(), product(shrunk, b, slots)
    expected[:, :common] += added[:, :common]
    for name, given in (("add_lora_logits", (x, a, b, 1.0)), ("add_lora_embedding", (shrunk, b))):
        found = y.clone()
        getattr(mended(slots), name)(found, *given)
        torch.testing.assert_close(found, expected)


def test_no_row_with_an_adapter_is_no_work() -> None:
    wrapper = mended([-1, -1])
    nothing: Any = SimpleNamespace()  # has neither shape nor values
    wrapper.add_lora_linear(nothing, nothing, nothing, nothing, 1.0, nothing)
    wrapper.add_lora_logits(nothing, nothing, nothing, nothing, 1.0)
    wrapper.add_lora_embedding(nothing, nothing, nothing)


def test_mended_once() -> None:
    kind: Any = type("Mended", (Wrapper,), dict(vars(Wrapper)))
    cpu_lora_groups.mend(kind)
    first = kind.update_metadata, kind.add_lora_linear
    cpu_lora_groups.mend(kind)
    assert (kind.update_metadata, kind.add_lora_linear) == first
