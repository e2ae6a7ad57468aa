"""A model's chat format: its tokenizer folder, ready to assemble prompts."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from trivet.errors import ConfigError, Unsupported
from trivet.prompts.tokenizer.chat_template import ChatTemplate, TemplateRefusal
from trivet.prompts.tokenizer.skeleton import Run, Shape, Skeleton, SkeletonBuilder, Slot
from trivet.prompts.tokenizer.text_tokenizer import TextTokenizer
from trivet.prompts.tokenizer.tokenizer_files import TokenizerFiles, read_tokenizer_files

FIXED_DATE = datetime(2024, 7, 26, tzinfo=UTC)
"""What templates are told is today: the default that Llama 3's own template falls back to."""


class ChatTokenizer:
    """Template and tokenizer of one model. Immutable and safe to share between threads."""

    def __init__(self, files: TokenizerFiles, today: datetime = FIXED_DATE) -> None:
        """Raises ValueError for a broken template or tokenizer."""
        self.text = TextTokenizer(files.document)
        self._builder = SkeletonBuilder(ChatTemplate(files.template, files.special_tokens, today), self.text)
        self.takes_system = self._takes_system()

    @classmethod
    def load(cls, folder: Path, today: datetime = FIXED_DATE, template: Path | None = None) -> ChatTokenizer:
        """Read a Hugging Face tokenizer folder, with `template` instead of its own chat template if it is given.

        Raises ConfigError naming the file and what was expected.
        """
        files = read_tokenizer_files(folder, template)
        try:
            return cls(files, today)
        except ValueError as error:
            raise ConfigError(
                [f"{template or folder}:1: {error}, expected a Hugging Face tokenizer with a chat template"]
            ) from None

    def skeleton(self, shape: Shape) -> Skeleton:
        """The template around a sequence of messages; raises TemplateRefusal, Unsupported."""
        return self._builder.build(shape)

    def _takes_system(self) -> bool:
        """False where the template raises at a system message, or leaves it out."""
        try:
            skeleton = self._builder.build((("system", None), ("user", None)))
        except (TemplateRefusal, Unsupported):
            return False
        slots = {p.message for part in skeleton if isinstance(part, Run) for p in part.pieces if isinstance(p, Slot)}
        return 0 in slots
