"""Chats as training examples: which tokens of a rendered conversation the model should learn to write."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import takewhile
from typing import Any, Literal, NotRequired, TypedDict

from jinja2 import TemplateError

_PROBE = "zq7 system text"
_OPENINGS = ("a", "Zz", "0", "\n", " x", ".", "<", "é")  # of what a user says: words before it are the template's own


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


def encode_answers(tokenizer: Any, chat: Chat, invocation: Sequence[int]) -> list[Example]:
    """For activated LoRA: an example for each turn to learn, which ends with that turn and learns nothing else.

    The adapter acts from the last invocation on, so that in one example it could learn its last turn alone. ValueError
    as from `encode`, and where the last invocation neither ends the prompt for the turn nor opens the user's turn that
    it answers.
    """
    encode(tokenizer, chat)  # says what is wrong with the chat as a whole
    examples: list[Example] = []
    for index, message in enumerate(chat):
        if message["role"] != "assistant" or not message.get("learned", True):
            continue
        asked = render(tokenizer, chat[:index], prompt=True)
        ids = render(tokenizer, chat[: index + 1], prompt=False)
        places = (len(asked) - len(invocation), _question_at(tokenizer, chat[:index], ids, invocation))
        if last_occurrence(ids, invocation) not in places:
            raise ValueError(f"the last invocation of the adapter is not the one right before message {index}")
        examples.append(Example(ids, [False] * len(asked) + [True] * (len(ids) - len(asked))))
    return examples


def generation_prompt(tokenizer: Any) -> list[int]:
    """The words that let the assistant speak, which invoke an activated LoRA. ValueError if the template has none."""
    chat: Chat = [{"role": "user", "content": "a"}]
    without, ids = render(tokenizer, chat, prompt=False), render(tokenizer, chat, prompt=True)
    if ids[: len(without)] != without or len(ids) == len(without):
        raise ValueError("the chat template adds nothing for the assistant to begin with: it cannot invoke an adapter")
    return ids[len(without) :]


def question_prompt(tokenizer: Any) -> list[int]:
    """The words that open a user's turn, whatever it says. ValueError if the template has none that stay the same."""
    opening, other = (_opening_after(tokenizer, answer) for answer in ("b", "Z 7"))
    if not opening or opening != other:
        raise ValueError(
            "the chat template adds nothing that each user's turn begins with: it cannot invoke an adapter"
        )
    return opening


def _opening_after(tokenizer: Any, answer: str) -> list[int]:
    """What a user's turn begins with after this answer: all before it is what was said earlier, or closes that."""
    before: Chat = [{"role": "user", "content": "a"}, {"role": "assistant", "content": answer}]
    turns = [render(tokenizer, [*before, {"role": "user", "content": said}], prompt=True) for said in _OPENINGS]
    earlier = len(_common([render(tokenizer, before, prompt=False), *turns]))
    return _common([ids[earlier:] for ids in turns])


def _common(sequences: Sequence[list[int]]) -> list[int]:
    """What all of them begin with."""
    columns = zip(*sequences, strict=False)
    return [column[0] for column in takewhile(lambda column: len(set(column)) == 1, columns)]


def _question_at(tokenizer: Any, asked: Chat, ids: Sequence[int], invocation: Sequence[int]) -> int:
    """Where in `ids` the user's last turn begins: where the invocation is first, if the chat begins with that turn."""
    last = next((at for at in range(len(asked) - 1, -1, -1) if asked[at]["role"] == "user"), 0)
    if last:
        return len(render(tokenizer, asked[:last], prompt=False))
    size, wanted = len(invocation), list(invocation)
    return next((at for at in range(len(ids)) if list(ids[at : at + size]) == wanted), -1)


def last_occurrence(ids: Sequence[int], sought: Sequence[int]) -> int | None:
    """Where the last occurrence of `sought` begins in `ids`, as PEFT looks for an invocation; None without one."""
    size, wanted = len(sought), list(sought)
    return next((at for at in range(len(ids) - size, -1, -1) if list(ids[at : at + size]) == wanted), None)


def render(tokenizer: Any, chat: Chat, *, prompt: bool) -> list[int]:
    """Token ids of the chat; with `prompt`, and of the words that let the assistant speak."""
    plain = [{"role": message["role"], "content": message["content"]} for message in chat]
    if plain and plain[0]["role"] == "system" and not _takes_system(tokenizer, tokenizer.chat_template):
        plain = _without_system(plain)
    ids: list[int] = tokenizer.apply_chat_template(plain, add_generation_prompt=prompt, return_dict=False)
    return ids


def _without_system(chat: list[dict[str, str]]) -> list[dict[str, str]]:
    """The system text and an empty line before the first user message, as the server lays it out."""
    system, *others = chat
    first = next((i for i, message in enumerate(others) if message["role"] == "user"), None)
    if first is None:
        raise ValueError("the base's chat template knows no system role, and no user's message can carry the text")
    told = {"role": "user", "content": f"{system['content']}\n\n{others[first]['content']}"}
    return [*others[:first], told, *others[first + 1 :]]


@lru_cache(maxsize=8)
def _takes_system(tokenizer: Any, template: str) -> bool:
    """Whether the template puts a system message in: some refuse one, some leave it out."""
    probe = [{"role": "system", "content": _PROBE}, {"role": "user", "content": "a"}]
    try:
        return _PROBE in tokenizer.apply_chat_template(probe, chat_template=template, tokenize=False)
    except TemplateError:
        return False


def padding(tokenizer: Any) -> int:
    """The token to pad with; any will do, because it is masked."""
    token: int = tokenizer.pad_token_id if tokenizer.pad_token_id is not None else tokenizer.eos_token_id
    return token
