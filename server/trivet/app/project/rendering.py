"""A prompt as the model gets it, made by the code that serves it, without a model."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer

from trivet.app.prompts import chat_tokenizer
from trivet.config import Config
from trivet.config.schema import EmbeddedBackend
from trivet.errors import FailedPrecondition, NotFound
from trivet.pipeline.variables import route_variables
from trivet.prompts.assembly.assembler import PromptAssembler
from trivet.prompts.template.library import PromptLibrary
from trivet.types.passage import Passage
from trivet.types.request import Message
from trivet.types.variant import Variant, VersionRef

MAX_TOKENS = 16  # room for an answer, where no variant says how much


@dataclass(frozen=True, slots=True)
class Rendered:
    """What the model is told. `text` is what `token_ids` decode to, and `prefix_text` what the prefix's do.

    `block_size`: tokens per block of the KV cache, None where the engine chooses it. `context_tokens`: what the model
    takes. `dropped`: how many of the passages found no room.
    """

    prompt: str
    variant: str
    backend: str
    token_ids: tuple[int, ...]
    text: str
    prefix_tokens: int
    prefix_text: str
    block_size: int | None
    context_tokens: int
    dropped: int


def render(
    config: Config,
    name: str,
    *,
    variant: str = "",
    question: str,
    variables: Mapping[str, str],
    passages: Sequence[str] = (),
) -> Rendered:
    """Assemble the prompt of a route's variant, or of a prompt (name@version), with this question; blocks.

    Raises NotFound for unknown names, FailedPrecondition if the route has several variants and none is named, and what
    assembling raises.
    """
    chosen = _choose(config, name, variant)
    backend, ref, label = chosen.backend, chosen.prompt, chosen.label
    section = config.file.backends[backend]
    folder = config.model_folder(backend)
    library = PromptLibrary.load(config.prompts)
    route = config.routes.get(label.partition("/")[0])
    also_known = () if route is None else route_variables(route, lambda item: library.get(item.prompt).variables)
    source = library.get(ref)
    assembler = PromptAssembler(source, chat_tokenizer(config, backend, source.raw))
    context = section.max_model_len or longest_context(folder)
    found = [Passage(f"{n}", f"passage-{n}", "", text, 1.0, 1) for n, text in enumerate(passages, start=1)]
    made = assembler.assemble(
        [Message("user", question)],
        context_tokens=context,
        max_tokens=chosen.max_tokens,
        variables=variables,
        also_known=also_known,
        passages=found,
        template_variables=chosen.template_variables,
    )
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    prefix = list(made.token_ids[: made.prefix_tokens])
    return Rendered(
        prompt=str(ref),
        variant=label,
        backend=backend,
        token_ids=made.token_ids,
        text=tokenizer.decode(list(made.token_ids), skip_special_tokens=False),
        prefix_tokens=made.prefix_tokens,
        prefix_text=tokenizer.decode(prefix, skip_special_tokens=False),
        block_size=section.block_size if isinstance(section, EmbeddedBackend) else None,
        context_tokens=context,
        dropped=len(made.dropped),
    )


@dataclass(frozen=True, slots=True)
class _Chosen:
    """`label`: the variant's name, empty for a prompt alone. `max_tokens`: room for the answer."""

    backend: str
    prompt: VersionRef
    label: str = ""
    max_tokens: int = MAX_TOKENS
    template_variables: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def of(cls, route: str, variant: Variant) -> _Chosen:
        label, room = f"{route}/{variant.name}", variant.sampling.max_tokens
        return cls(variant.backend, variant.prompt, label, room, variant.template_variables)


def _choose(config: Config, name: str, variant: str) -> _Chosen:
    if "@" in name:
        ref = VersionRef.parse(name)
        for route in config.routes.values():
            for item in route.variants.values():
                if item.prompt == ref:
                    return _Chosen.of(route.name, item)
        return _Chosen(next(iter(config.file.backends)), ref)
    if name not in config.routes:
        raise NotFound(f"no route {name!r}; known: {', '.join(config.routes)}; a prompt is named name@version")
    variants = config.routes[name].variants
    if not variant and len(variants) > 1:
        raise FailedPrecondition(f"route {name} has {len(variants)} variants, name one of: {', '.join(variants)}")
    key = variant or next(iter(variants))
    if key not in variants:
        raise NotFound(f"route {name} has no variant {key!r}; known: {', '.join(variants)}")
    return _Chosen.of(name, variants[key])


def longest_context(folder: Path) -> int:
    """What the model's own configuration says of its context; the engine reads the same field."""
    told = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    for name in ("max_position_embeddings", "n_positions", "max_seq_len", "seq_length"):
        if isinstance(told.get(name), int):
            return int(told[name])
    raise FailedPrecondition(f"{folder}/config.json does not say how long a prompt may be: set max_model_len")
