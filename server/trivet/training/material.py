"""From files to what a training learns from: read, checked against the base, as tokens."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jinja2 import TemplateError
from transformers import AutoConfig, AutoTokenizer

from trivet.errors import ConfigError
from trivet.training.chats import Example, Message, encode, encode_answers, generation_prompt, question_prompt, render
from trivet.training.files.chat_files import LocatedChat, read_chats, refuse_overlap
from trivet.training.files.json_lines import MOST_PROBLEMS, Located
from trivet.training.files.pair_files import LocatedPair, read_pairs
from trivet.training.job import Job, Watcher
from trivet.training.objectives.preference import Pair
from trivet.training.objectives.reward import Prompt
from trivet.training.objectives.rewards import Judge

Taught = Example | Pair | Prompt


@dataclass(frozen=True, slots=True)
class Files:
    """What stands in the files; `digest` and `held_out_digest`: SHA-256 over their bytes."""

    training: Sequence[Located]
    held_out: Sequence[Located]
    digest: str
    held_out_digest: str


@dataclass(frozen=True, slots=True)
class Material:
    """`training` and `held_out`: what the objective takes. `weights`: how often an epoch has each of `training`."""

    tokenizer: Any
    training: Sequence[Any]
    weights: Sequence[int]
    held_out: Sequence[Any]
    invocation: Sequence[int] = ()


def read_files(job: Job) -> Files:
    """Raises ConfigError for what cannot be learned from, or is on both sides."""
    if job.recipe.objective == "dpo":
        pairs, pairs_held_out = read_pairs(job.data), read_pairs(job.held_out)
        files = Files(pairs.pairs, pairs_held_out.pairs, pairs.digest, pairs_held_out.digest)
    else:
        chats, held_out = read_chats(job.data), read_chats(job.held_out)
        files = Files(chats.chats, held_out.chats, chats.digest, held_out.digest)
    refuse_overlap(files.training, files.held_out)
    return files


def prepare(job: Job, files: Files, watcher: Watcher) -> Material:
    """Everything as tokens; ConfigError with a line for each that the base cannot read."""
    tokenizer = AutoTokenizer.from_pretrained(job.base)
    if tokenizer.chat_template is None:
        raise ConfigError([f"{job.base}: has no chat template (tokenizer_config.json or chat_template.jinja)"])
    try:
        invocation = _invocation(job, tokenizer)
    except ValueError as error:
        raise ConfigError([f"{job.base}: {error}"]) from error
    taught = _Teaching(job, tokenizer, invocation).taught
    watcher.begin("reading chats", len(files.training) + len(files.held_out))
    problems: list[str] = []
    sides: list[list[tuple[Taught, int]]] = [[], []]
    for side, rows in zip(sides, (files.training, files.held_out), strict=True):
        for located in rows:
            try:
                side += [(one, getattr(located, "weight", 1)) for one in taught(located)]
            except ValueError as error:
                problems.append(located.problem("messages", str(error)))
            if len(problems) == MOST_PROBLEMS:
                raise ConfigError(problems)
            watcher.advance()
    if problems:
        raise ConfigError(problems)
    training, held_out = sides
    weights = [weight for _, weight in training]
    return Material(tokenizer, [one for one, _ in training], weights, [one for one, _ in held_out], invocation)


def _invocation(job: Job, tokenizer: Any) -> Sequence[int]:
    if job.recipe.method != "alora":
        return []
    return question_prompt(tokenizer) if job.recipe.invocation == "question" else generation_prompt(tokenizer)


class _Teaching:
    """How one line becomes what the recipe's objective learns from."""

    def __init__(self, job: Job, tokenizer: Any, invocation: Sequence[int]) -> None:
        self._tokenizer = tokenizer
        self._invocation = invocation
        self._judge = Judge(job.recipe.rewarded)
        self._longest = _longest(job.base)
        self._room = job.recipe.max_new_tokens
        by_objective: dict[str, Callable[[Any], Sequence[Taught]]] = {
            "sft": self._examples, "dpo": self._pair, "grpo": self._prompt,
        }  # fmt: skip
        self._of = by_objective[job.recipe.objective]

    def taught(self, located: Any) -> Sequence[Taught]:
        """ValueError for one that cannot be learned from."""
        try:
            return self._of(located)
        except TemplateError as error:
            raise ValueError(f"the base's chat template refuses it: {error}") from error

    def _examples(self, located: LocatedChat) -> Sequence[Taught]:
        return self._encoded(located.chat)

    def _pair(self, located: LocatedPair) -> Sequence[Taught]:
        shown = [_only_shown(message) for message in located.prompt]
        [chosen], [rejected] = (self._encoded([*shown, *answer]) for answer in (located.chosen, located.rejected))
        return [Pair(chosen, rejected)]

    def _prompt(self, located: LocatedChat) -> Sequence[Taught]:
        *shown, answer = located.chat
        ids = render(self._tokenizer, shown, prompt=True)
        self._require_room(len(ids) + self._room)
        question = next((message["content"] for message in reversed(shown) if message["role"] == "user"), "")
        name = f"{located.path.name}:{located.line}"
        return [Prompt(ids, self._judge.asked(name, question, answer["content"], located.documents))]

    def _encoded(self, chat: Any) -> Sequence[Example]:
        if self._invocation:
            examples = encode_answers(self._tokenizer, chat, self._invocation)
        else:
            examples = [encode(self._tokenizer, chat)]
        self._require_room(max((len(example.ids) for example in examples), default=0))
        return examples

    def _require_room(self, size: int) -> None:
        if size > self._longest:
            raise ValueError(f"has {size} tokens, the base reads {self._longest} at most")


def _only_shown(message: Message) -> Message:
    return {**message, "learned": False} if message["role"] == "assistant" else message


def _longest(base: Path) -> int:
    longest: int = AutoConfig.from_pretrained(base).max_position_embeddings
    return longest
