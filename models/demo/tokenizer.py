"""The tokenizer: 1,536 byte-level entries with names and digits kept apart from the space before them.

A name is then the same tokens wherever it stands, which is what lets a small model copy it.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers, trainers

from mixture import Example, example

FILE = Path(__file__).parent / "weights" / "tokenizer.json"
VOCABULARY = 1536
PATTERN = r"[0-9]{1,2}| ?[a-z]+|[A-Z][a-z]*|\s|[^\sA-Za-z0-9]"
PAD, END = "<|pad|>", "<|end|>"
SYSTEM, USER, ASSISTANT = "<|system|>", "<|user|>", "<|assistant|>"
SPECIAL = (PAD, END, SYSTEM, USER, ASSISTANT)
CHAT_TEMPLATE = (
    "{% for message in messages %}"
    "{{ '<|' + message['role'] + '|>\\n' + message['content'] + '<|end|>\\n' }}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|assistant|>\\n' }}{% endif %}"
)


def render(turns: Example) -> str:
    """What the chat template makes of the turns; the template itself is checked against this at export."""
    return "".join(f"<|{turn.role}|>\n{turn.content}{END}\n" for turn in turns)


def train(path: Path = FILE, seed: int = 17, examples: int = 30_000) -> Tokenizer:
    """Learn the merges from the training mix and write `path`."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(PATTERN), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        special_tokens=[AddedToken(text, normalized=False, special=True) for text in SPECIAL],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(_texts(seed, examples), trainer)
    path.parent.mkdir(parents=True, exist_ok=True)
    tokenizer.save(str(path))
    return tokenizer


def _texts(seed: int, examples: int) -> Iterator[str]:
    rng = random.Random(seed)
    for _ in range(examples):
        yield "\n".join(turn.content for turn in example(rng))
