"""Forms of statements, questions and instructions drawn from the small grammar in `grammar.yaml`.

Lists of whole forms are learned as a list: a new wording is then a surprise. A grammar gives some millions of forms.
"""

from __future__ import annotations

import random
import re
from pathlib import Path

import yaml

RULES: dict[str, list[str]] = yaml.safe_load(Path(__file__).with_suffix(".yaml").read_text())
_SLOT = re.compile(r"<(\w+)>")


def expand(rng: random.Random, rule: str) -> str:
    """One of the rule's alternatives with its `<slots>` expanded; `{fields}` of the wording stay as they are."""
    drawn = _SLOT.sub(lambda slot: expand(rng, slot[1]), rng.choice(RULES[rule]))
    return drawn.replace("  ", " ")  # where a slot was empty
