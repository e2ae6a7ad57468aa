"""Muon: momentum whose matrix updates are made orthogonal, its work shared between the training processes."""

from __future__ import annotations

from collections.abc import Iterable

import torch
import torch.distributed as dist
from torch import Tensor


def orthogonal(update: Tensor, steps: int = 5) -> Tensor:
    """The nearest half-orthogonal matrices to a stack of matrices, by a quintic Newton-Schulz iteration."""
    a, b, c = 3.4445, -4.7750, 2.0315
    tall = update.shape[-2] > update.shape[-1]
    x = update.mT if tall else update
    x = x / (x.norm(dim=(-2, -1), keepdim=True) + 1e-7)
    for _ in range(steps):
        gram = x @ x.mT
        x = a * x + (b * gram + c * gram @ gram) @ x
    return x.mT if tall else x


class Muon(torch.optim.Optimizer):  # type: ignore[misc]
    """For the matrices inside the layers. Each process updates its share and the others receive it."""

    def __init__(
        self, matrices: Iterable[Tensor], lr: float, momentum: float = 0.95, weight_decay: float = 0.01
    ) -> None:
        super().__init__(matrices, {"lr": lr, "momentum": momentum, "weight_decay": weight_decay})

    @torch.no_grad()  # type: ignore[untyped-decorator]
    def step(self, closure: None = None) -> None:
        world = dist.get_world_size() if dist.is_initialized() else 1
        rank = dist.get_rank() if dist.is_initialized() else 0
        for group in self.param_groups:
            stacks: dict[torch.Size, list[Tensor]] = {}
            for matrix in group["params"]:
                stacks.setdefault(matrix.shape, []).append(matrix)
            updates = [torch.zeros(len(same), *shape) for shape, same in stacks.items()]
            for number, (same, update) in enumerate(zip(stacks.values(), updates, strict=True)):
                mine = range((rank + number) % world, len(same), world)
                directions = [self._direction(same[index], group["momentum"]) for index in range(len(same))]
                if mine:
                    update[list(mine)] = orthogonal(torch.stack([directions[index] for index in mine]))
            if world > 1:
                _exchange(updates)
            for same, update in zip(stacks.values(), updates, strict=True):
                for matrix, change in zip(same, update, strict=True):
                    scale = max(1.0, matrix.shape[0] / matrix.shape[1]) ** 0.5
                    matrix.mul_(1 - group["lr"] * group["weight_decay"])
                    matrix.add_(change, alpha=-group["lr"] * scale)

    def _direction(self, matrix: Tensor, momentum: float) -> Tensor:
        """Nesterov momentum."""
        assert matrix.grad is not None
        state = self.state[matrix]
        if "momentum" not in state:
            state["momentum"] = torch.zeros_like(matrix)
        buffer: Tensor = state["momentum"]
        buffer.lerp_(matrix.grad, 1 - momentum)
        return matrix.grad.lerp(buffer, momentum)


def _exchange(updates: list[Tensor]) -> None:
    """Each process holds zeros where it did not work, so a sum gathers everything."""
    flat = torch.cat([update.reshape(-1) for update in updates])
    dist.all_reduce(flat)
    offset = 0
    for update in updates:
        update.copy_(flat[offset : offset + update.numel()].view_as(update))
        offset += update.numel()
