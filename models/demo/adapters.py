"""Train one of the demo's two adapters on the committed weights, write its folder and score it.

Scores come from real greedy generation on held-out names (and, for tickets, held-out phrasings).
"""

from __future__ import annotations

import argparse
import json
import random
import secrets
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import json_answers
import tickets
import torch
from export import WEIGHTS
from mixture import Shape, conversation
from names import Split
from peft import PeftModel
from rich.console import Console
from rich.progress import track
from scores import Score
from transformers import AutoModelForCausalLM, AutoTokenizer

from trivet.training import Chat, Recipe, Step, train, write

ROOT = Path(__file__).parents[2] / "adapters"
BASE_NAME = "trivet-demo"
Source = Callable[[int], Iterator[Chat]]
SOURCES: dict[str, tuple[Source, str]] = {
    "json-answer": (json_answers.chats, "models/demo/json_answers.py"),
    "ticket-sorter": (tickets.chats, "models/demo/tickets.py"),
}
EXAMPLES = """examples:
  python models/demo/adapters.py json-answer --steps 1500
  python models/demo/adapters.py ticket-sorter --score-only --n 500
"""


def _json_chat(rng: random.Random, shape: Shape, share: float) -> Chat:
    return json_answers.convert(conversation(rng, "held-out", shape, 1, share), plain_shots=True)


def _json_sets() -> dict[str, Callable[[random.Random], Chat]]:
    def of(passages: int, facts: int, unknown: float, share: float) -> Callable[[random.Random], Chat]:
        shape = Shape(passages, facts, 0.6, 0.2, unknown)
        return lambda rng: _json_chat(rng, shape, share)

    return {
        "1 passage of 1 fact, no prefix": of(1, 1, 0.0, 0.0),
        "1 passage of 1 fact, with a prefix": of(1, 1, 0.0, 1.0),
        "3 passages of 1 fact": of(3, 1, 0.0, 0.5),
        "3 passages of 2 facts": of(3, 2, 0.0, 0.5),
        "nothing answers, 2 passages": of(2, 1, 1.0, 0.5),
    }


def _ticket_sets() -> dict[str, Callable[[random.Random], Chat]]:
    def of(split: Split) -> Callable[[random.Random], Chat]:
        return lambda rng: tickets.chat(rng, split)

    return {"phrasings of the training": of("train"), "unseen phrasings": of("held-out")}


@torch.no_grad()  # type: ignore[untyped-decorator]
def answer(model: Any, tokenizer: Any, chat: Chat) -> str:
    """What greedy decoding gives for the chat without its last message."""
    asked = [{"role": message["role"], "content": message["content"]} for message in chat[:-1]]
    ids = tokenizer.apply_chat_template(asked, add_generation_prompt=True, return_dict=False)
    given = torch.tensor([ids])
    made = model.generate(given, attention_mask=torch.ones_like(given), max_new_tokens=64, do_sample=False)
    text: str = tokenizer.decode(made[0, len(ids) :], skip_special_tokens=True)
    return text


def _well_formed(name: str, text: str) -> bool:
    """Whether the answer has the form that the adapter promises, right or wrong."""
    if name == "ticket-sorter":
        return text in tickets.LABELS
    try:
        found = json.loads(text)
    except ValueError:
        return False
    return isinstance(found, dict) and list(found) == ["answer", "found"] and isinstance(found["found"], bool)


def evaluate(name: str, folder: Path, seed: int, n: int) -> dict[str, tuple[Score, Score]]:
    """For each set: right answers, and answers of the right form."""
    base = AutoModelForCausalLM.from_pretrained(WEIGHTS, dtype=torch.float32)
    model = PeftModel.from_pretrained(base, folder).eval()
    tokenizer = AutoTokenizer.from_pretrained(WEIGHTS)
    sets = _json_sets() if name == "json-answer" else _ticket_sets()
    scores = {}
    for title, make in sets.items():
        rng = random.Random(f"{seed}/{title}")
        right = formed = 0
        for _ in range(n):
            chat = make(rng)
            text = answer(model, tokenizer, chat)
            right += text == chat[-1]["content"]
            formed += _well_formed(name, text)
        scores[title] = (Score(right, n), Score(formed, n))
    return scores


def make(name: str, version: str, recipe: Recipe, data_seed: int) -> None:
    """Train and write the folder."""
    source, script = SOURCES[name]
    losses: list[float] = []
    steps = iter(track(range(recipe.steps), description=name, console=Console(stderr=True)))

    def on_step(step: Step) -> None:
        next(steps, None)
        losses.append(step.loss)
        if step.number % 100 == 0:
            print(f"step {step.number}: loss {sum(losses[-100:]) / 100:.4f}", flush=True)

    model = train(WEIGHTS, BASE_NAME, source(data_seed), recipe, on_step)
    told = {"script": "models/demo/adapters.py", "data": script, "data_seed": data_seed} | asdict(recipe)
    write(model, ROOT / name / version, name=name, version=version, base=WEIGHTS, base_name=BASE_NAME, recipe=told)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, epilog=EXAMPLES, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("name", choices=sorted(SOURCES))
    parser.add_argument("--version", default="1")
    parser.add_argument("--steps", type=int, default=1500)
    parser.add_argument("--batch-tokens", type=int, default=1536)
    parser.add_argument("--lr", type=float, default=1e-3)
    parser.add_argument("--seed", type=int, default=1, help="of the adapter's first weights (default 1)")
    parser.add_argument("--data-seed", type=int, default=41, help="of the training chats (default 41)")
    parser.add_argument("--n", type=int, default=200, help="examples in each evaluation set (default 200)")
    parser.add_argument("--score-only", action="store_true", help="score the adapter that is there")
    given = parser.parse_args()
    torch.set_num_threads(1)
    recipe = Recipe(steps=given.steps, lr=given.lr, seed=given.seed, batch_tokens=given.batch_tokens)
    if not given.score_only:
        make(given.name, given.version, recipe, given.data_seed)
    seed = secrets.randbelow(10**9)
    print(f"{given.name}@{given.version}, evaluation seed {seed}, n = {given.n} a set")
    for title, (right, formed) in evaluate(given.name, ROOT / given.name / given.version, seed, given.n).items():
        low, high = right.interval
        print(f"{title}: right {right.share:.3f} ({low:.3f} to {high:.3f}), of the right form {formed.share:.3f}")


if __name__ == "__main__":
    main()
