"""Fresh names, split into a training and a held-out half by a hash.

A name that the model has never seen is the whole point: it can only answer by reading. The split is by hash and not
by a list, so that any evaluation, with any seed, uses names that training cannot have used.
"""

from __future__ import annotations

import random
import zlib
from typing import Literal

Split = Literal["train", "held-out"]

_ONSETS = "b br c ch cl d dr f fl g gr h j k kl l m n p pl qu r s sh sk st t th tr v w y z".split()  # noqa: SIM905
_VOWELS = "a a e e i i o o u ai ea ei ia io ou oa y".split()  # noqa: SIM905
_CODAS = " l n r s t d k m x nd rk st lm rn ck ss".split(" ")  # noqa: SIM905
_LETTERS = "abcdefghijklmnopqrstuvwxyz"


def is_held_out(name: str) -> bool:
    """A tenth of all names is never trained on."""
    return zlib.crc32(name.lower().encode()) % 10 == 0


def _syllables(rng: random.Random) -> str:
    count = rng.choice((1, 2, 2, 2, 3))
    parts = [rng.choice(_ONSETS) + rng.choice(_VOWELS) + (rng.choice(_CODAS) if rng.random() < 0.55 else "") for _ in
             range(count)]  # fmt: skip
    if rng.random() < 0.2:
        parts[0] = rng.choice(_VOWELS) + rng.choice(_CODAS)
    return "".join(parts)


def _letters(rng: random.Random) -> str:
    return "".join(rng.choices(_LETTERS, k=rng.randint(3, 8)))


def name(rng: random.Random, split: Split = "train") -> str:
    """One capitalised invented word of the wanted split: three in four from syllables, the others any letters."""
    while True:
        word = _syllables(rng) if rng.random() < 0.75 else _letters(rng)
        if len(word) >= 3 and is_held_out(word) == (split == "held-out"):
            return word.capitalize()
