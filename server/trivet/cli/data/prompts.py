"""The prompt that an export's chats begin with, as messages."""

from __future__ import annotations

from typing import Any

from trivet.config import Config
from trivet.errors import ConfigError
from trivet.prompts.template.library import PromptLibrary
from trivet.prompts.template.source import PromptSource
from trivet.types.variant import VersionRef


def messages_of(config: Config, ref: VersionRef) -> list[dict[str, Any]]:
    """Its system text and its examples, which are shown and not learned; ConfigError if they have variables."""
    return shown(PromptLibrary.load(config.prompts).get(ref))


def shown(prompt: PromptSource) -> list[dict[str, Any]]:
    """A prompt's system text and its examples, as chats begin with them; ConfigError if they have variables."""
    if not all(isinstance(piece, str) for turn in prompt.turns for piece in turn.pieces):
        raise ConfigError([f"{prompt.path}:1: has variables, and each request its own values of them"])
    messages = []
    for turn in prompt.turns:
        unlearned = {"learned": False} if turn.role == "assistant" else {}
        messages.append({"role": turn.role, "content": "".join(map(str, turn.pieces)), **unlearned})
    return messages
