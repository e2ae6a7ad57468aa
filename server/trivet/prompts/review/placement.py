"""Where variables stand: what comes before the first one is computed once for all requests, what follows for each."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from trivet.prompts.review.located_text import PlacedVariable, StaticText, located
from trivet.prompts.review.rules import Finding
from trivet.prompts.template.source import PromptSource

_OUTSIDE = re.compile(
    r"(?i)(?:^|_)(?:question|query|user_?(?:input|message|text|prompt)|input|message|messages|conversation|history|document|documents"
    r"|docs|passage|passages|context|chunk|chunks|search_results?|retrieved|email|transcript|body|content)(?:$|_)"
)


@dataclass(frozen=True, slots=True)
class PromptSize:
    """A prompt under one backend's tokenizer, in tokens.

    `prefix`: what all requests share, chat template included. `behind`: static text behind the first variable, about.
    `block_size`: of the KV cache, None where the engine chooses it. `context`: what the model takes.
    """

    backend: str
    prefix: int
    behind: int
    block_size: int | None
    context: int

    @property
    def blocks(self) -> int | None:
        """Full blocks of the prefix, which are what is cached."""
        return None if self.block_size is None else self.prefix // self.block_size

    @property
    def cached(self) -> int:
        """The tokens that a warm cache spares each request."""
        return self.prefix // (self.block_size or 1) * (self.block_size or 1)


def static_behind(prompt: PromptSource, count: Callable[[str], int]) -> int:
    """The tokens of all static text behind the first variable, counted piece by piece."""
    tokens, passed = 0, False
    for item in located(prompt):
        passed = passed or isinstance(item, PlacedVariable)
        if passed and isinstance(item, StaticText):
            tokens += count(item.text)
    return tokens


def placement_findings(prompt: PromptSource, size: PromptSize | None) -> Iterator[Finding]:
    """Variables before static text, strangers' text among the instructions, and what does not fit cache or context."""
    placed = [item for item in located(prompt) if isinstance(item, PlacedVariable)]
    for variable in {item.name: item for item in reversed(placed) if prompt.turns[item.turn].role == "system"}.values():
        if _OUTSIDE.search(variable.name):
            told = (
                f"{{{{ {variable.name} }}}} stands among the instructions, where what a user or a document says is "
                "taken for one; expected it in the conversation's messages, or as passages of an index"
            )
            yield Finding(variable.line, "outside-text", told)
    if size is None:
        return
    least = size.block_size or 16
    if placed and size.behind >= least:
        told = (
            f"{{{{ {placed[0].name} }}}} stands before about {size.behind:,} tokens of static text, which each request "
            f"computes ({size.prefix:,} before it are cached); expected variables at the end"
        )
        yield Finding(placed[0].line, "uncached-text", told)
    if size.block_size is not None and size.prefix < size.block_size:
        told = (
            f"the prefix has {size.prefix} tokens on backend {size.backend}, and a block of its cache "
            f"{size.block_size}: nothing is cached"
        )
        yield Finding(1, "short-prefix", told)
    if size.prefix + size.behind > size.context / 2:
        told = (
            f"{size.prefix + size.behind:,} tokens of static text, of the {size.context:,} that the model takes in all"
        )
        yield Finding(1, "long-prompt", told)
