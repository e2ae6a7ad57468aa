"""Chats as training examples: which tokens of a rendered conversation the model should learn to write."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NotRequired, TypedDict

import torch


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


@dataclass(frozen=True, slots=True)
class Batch:
    """Padded on the right. `labels` is -100 where nothing is to be learned."""

    ids: Any
    mask: Any
    labels: Any


def encode(tokenizer: Any, chat: Chat) -> Example:
    """Render with the model's own chat template; a turn of the assistant is what it adds after the prompt for it."""
    if not chat or chat[-1]["role"] != "assistant":
        raise ValueError("a chat to learn from ends with an assistant message")
    ids = _render(tokenizer, chat, prompt=False)
    learned = [False] * len(ids)
    for index, message in enumerate(chat):
        if message["role"] != "assistant" or not message.get("learned", True):
            continue
        start = len(_render(tokenizer, chat[:index], prompt=True))
        end = len(_render(tokenizer, chat[: index + 1], prompt=False))
        learned[start:end] = [True] * (end - start)
    return Example(ids, learned)


def _render(tokenizer: Any, chat: Chat, *, prompt: bool) -> list[int]:
    plain = [{"role": message["role"], "content": message["content"]} for message in chat]
    ids: list[int] = tokenizer.apply_chat_template(plain, add_generation_prompt=prompt, return_dict=False)
    return ids


def batches(tokenizer: Any, chats: Iterator[Chat], tokens: int, pool: int = 256) -> Iterator[Batch]:
    """Batches of at most `tokens` with their padding; `pool` chats at a time are grouped by length."""
    while True:
        examples = [encode(tokenizer, chat) for chat, _ in zip(chats, range(pool), strict=False)]
        if not examples:
            return
        groups = _grouped(examples, tokens)
        # Short and long batches alternate without a random source: the order is fixed by the chats alone.
        middle = (len(groups) + 1) // 2
        for index in range(middle):
            yield _pad(tokenizer, groups[index])
            if middle + index < len(groups):
                yield _pad(tokenizer, groups[middle + index])


def _grouped(examples: Sequence[Example], tokens: int) -> list[list[Example]]:
    groups: list[list[Example]] = []
    for example in sorted(examples, key=lambda example: len(example.ids)):
        if groups and len(example.ids) * (len(groups[-1]) + 1) <= tokens:
            groups[-1].append(example)
        else:
            groups.append([example])
    return groups


def _pad(tokenizer: Any, examples: Sequence[Example]) -> Batch:
    longest = max(len(example.ids) for example in examples)
    padding = tokenizer.pad_token_id if tokenizer.pad_token_id is not None else tokenizer.eos_token_id
    ids = torch.full((len(examples), longest), padding)
    mask = torch.zeros((len(examples), longest), dtype=torch.long)
    labels = torch.full((len(examples), longest), -100)
    for row, example in enumerate(examples):
        length = len(example.ids)
        found = torch.tensor(example.ids)
        ids[row, :length] = found
        mask[row, :length] = 1
        labels[row, :length] = torch.where(torch.tensor(example.learned), found, torch.tensor(-100))
    return Batch(ids, mask, labels)
