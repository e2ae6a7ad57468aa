"""Peak memory of training steps, each kind in a process of its own: a process never gives its peak back.

Run as a module it is that process: arguments are the kind of step and the number of steps; it prints a line of JSON.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

VOCABULARY, HIDDEN, LAYERS = 151_936, 64, 4
PROMPT, ANSWER, BATCH = 182, 10, 2048
FIRST = "every position gets logits"
KINDS: dict[str, dict[str, Any]] = {
    FIRST: {},
    "answers get logits": {},
    "and checkpointing": {"checkpointing": True},
    "and a quarter of the batch, four times": {"batch_tokens": BATCH // 4, "accumulation": 4, "checkpointing": True},
}


@dataclass(frozen=True, slots=True)
class Measured:
    """`held`: bytes before the first step; `peak`: the most during the steps."""

    held: int
    peak: int
    loss: float


def measure(kind: str, steps: int) -> Measured:
    """One kind of step, in a new process."""
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.training.memory", kind, str(steps)], check=True, stdout=subprocess.PIPE
    )
    return Measured(**json.loads(done.stdout))


def _every_position(learning: Any) -> Any:
    """The loss as it was before: logits for all positions, of which those that are not learned are then ignored."""
    from torch.nn import functional

    from trivet.training.objectives.objective import Part

    def parts(model: Any) -> Iterator[Part]:
        batch = learning.batch()
        logits = model(input_ids=batch.ids, attention_mask=batch.mask, use_cache=False).logits[:, :-1]
        loss = functional.cross_entropy(logits.reshape(-1, logits.shape[-1]), batch.labels[:, 1:].reshape(-1))
        yield Part(loss, int(batch.mask.sum()))

    learning.parts = parts
    return learning


def _steps(kind: str, steps: int) -> Measured:
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    from trivet.training.chats import Example
    from trivet.training.lora import Training, attach
    from trivet.training.objectives.imitation import Imitation
    from trivet.training.recipe import Recipe

    torch.manual_seed(1)
    recipe = Recipe(**{"steps": steps, "warm_up": 1, "batch_tokens": BATCH, **KINDS[kind]})
    config = LlamaConfig(
        vocab_size=VOCABULARY, hidden_size=HIDDEN, intermediate_size=4 * HIDDEN, num_hidden_layers=LAYERS,
        num_attention_heads=4, num_key_value_heads=4, tie_word_embeddings=True,
    )  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        LlamaForCausalLM(config).save_pretrained(folder)
        model: Any = attach(Path(folder), recipe, "wide")
    ids = torch.randint(0, VOCABULARY, (64, PROMPT + ANSWER)).tolist()
    examples = [Example(row, [False] * PROMPT + [True] * ANSWER) for row in ids]
    learning = Imitation(examples, recipe, padding=0)
    training = Training(model, _every_position(learning) if kind == FIRST else learning, recipe)
    Path("/proc/self/clear_refs").write_text("5")  # forget the peak of loading
    held = _kilobytes("VmRSS")
    for _ in range(steps):
        training.step()
    return Measured(held * 1024, _kilobytes("VmHWM") * 1024, training.loss)


def _kilobytes(name: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(f"{name}:"))


if __name__ == "__main__":
    found = _steps(sys.argv[1], int(sys.argv[2]))
    print(json.dumps({name: getattr(found, name) for name in Measured.__slots__}))
