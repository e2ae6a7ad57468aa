"""A prompt as token ids, and its static beginning."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from trivet.types.passage import Passage
from trivet.types.request import Message
from trivet.types.variant import VersionRef


@dataclass(frozen=True, slots=True)
class Prefix:
    """The static beginning of a prompt version under one tokenizer: what a KV cache can hold for every request.

    `fingerprint`: SHA-256 over its ids and the static text that they come from, 64 hex digits. It changes with any byte
    of that text, up to the first template variable or the conversation.
    """

    ref: VersionRef
    token_ids: tuple[int, ...]
    fingerprint: str

    @property
    def tokens(self) -> int:
        """How many tokens it has."""
        return len(self.token_ids)


@dataclass(frozen=True, slots=True)
class WorkedExample:
    """A question with its answer, shown to the model as an earlier turn. `id`: of its passage. Untrusted text."""

    id: str
    question: str
    answer: str


@dataclass(frozen=True, slots=True)
class AssembledPrompt:
    """What goes to the backend, stable first.

    `token_ids` begin with the prefix's ids, of which there are `prefix_tokens`. That is 0, and the fingerprint "", in
    the one case that the chat template writes the static part differently for this conversation.
    `passages` were given to the model, best first; `dropped` found no room, best first. So with `examples` and
    `dropped_examples`, nearest first. `template_variables`: all that the chat template was given.
    `activated_from`: the token that an activated LoRA acts from; None where the adapter is none. `messages`: what the
    ids say, in turns, where the assembler was asked for them.
    """

    token_ids: tuple[int, ...]
    prefix_tokens: int
    prefix_fingerprint: str
    passages: tuple[Passage, ...] = ()
    dropped: tuple[Passage, ...] = ()
    examples: tuple[WorkedExample, ...] = ()
    dropped_examples: tuple[WorkedExample, ...] = ()
    template_variables: Mapping[str, Any] = field(default_factory=dict)
    activated_from: int | None = None
    messages: tuple[Message, ...] = ()
