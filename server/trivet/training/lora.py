"""LoRA on all linear layers of a causal language model, in steps that can be left and taken up again."""

from __future__ import annotations

import importlib.util
import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, PeftModel, get_peft_model, prepare_model_for_kbit_training
from transformers import AutoModelForCausalLM, BitsAndBytesConfig

from trivet.errors import FailedPrecondition
from trivet.training.objectives.objective import Objective
from trivet.training.order import Position
from trivet.training.recipe import Recipe

RECENT = 100  # steps that the told figures are the mean of


def attach(
    base: Path, recipe: Recipe, base_name: str, invocation: Sequence[int] = (), start: Path | None = None
) -> Any:
    """The base model with fresh adapter weights; `base_name` is what the adapter will call its base, never a path.

    `invocation`: token ids from which on an activated LoRA acts; a plain one has none. `start`: an adapter's folder,
    whose weights are taken instead of fresh ones. FailedPrecondition if this machine cannot do the recipe's method, or
    if the start has another form.
    """
    torch.manual_seed(recipe.seed)
    model = AutoModelForCausalLM.from_pretrained(base, **_loading(recipe))
    if recipe.method == "qlora":
        model = prepare_model_for_kbit_training(model, use_gradient_checkpointing=False)
    if start is not None:
        adapted = PeftModel.from_pretrained(model, start, is_trainable=True)
        _require_form(adapted.peft_config["default"], lora_config(recipe, invocation), start)
    else:
        adapted = get_peft_model(model, lora_config(recipe, invocation))
    adapted.peft_config["default"].base_model_name_or_path = base_name
    if recipe.checkpointing:
        adapted.enable_input_require_grads()
        adapted.gradient_checkpointing_enable({"use_reentrant": False})
    return adapted


def lora_config(recipe: Recipe, invocation: Sequence[int] = ()) -> LoraConfig:
    """What PEFT makes of a recipe's method."""
    return LoraConfig(
        r=recipe.rank,
        lora_alpha=recipe.alpha,
        lora_dropout=0.0,
        bias="none",
        target_modules="all-linear",
        task_type="CAUSAL_LM",
        use_rslora=recipe.method == "rslora",
        use_dora=recipe.method == "dora",
        alora_invocation_tokens=list(invocation) or None,
    )


def _loading(recipe: Recipe) -> dict[str, Any]:
    """How the base is held: in float32, or for QLoRA in NF4 with bfloat16 sums."""
    if recipe.method != "qlora":
        return {"dtype": torch.float32}
    missing = [
        name
        for name, there in (
            ("a CUDA GPU", torch.cuda.is_available()),
            ("bitsandbytes", importlib.util.find_spec("bitsandbytes") is not None),
        )
        if not there
    ]
    if missing:
        raise FailedPrecondition(
            f"method qlora holds the base in 4 bits, for which {' and '.join(missing)} is missing here: train with "
            "lora or rslora, or on a machine that has it"
        )
    quantized = BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=torch.bfloat16,
    )
    return {"quantization_config": quantized, "device_map": {"": 0}, "dtype": torch.bfloat16}


def _require_form(found: Any, wanted: LoraConfig, start: Path) -> None:
    names = ("r", "lora_alpha", "use_rslora", "use_dora", "alora_invocation_tokens")
    differing = [
        f"{name} is {getattr(found, name)!r}, the recipe has {getattr(wanted, name)!r}"
        for name in names
        if getattr(found, name) != getattr(wanted, name)
    ]
    if differing:
        raise FailedPrecondition(f"{start} cannot be trained on by this recipe: {'; '.join(differing)}")


class Training:
    """A model under training. `state` and `restore` carry all that the next step depends on."""

    def __init__(self, model: Any, objective: Objective, recipe: Recipe) -> None:
        self.model = model
        self.recipe = recipe
        self.done = 0  # steps
        self.tokens = 0  # read and written, padding not counted
        self._objective = objective
        self._recent: list[dict[str, float]] = []
        self._weights = {name: weight for name, weight in model.named_parameters() if weight.requires_grad}
        self._first = {name: weight.detach().clone() for name, weight in self._weights.items()}
        self._optimizer = torch.optim.AdamW(self._weights.values(), lr=recipe.lr, betas=(0.9, 0.98), weight_decay=0.0)

    @property
    def loss(self) -> float:
        """The mean over the last `RECENT` steps."""
        return self.figures["loss"]

    @property
    def figures(self) -> Mapping[str, float]:
        """`loss`, and what the objective tells; each the mean over the last `RECENT` steps."""
        names = self._recent[-1] if self._recent else ()
        return {name: sum(step[name] for step in self._recent) / len(self._recent) for name in names}

    def step(self) -> None:
        """Learn from the next examples. FailedPrecondition if the loss is no number any more."""
        self.model.train()
        for group in self._optimizer.param_groups:
            group["lr"] = self.recipe.rate(self.done)
        total = 0.0
        for part in self._objective.parts(self.model):
            loss = part.loss.item()
            if not math.isfinite(loss):
                raise FailedPrecondition(f"the loss is {loss} at step {self.done + 1}: try a smaller lr")
            part.loss.backward()
            total += loss
            self.tokens += part.tokens
        torch.nn.utils.clip_grad_norm_(self._weights.values(), 1.0)
        self._optimizer.step()
        self._optimizer.zero_grad()
        self.done += 1
        self._recent = [*self._recent, {"loss": total, **self._objective.figures()}][-RECENT:]

    @contextmanager
    def at_start(self) -> Iterator[None]:
        """The model as it was before the first step."""
        now = {name: weight.detach().clone() for name, weight in self._weights.items()}
        self._load(self._first)
        try:
            yield
        finally:
            self._load(now)

    def state(self) -> dict[str, Any]:
        """Tensors and plain values only, so that reading it back runs no code."""
        at = self._objective.order.position
        return {
            "done": self.done,
            "tokens": self.tokens,
            "recent": self._recent,
            "position": [at.pool, at.batch],
            "weights": {name: weight.detach() for name, weight in self._weights.items()},
            "optimizer": self._optimizer.state_dict(),
            "random": torch.get_rng_state(),  # answers are drawn, and some bases have dropout of their own
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on as if the training that gave the state had never stopped."""
        self.done, self.tokens, self._recent = state["done"], state["tokens"], list(state["recent"])
        self._objective.order.seek(Position(*state["position"]))
        self._load(state["weights"])
        self._optimizer.load_state_dict(state["optimizer"])
        torch.set_rng_state(state["random"])

    @torch.no_grad()  # type: ignore[untyped-decorator]
    def _load(self, weights: Mapping[str, Any]) -> None:
        for name, weight in self._weights.items():
            weight.copy_(weights[name])
