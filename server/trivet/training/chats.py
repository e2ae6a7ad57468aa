"""Chats as training examples: which tokens of a rendered conversation the model should learn to write."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, NotRequired, TypedDict


class Message(TypedDict):
    """`learned` false: an assistant's turn that is only shown, such as an example in another form."""

    role: Literal["system", "user", "assistant"]
    content: str
    learned: NotRequired[bool]


Chat = list[Message]


@dataclass(frozen=True, slots=True)
class Example:
    """Token ids, and for each whether it belongs to an assistant's turn."""

    ids: list[int]
    learned: list[bool]


def encode(tokenizer: Any, chat: Chat) -> Example:
    """Render with the model's own chat template; a turn of the assistant is what it adds after the prompt for it.

    ValueError if the chat does not end with the assistant, or if the template renders a turn otherwise once more
    follows: then nobody could tell which tokens to learn.
    """
    if not chat or chat[-1]["role"] != "assistant":
        raise ValueError("a chat to learn from ends with an assistant message")
    ids = render(tokenizer, chat, prompt=False)
    learned = [False] * len(ids)
    for index, message in enumerate(chat):
        if message["role"] != "assistant" or not message.get("learned", True):
            continue
        asked = render(tokenizer, chat[:index], prompt=True)
        answered = ids if index == len(chat) - 1 else render(tokenizer, chat[: index + 1], prompt=False)
        start, end = len(asked), len(answered)
        if ids[:start] != asked or ids[:end] != answered:
            raise ValueError(f"the chat template renders message {index} otherwise when more follows")
        learned[start:end] = [True] * (end - start)
    return Example(ids, learned)


def render(tokenizer: Any, chat: Chat, *, prompt: bool) -> list[int]:
    """Token ids of the chat; with `prompt`, and of the words that let the assistant speak."""
    plain = [{"role": message["role"], "content": message["content"]} for message in chat]
    ids: list[int] = tokenizer.apply_chat_template(plain, add_generation_prompt=prompt, return_dict=False)
    return ids


def padding(tokenizer: Any) -> int:
    """The token to pad with; any will do, because it is masked."""
    token: int = tokenizer.pad_token_id if tokenizer.pad_token_id is not None else tokenizer.eos_token_id
    return token


def grouped(examples: Sequence[Example], tokens: int) -> list[list[Example]]:
    """By length, each group at most `tokens` with its padding; a longer example is a group of its own."""
    groups: list[list[Example]] = []
    for example in sorted(examples, key=lambda example: len(example.ids)):
        if groups and len(example.ids) * (len(groups[-1]) + 1) <= tokens:
            groups[-1].append(example)
        else:
            groups.append([example])
    return groups
