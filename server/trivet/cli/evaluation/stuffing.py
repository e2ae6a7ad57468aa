"""The arm `stuffed`: a whole corpus in the prompt's static part, where its KV is computed once and cached."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property
from pathlib import Path

from trivet.app.indexes import index_settings
from trivet.config import Config
from trivet.errors import PromptTooLong
from trivet.evaluation.arms import Arm
from trivet.evaluation.data import Example
from trivet.prompts.assembly.assembler import PromptAssembler
from trivet.prompts.template.parser import read_prompt
from trivet.prompts.tokenizer.chat_tokenizer import ChatTokenizer
from trivet.retrieval.corpus.corpus import documents_of_corpus
from trivet.retrieval.passages.parsing import read
from trivet.types.passage import Document, DocumentFormat
from trivet.types.request import Message
from trivet.types.variant import VersionRef

_SHOT = re.compile(r"<!--\s*(user|assistant)\s*-->")


class Stuffing:
    """Writes prompts that hold a corpus. The tokenizer is read when the first such arm is met."""

    def __init__(self, config: Config, backend: str) -> None:
        self._config = config
        self._model = config.model_folder(backend)
        self._template = config.chat_template(backend)
        self._max_model_len = config.file.backends[backend].max_model_len

    def write(self, source: Path, arm: Arm, examples: Sequence[Example], target: Path) -> str:
        """Write the prompt of `source` with the corpus of `arm.stuffed` at the end of its system text.

        Returns why this arm cannot be asked, empty if it can: the text with any of the questions has to fit.
        """
        documents = list(self._documents(arm.stuffed or ""))
        pdf = next((document.id for document in documents if document.format is DocumentFormat.PDF), None)
        if pdf is not None:
            return f"the corpus has a PDF, {pdf}: only text stands in a prompt"
        passages = [f"[{number}] {text}" for number, text in enumerate(_paragraphs(documents), start=1)]
        if any("{{" in text for text in passages):
            return "the corpus has '{{' in it, which a prompt file takes for a variable"
        header = read_prompt(VersionRef.parse(arm.prompt), source).passages_header
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(insert(source.read_text(encoding="utf-8"), "\n".join([header, *passages])), encoding="utf-8")
        assembler = PromptAssembler(read_prompt(VersionRef(arm.route, "1"), target), self._tokenizer)
        try:
            for example in examples:
                assembler.assemble(
                    [Message("user", example.question)], context_tokens=self._context, max_tokens=arm.max_tokens
                )
        except PromptTooLong as error:
            target.unlink()
            target.parent.rmdir()
            return f"the corpus does not fit the context: {error}"
        return ""

    def tokens(self, index: str, most: int) -> int | None:
        """How many tokens the corpus of an index has; counted until they are more than `most`. None: with a PDF."""
        total = 0
        documents = list(self._documents(index))
        if any(document.format is DocumentFormat.PDF for document in documents):
            return None
        for text in _paragraphs(documents):
            total += len(self._tokenizer.text.encode_all(text))
            if total > most:
                break
        return total

    def prefix_tokens(self, source: Path) -> int:
        """How many tokens the static part of a prompt's file has."""
        assembler = PromptAssembler(read_prompt(VersionRef(source.parent.name, source.stem), source), self._tokenizer)
        return assembler.prefix.tokens

    @cached_property
    def _tokenizer(self) -> ChatTokenizer:
        return ChatTokenizer.load(self._model, template=self._template)

    @cached_property
    def _context(self) -> int:
        told = json.loads((self._model / "config.json").read_text()).get("max_position_embeddings")
        return min(limit for limit in (self._max_model_len, told, 1 << 30) if limit is not None)

    def _documents(self, index: str) -> Iterator[Document]:
        return documents_of_corpus(
            index_settings(index, self._config.indexes[index], self._config.data_dir / "sources")
        )


def _paragraphs(documents: Iterable[Document]) -> Iterator[str]:
    """Every paragraph of every document, on one line each."""
    for document in documents:
        for section in read(document.content.decode("utf-8-sig"), document.format).sections:
            for paragraph in section.text.split("\n\n"):
                if text := " ".join(paragraph.split()):
                    yield text


def insert(prompt: str, text: str) -> str:
    """A prompt file with `text` at the end of its system text: before the first few-shot turn, if there is one."""
    lines = prompt.replace("\r\n", "\n").split("\n")
    place = next((i for i, line in enumerate(lines) if _SHOT.fullmatch(line.strip())), len(lines))
    before = "\n".join(lines[:place]).rstrip("\n")
    after = "\n".join(lines[place:])
    return f"{before}\n\n{text}\n" + (f"\n{after}" if after else "")
