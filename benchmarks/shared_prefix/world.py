"""One engine on a random Llama of the demo model's size, and random adapters for it, plain and activated."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, replace
from itertools import count
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer

from benchmarks.measuring.repository import ROOT
from benchmarks.measuring.tiny_adapters import SHAPES
from benchmarks.measuring.tiny_llama import LAYERS, SPECIAL, VOCABULARY, make_model
from trivet.backends.vllm_embedded import EmbeddedVllm
from trivet.backends.vllm_settings import EmbeddedSettings
from trivet.testing.adapters import digest, random_adapter, write_adapter
from trivet.types.adapter import StagedAdapter
from trivet.types.generation import BackendRequest, Chunk
from trivet.types.variant import Sampling, VersionRef

BLOCK = 32
CONTEXT = 1024
RANK = 8
INVOCATION = (len(SPECIAL), 9)
KINDS = ("plain", "activated")
Ids = tuple[int, ...]
_NUMBERS = count()


def tokens(seed: int, size: int) -> Ids:
    """Text that stands for something: no token of the invocation."""
    draw = random.Random(seed)
    return tuple(draw.randrange(20, VOCABULARY) for _ in range(size))


@dataclass(frozen=True, slots=True)
class Answer:
    """`first`: seconds to the first token. `computed`: tokens of the prompt that were not in the cache."""

    text: str
    first: float
    cached: int
    computed: int
    preemptions: int
    chunks: tuple[Chunk, ...]


@dataclass(frozen=True)
class World:
    """The running engine, and how it is asked."""

    engine: EmbeddedVllm
    folder: Path

    async def adapter(self, name: str, kind: str, seed: int, rank: int = RANK) -> StagedAdapter:
        """A random one, loaded."""
        made = make_adapter(self.folder / "adapters" / name / "1", kind, seed, rank)
        await self.engine.load_adapter(made)
        return made

    async def ask(self, said: Ids, adapter: StagedAdapter | None = None, max_tokens: int = 1, **changes: Any) -> Answer:
        """Greedily; the invocation of an activated LoRA, and for all others the same words, end the prompt."""
        prompt = (*said, *INVOCATION)
        asked = BackendRequest(
            request_id=f"bench-{next(_NUMBERS)}",
            token_ids=prompt,
            sampling=Sampling(max_tokens=max_tokens, top_logprobs=changes.pop("top_logprobs", None)),
            adapter=None if adapter is None else adapter.engine_name,
            activated_from=len(said) if adapter is not None and adapter.invocation else None,
            **changes,
        )
        async with aclosing(self.engine.generate(asked)) as stream:
            chunks = tuple([chunk async for chunk in stream])
        times, cached = chunks[-1].times, chunks[0].cached_tokens or 0
        assert times is not None
        first = times.queue + times.prefill
        text = "".join(chunk.text for chunk in chunks)
        return Answer(text, first, cached, len(prompt) - cached, times.preemptions, chunks)


def ids_by_text(model: Path) -> dict[str, int]:
    """The token of each text that this model can write, all of which differ."""
    tokenizer = Tokenizer.from_file(str(model / "tokenizer.json"))
    return {tokenizer.decode([token]): token for token in range(tokenizer.get_vocab_size() - 1, -1, -1)}


def make_adapter(folder: Path, kind: str, seed: int, rank: int = RANK) -> StagedAdapter:
    """`folder`: `<name>/<version>`, written whole."""
    shapes = {f"model.layers.{layer}.{name}": shape for layer in range(LAYERS) for name, shape in SHAPES.items()}
    files, invocation = random_adapter(shapes, seed, rank), INVOCATION if kind == "activated" else ()
    if invocation:
        told = {"kind": "alora", "invocation": list(invocation)}
        config = files.config | {"alora_invocation_tokens": list(invocation)}
        files = replace(files, config=config, manifest=files.manifest | told)
    write_adapter(folder, files)
    return StagedAdapter(VersionRef(folder.parent.name, folder.name), digest(folder), rank, folder, invocation)


@asynccontextmanager
async def running(folder: Path, **changes: Any) -> AsyncIterator[World]:
    """A started engine in a process of its own, which is closed at the end."""
    model = folder / "model"
    if not (model / "config.json").exists():
        corpus = (ROOT / "indexes" / "handbook" / "corpus").rglob("*.*")
        make_model(model, [path.read_text() for path in sorted(corpus)], CONTEXT)
    values: dict[str, Any] = {
        "name": "bench",
        "model": model,
        "cache_folder": folder / "cache",
        "log_file": folder / "engine.log",
        "block_size": BLOCK,
        "kv_cache_memory_bytes": 128 << 20,
        "max_model_len": CONTEXT,
        "max_num_seqs": 32,
        "max_loras": 4,
        "max_cpu_loras": 40,
        "max_lora_rank": RANK,
    }
    engine = EmbeddedVllm(EmbeddedSettings(**(values | changes)))
    await engine.start()
    try:
        yield World(engine, folder)
    finally:
        await engine.close()
