"""What all systems under test are given: one model, one set of engine settings, the same prompts in the same order."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

import yaml

from benchmarks.measuring.repository import ROOT
from benchmarks.measuring.tiny_llama import make_model
from trivet.prompts.assembly.assembler import PromptAssembler
from trivet.prompts.template.library import PromptLibrary
from trivet.prompts.tokenizer.chat_tokenizer import ChatTokenizer
from trivet.types.request import Message
from trivet.types.variant import VersionRef

MODEL_NAME = "bench"
PROMPTS_FOLDER = Path(__file__).with_name("prompts")
PROMPT = VersionRef("bench", "1")
PLAIN_ROUTE = "plain"
SEARCH_ROUTE = "search"
INDEX = "handbook"
CONTEXT = 1024
MAX_TOKENS = 64
BLOCK_SIZE = 32
MAX_NUM_SEQS = 32
KV_CACHE_BYTES = 128 << 20
MAX_RUNNING = 32
MAX_QUEUED = 64
PROMPTS = 4000
ENGINE: Mapping[str, Any] = {
    "dtype": "float32",
    "block_size": BLOCK_SIZE,
    "max_model_len": CONTEXT,
    "max_num_seqs": MAX_NUM_SEQS,
    "kv_cache_memory_bytes": KV_CACHE_BYTES,
    "enforce_eager": True,
}
"""vLLM's arguments of every system's engine, unless `engine.json` in the run's folder says others."""


@dataclass(frozen=True, slots=True)
class Prompt:
    """One request's user text, and the token ids that it becomes together with the prompt's static prefix."""

    text: str
    ids: list[int]


@dataclass(frozen=True, slots=True)
class Workload:
    """Files of one benchmark run, below `folder`."""

    folder: Path

    @property
    def model(self) -> Path:
        """The model in Hugging Face's format."""
        return self.folder / "model"

    @property
    def config(self) -> Path:
        """Trivet's configuration."""
        return self.folder / "trivet.yaml"

    @property
    def prompts_file(self) -> Path:
        """The prompts as JSON."""
        return self.folder / "prompts.json"

    def engine(self) -> dict[str, Any]:
        """vLLM's arguments, by name."""
        own = self.folder / "engine.json"
        return {**ENGINE, **(json.loads(own.read_text()) if own.exists() else {})}

    def make(self) -> None:
        """Write everything anew; the same bytes each time. A model that is a link is somebody else's and stays."""
        self.folder.mkdir(parents=True, exist_ok=True)
        if not self.model.is_symlink():
            corpus = [path.read_text() for path in sorted((ROOT / "indexes" / INDEX / "corpus").rglob("*.*"))]
            make_model(self.model, corpus, CONTEXT)
        self.config.write_text(yaml.safe_dump(_trivet_config(self.model, self.engine()), sort_keys=False))
        source = PromptLibrary.load(PROMPTS_FOLDER).get(PROMPT)
        assembler = PromptAssembler(source, ChatTokenizer.load(self.model))
        prompts = []
        for text in _texts(PROMPTS):
            message = Message("user", text)
            assembled = assembler.assemble([message], context_tokens=CONTEXT, max_tokens=MAX_TOKENS)
            prompts.append({"text": text, "ids": assembled.token_ids})
        self.prompts_file.write_text(json.dumps({"prefix_tokens": assembler.prefix.tokens, "prompts": prompts}))

    def prefix_tokens(self) -> int:
        """How long the static beginning of every prompt is."""
        tokens: int = json.loads(self.prompts_file.read_text())["prefix_tokens"]
        return tokens

    def turns(self) -> list[dict[str, str]]:
        """The static beginning of every prompt as messages, for servers that have no prompts of their own."""
        turns = PromptLibrary.load(PROMPTS_FOLDER).get(PROMPT).turns
        return [{"role": turn.role, "content": "".join(map(str, turn.pieces))} for turn in turns]

    def prompts(self) -> list[Prompt]:
        """All prompts, each of its own text."""
        return [Prompt(**prompt) for prompt in json.loads(self.prompts_file.read_text())["prompts"]]


def _texts(number: int) -> Iterator[str]:
    """The handbook's questions over and over, none the same as another."""
    lines = (ROOT / "indexes" / INDEX / "questions.jsonl").read_text().splitlines()
    questions = [json.loads(line)["question"] for line in lines]
    for i in range(number):
        yield f"Ticket {i:05d}. {questions[i % len(questions)]}"


def fresh_texts(label: str) -> Iterator[str]:
    """Query texts that no cache has seen."""
    lines = (ROOT / "indexes" / INDEX / "questions.jsonl").read_text().splitlines()
    questions = [json.loads(line)["question"] for line in lines]
    return (f"{questions[i % len(questions)]} ({label} {i})" for i in count())


def _trivet_config(model: Path, engine: Mapping[str, Any]) -> dict[str, object]:
    sampling = {"max_tokens": MAX_TOKENS, "temperature": 0.0}
    variant = {"weight": 1.0, "backend": MODEL_NAME, "prompt": str(PROMPT), "sampling": sampling}
    return {
        "version": 1,
        "backends": {
            MODEL_NAME: {
                "kind": "embedded",
                "model": str(model),
                **{name: value for name, value in engine.items() if name != "enforce_eager"},  # it is, on a CPU
                "enable_lora": False,
            }
        },
        "admission": {"max_running": max(MAX_RUNNING, engine["max_num_seqs"]), "max_queued": MAX_QUEUED},
        "prompts": str(PROMPTS_FOLDER),
        "adapters": [str(ROOT / "adapters")],
        "indexes": {INDEX: str(ROOT / "indexes" / INDEX)},
        "routes": {
            PLAIN_ROUTE: {"variants": {"base": variant}},
            SEARCH_ROUTE: {"variants": {"rag": {**variant, "retrieval": {"index": INDEX, "top_k": 1}}}},
        },
    }
