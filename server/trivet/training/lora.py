"""Train a LoRA adapter on all linear layers of a causal language model."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, get_peft_model
from torch.nn import functional
from transformers import AutoModelForCausalLM, AutoTokenizer

from trivet.training.chats import Batch, Chat, batches


@dataclass(frozen=True, slots=True)
class Recipe:
    """What decides the weights, together with the base model and the chats."""

    rank: int = 8
    alpha: int = 16
    steps: int = 1000
    lr: float = 1e-3
    warm_up: int = 30
    batch_tokens: int = 2048
    seed: int = 1

    def rate(self, step: int) -> float:
        """Linear warm-up, then linear decay to nothing."""
        return self.lr * min((step + 1) / self.warm_up, (self.steps - step) / max(1, self.steps - self.warm_up))


@dataclass(frozen=True, slots=True)
class Step:
    """Where the training stands, for a progress bar."""

    number: int
    loss: float


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


def train(
    base: Path,
    base_name: str,
    chats: Iterator[Chat],
    recipe: Recipe,
    on_step: Callable[[Step], None] = lambda step: None,
) -> Any:
    """Train on the chats, as many as the steps take, and give the adapted model."""
    model = attach(base, recipe, base_name)
    tokenizer = AutoTokenizer.from_pretrained(base)
    weights = [weight for weight in model.parameters() if weight.requires_grad]
    optimizer = torch.optim.AdamW(weights, lr=recipe.lr, betas=(0.9, 0.98), weight_decay=0.0)
    model.train()
    source = batches(tokenizer, chats, recipe.batch_tokens)
    for number in range(recipe.steps):
        batch = next(source, None)
        if batch is None:
            raise ValueError(f"the chats ended at step {number} of {recipe.steps}: give more, or take fewer steps")
        for group in optimizer.param_groups:
            group["lr"] = recipe.rate(number)
        loss = _loss(model, batch)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(weights, 1.0)
        optimizer.step()
        optimizer.zero_grad()
        on_step(Step(number + 1, float(loss.detach())))
    return model.eval()


def _loss(model: Any, batch: Batch) -> Any:
    logits = model(input_ids=batch.ids, attention_mask=batch.mask, use_cache=False).logits[:, :-1]
    return functional.cross_entropy(logits.reshape(-1, logits.shape[-1]), batch.labels[:, 1:].reshape(-1))
