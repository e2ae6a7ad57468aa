"""LoRA on all linear layers of a causal language model, in steps that can be left and taken up again."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, get_peft_model
from torch.nn import functional
from transformers import AutoModelForCausalLM

from trivet.errors import FailedPrecondition
from trivet.training.batch import Batch
from trivet.training.feed import Feed, Position
from trivet.training.recipe import Recipe

RECENT = 100  # steps that the told loss is the mean of


def attach(base: Path, recipe: Recipe, base_name: str) -> Any:
    """The base model with fresh adapter weights; `base_name` is what the adapter will call its base, never a path."""
    torch.manual_seed(recipe.seed)
    model = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
    config = LoraConfig(
        r=recipe.rank,
        lora_alpha=recipe.alpha,
        lora_dropout=0.0,
        bias="none",
        target_modules="all-linear",
        task_type="CAUSAL_LM",
    )
    adapted = get_peft_model(model, config)
    adapted.peft_config["default"].base_model_name_or_path = base_name
    return adapted


class Training:
    """A model under training. `state` and `restore` carry all that the next step depends on."""

    def __init__(self, model: Any, feed: Feed, recipe: Recipe) -> None:
        self.model = model
        self.recipe = recipe
        self.done = 0  # steps
        self.tokens = 0  # seen, padding not counted
        self._feed = feed
        self._losses: list[float] = []
        self._weights = {name: weight for name, weight in model.named_parameters() if weight.requires_grad}
        self._optimizer = torch.optim.AdamW(self._weights.values(), lr=recipe.lr, betas=(0.9, 0.98), weight_decay=0.0)

    @property
    def loss(self) -> float:
        """The mean over the last `RECENT` steps."""
        return sum(self._losses) / len(self._losses)

    def step(self) -> None:
        """Learn from one batch. FailedPrecondition if the loss is no number any more."""
        batch = self._feed.next()
        self.model.train()
        for group in self._optimizer.param_groups:
            group["lr"] = self.recipe.rate(self.done)
        loss = _loss(self.model, batch)
        if not torch.isfinite(loss):
            raise FailedPrecondition(f"the loss is {loss.item()} at step {self.done + 1}: try a smaller lr")
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self._weights.values(), 1.0)
        self._optimizer.step()
        self._optimizer.zero_grad()
        self.done += 1
        self.tokens += int(batch.mask.sum())
        self._losses = [*self._losses, loss.item()][-RECENT:]

    def state(self) -> dict[str, Any]:
        """Tensors and plain values only, so that reading it back runs no code."""
        at = self._feed.position
        return {
            "done": self.done,
            "tokens": self.tokens,
            "losses": self._losses,
            "position": [at.pool, at.batch],
            "weights": {name: weight.detach() for name, weight in self._weights.items()},
            "optimizer": self._optimizer.state_dict(),
            "random": torch.get_rng_state(),  # some bases have dropout of their own
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on as if the training that gave the state had never stopped."""
        self.done, self.tokens, self._losses = state["done"], state["tokens"], list(state["losses"])
        self._feed.seek(Position(*state["position"]))
        with torch.no_grad():
            for name, weight in self._weights.items():
                weight.copy_(state["weights"][name])
        self._optimizer.load_state_dict(state["optimizer"])
        torch.set_rng_state(state["random"])


def _loss(model: Any, batch: Batch) -> Any:
    logits = model(input_ids=batch.ids, attention_mask=batch.mask, use_cache=False).logits[:, :-1]
    return functional.cross_entropy(logits.reshape(-1, logits.shape[-1]), batch.labels[:, 1:].reshape(-1))
