"""A model's chat format: its tokenizer folder, ready to assemble prompts."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from datetime import datetime
from functools import lru_cache
from pathlib import Path

from trivet.errors import ConfigError, Unsupported
from trivet.prompts.rendering.chat_template import NO_SWITCHES, ChatTemplate, Moment, Switches, TemplateRefusal
from trivet.prompts.rendering.watched_text import Watch
from trivet.prompts.tokenizer.skeleton import Run, Setting, Skeleton, SkeletonBuilder, Slot, Stray, Turn
from trivet.prompts.tokenizer.text_tokenizer import TextTokenizer
from trivet.prompts.tokenizer.tokenizer_files import TokenizerFiles, read_raw_files, read_tokenizer_files

_SAMPLE = "Don't say “{}” & go.\n\n  Ünit C3: 12 %"


def _local_time() -> datetime:
    """What transformers tells templates is now, in whole seconds."""
    return _second(int(time.time()))


@lru_cache(maxsize=1)  # each request asks, and the time zone takes longer than all else that it asks here
def _second(since_epoch: int) -> datetime:
    return datetime.fromtimestamp(since_epoch).astimezone()


class ChatTokenizer:
    """Template and tokenizer of one model. Safe to share between threads.

    `plain_roles`: in this template a user's text can pretend to be another turn.
    """

    def __init__(self, files: TokenizerFiles, clock: Callable[[], datetime] | None = None) -> None:
        """Raises ValueError for a broken template or tokenizer. `clock` is what templates ask for the date: local time
        if it is None."""
        templates = [text for text in (files.template, files.tool_template) if text is not None]
        self.text = TextTokenizer(files.document, "\n".join(templates))
        self._clock = clock or _local_time
        self._templates = [ChatTemplate(text, files.special_tokens) for text in templates]
        self._builders = [self._fitting_builder(template) for template in self._templates]
        self.takes_system = self._hears(self._builders[0], ("system", "user"))
        self.plain_roles = self._forgeable()

    @classmethod
    def load_raw(cls, folder: Path) -> ChatTokenizer:
        """For raw prompts: with nothing around a text but what the tokenizer itself begins one with.

        Raises ConfigError naming the file and what was expected.
        """
        try:
            return cls(read_raw_files(folder))
        except ValueError as error:
            raise ConfigError([f"{folder}:1: {error}, expected a Hugging Face tokenizer"]) from None

    @classmethod
    def load(
        cls,
        folder: Path,
        clock: Callable[[], datetime] | None = None,
        template: Path | None = None,
        named: str | None = None,
    ) -> ChatTokenizer:
        """Read a Hugging Face tokenizer folder, with `template` instead of its own chat template if it is given.

        `named`: which of its own templates. Raises ConfigError naming the file and what was expected.
        """
        files = read_tokenizer_files(folder, template, named)
        try:
            return cls(files, clock)
        except ValueError as error:
            raise ConfigError(
                [f"{template or folder}:1: {error}, expected a Hugging Face tokenizer with a chat template"]
            ) from None

    def moment(self) -> Moment:
        """Now, as far as the template can tell."""
        return self._templates[0].moment(self._clock())

    def skeleton(self, turns: Sequence[Turn], setting: Setting) -> Skeleton:
        """The template around a sequence of messages; raises TemplateRefusal."""
        return self._builder(setting).build(turns, setting)

    def verify(self, turns: Sequence[Turn], switches: Switches = NO_SWITCHES) -> None:
        """Try that what is put together has the ids that transformers gives it, with other texts put in.

        Raises TemplateRefusal, and Unsupported for a tokenizer or a template that this does not hold for, such as a
        template that leaves the content of a message out.
        """
        setting = Setting(self.moment(), switches)
        texts = [_SAMPLE.format(i) for i in range(sum(len(turn.texts) for turn in turns))]
        numbers = iter(texts)
        sample = [Turn(turn.role, tuple(next(numbers) for _ in turn.texts), turn.others) for turn in turns]
        builder = self._builder(setting)
        ids: list[int] = []
        for part in builder.build(sample, setting).parts:
            if isinstance(part, Run):
                text = "".join(
                    piece.fill(texts[piece.source]) if isinstance(piece, Slot)
                    else piece.text if isinstance(piece, Stray)
                    else piece
                    for piece in part.pieces
                )  # fmt: skip
                ids += self.text.encode_text(part.strip(text), part.initial).ids
            else:
                ids.append(part.id)
        if ids != self.text.encode_all(builder.render(sample, setting, Watch())):
            raise Unsupported("the tokenizer does more to the texts than the chat template puts them in")
        for number in range(len(turns)):
            if not self._heard(builder, turns, setting, number):
                raise Unsupported(f"the chat template leaves out the content of message {number + 1}")

    def _fitting_builder(self, template: ChatTemplate) -> SkeletonBuilder:
        """Contents are strings, unless the template makes something of a list of parts alone."""
        plain, in_parts = (SkeletonBuilder(template, self.text, parts) for parts in (False, True))
        return in_parts if not self._hears(plain, ("user",)) and self._hears(in_parts, ("user",)) else plain

    def _hears(self, builder: SkeletonBuilder, roles: Sequence[str]) -> bool:
        """False where the template raises at the first of such messages, or leaves it out."""
        try:
            return self._heard(builder, [Turn(role, (None,)) for role in roles], Setting(self._now()), 0)
        except TemplateRefusal:
            return False

    def _forgeable(self) -> bool:
        """Whether no control token stands between two turns, so that text of one can pretend to be another."""
        turns = [Turn(role, (None,)) for role in ("user", "assistant", "user")]
        try:
            parts = self._builders[0].build(turns, Setting(self._now())).parts
        except TemplateRefusal:
            return False
        runs = (part.pieces for part in parts if isinstance(part, Run))
        return any(len({piece.source for piece in pieces if isinstance(piece, Slot)}) > 1 for pieces in runs)

    def _now(self) -> Moment:
        return Moment((), self._clock())

    @staticmethod
    def _heard(builder: SkeletonBuilder, turns: Sequence[Turn], setting: Setting, number: int) -> bool:
        """Whether the whole of what message `number` says comes out, in one form or another."""
        words = ("Bicycle rental", "Bicycle retail")
        said = [
            builder.render(
                [Turn(turn.role, (word if i == number else "word",), turn.others) for i, turn in enumerate(turns)],
                setting,
                Watch(),
            )
            for word in words
        ]
        return said[0] != said[1]

    def _builder(self, setting: Setting) -> SkeletonBuilder:
        return self._builders[-1 if setting.tools else 0]
