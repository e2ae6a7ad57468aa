"""What decides the weights of an adapter."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any, Literal

Method = Literal["lora", "rslora", "dora", "alora", "qlora"]
Goal = Literal["sft", "dpo", "grpo"]
Invoked = Literal["generation", "question"]
Reward = Literal["exact_match", "format_valid", "label_accuracy", "says_unknown", "cited_right"]

_ALWAYS = 9  # of the fields below, these are told in every manifest; the others where they are not as they always were


@dataclass(frozen=True, slots=True)
class Rewarded:
    """What an answer is rewarded for: the share of `judged` that applies and holds, as evaluations judge.

    The others say how answers are read, as a suite's fields of these names do.
    """

    judged: tuple[Reward, ...] = ()
    json_schema: Mapping[str, Any] | None = None
    value: str = "answer"
    found: str | None = None
    unknown: tuple[str, ...] = ()
    labels: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Recipe:
    """What decides the weights, together with the base model, the chats and the libraries.

    `method`: plain LoRA; rsLoRA (Kalajdzievski, arXiv 2312.03732), whose scale is alpha / sqrt(rank); DoRA (Liu et al.,
    arXiv 2402.09353), which is served merged; activated LoRA (Greenewald et al., arXiv 2504.12397), which acts from
    `invocation` on; or QLoRA (Dettmers et al., arXiv 2305.14314) on a base of 4 bits, on GPUs.
    `threads` is here because sums in another order are other sums. `invocation`: the words that let the assistant speak
    (generation), or those that open the last turn of a user (question).

    `objective`: imitation of the answers (sft); DPO (Rafailov et al., arXiv 2305.18290) with `beta`; or GRPO (Shao et
    al., arXiv 2402.03300) with `group` answers of `max_new_tokens` tokens at most, drawn at `temperature`. `start`: the
    digest of the adapter that is trained on; empty for a fresh one. `accumulation`: batches to a step.
    `checkpointing`: compute activations again in the backward pass instead of keeping them.
    """

    method: Method = "lora"

    rank: int = 8
    alpha: int = 16
    steps: int = 1000
    lr: float = 1e-3
    warm_up: int = 30
    batch_tokens: int = 2048
    seed: int = 1
    threads: int = 1
    objective: Goal = "sft"
    accumulation: int = 1
    checkpointing: bool = False
    start: str = ""
    beta: float = 0.1
    group: int = 8
    temperature: float = 1.0
    max_new_tokens: int = 64
    rewarded: Rewarded = field(default_factory=Rewarded)
    invocation: Invoked = "generation"

    def rate(self, step: int) -> float:
        """Linear warm-up, then linear decay to nothing."""
        decay = (self.steps - step) / max(1, self.steps - self.warm_up)
        return self.lr * min((step + 1) / max(1, self.warm_up), decay)

    def as_data(self) -> dict[str, Any]:
        """As plain data; what is newer than the first recipes is left out where it is as it always was."""
        told = asdict(self)
        usual = asdict(Recipe())
        names = [one.name for one in fields(self)]
        kept = {name: told[name] for i, name in enumerate(names) if i < _ALWAYS or told[name] != usual[name]}
        if "rewarded" in kept:
            kept["rewarded"] = {name: _plain(value) for name, value in kept["rewarded"].items() if value}
        return kept


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value
