"""Names of variables that a model's chat template is given."""

from __future__ import annotations

import re

OWN_NAMES = frozenset(
    {"messages", "tools", "documents", "add_generation_prompt", "strftime_now", "raise_exception", "range", "namespace"}
)
"""What a template is given in any case."""

_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,63}")


def variable_problem(name: str) -> str:
    """What is wrong with a name; empty if nothing is. Tokens such as `bos_token` are the tokenizer's."""
    if not _NAME.fullmatch(name):
        return f"{name[:64]!r}, expected a name of letters, digits and underscores"
    if name in OWN_NAMES or name.endswith("_token"):
        return f"{name!r} is the template's own, expected another name"
    return ""
