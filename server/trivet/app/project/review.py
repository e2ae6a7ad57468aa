"""Prompt files under review, with what their variants' models and settings say of them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache, partial

from trivet.app.backend import variants_of
from trivet.app.project.rendering import longest_context
from trivet.app.prompts import chat_tokenizer
from trivet.config import Config
from trivet.config.schema import EmbeddedBackend
from trivet.errors import NotFound
from trivet.prompts.assembly.assembler import PromptAssembler
from trivet.prompts.review.placement import PromptSize, static_behind
from trivet.prompts.review.review import Use, review
from trivet.prompts.review.rules import Finding
from trivet.prompts.template.library import PromptLibrary
from trivet.prompts.template.source import PromptSource
from trivet.types.variant import Variant, VersionRef


@dataclass(frozen=True, slots=True)
class PromptReview:
    """One version. `variants`: those that it is for, as route/variant. `sizes`: one for each of their backends."""

    prompt: str
    path: str
    variants: tuple[str, ...]
    sizes: tuple[PromptSize, ...]
    findings: tuple[Finding, ...]


class PromptReviewer:
    """Reviews a project's prompts; blocks. Reads each backend's tokenizer once."""

    def __init__(self, config: Config, ignored: Iterable[str] = ()) -> None:
        """`ignored`: rules that are not applied. Raises ConfigError for prompt files that cannot be read."""
        self._config = config
        self._ignored = frozenset(ignored)
        self._library = PromptLibrary.load(config.prompts)
        self._tokenizer = cache(partial(chat_tokenizer, config))

    def reviews(self, names: Sequence[str] = ()) -> list[PromptReview]:
        """Of all versions, of those of a prompt's name, or of name@version; raises NotFound."""
        chosen = [ref for name in names for ref in self._named(name)] if names else list(self._library.refs)
        return [self.review(self._library.get(ref)) for ref in dict.fromkeys(chosen)]

    def source(self, ref: VersionRef) -> PromptSource:
        """One version as it is written; raises NotFound."""
        return self._library.get(ref)

    def review(self, source: PromptSource, backends: Iterable[str] = ()) -> PromptReview:
        """Of one version, on its variants' backends and on these; on all, if there are none."""
        uses = {
            f"{route.name}/{variant.name}": variant
            for route, variant in variants_of(self._config)
            if variant.prompt == source.ref
        }
        served = {*backends, *(variant.backend for variant in uses.values())} or set(self._config.file.backends)
        sizes = tuple(self._size(source, backend) for backend in sorted(served))
        return PromptReview(
            prompt=str(source.ref),
            path=str(source.path),
            variants=tuple(uses),
            sizes=sizes,
            findings=review(source, self._use(uses.values(), sizes)),
        )

    def prefix(self, source: PromptSource, backend: str) -> tuple[int, ...]:
        """The ids that every prompt of this version begins with."""
        return PromptAssembler(source, self._tokenizer(backend, source.raw)).prefix.token_ids

    def _named(self, name: str) -> list[VersionRef]:
        if "@" in name:
            return [self._library.get(VersionRef.parse(name)).ref]
        found = [ref for ref in self._library.refs if ref.name == name]
        if not found:
            known = ", ".join(dict.fromkeys(ref.name for ref in self._library.refs)) or "none"
            raise NotFound(f"no prompt {name!r}; known: {known}; one version is named name@version")
        return found

    def _use(self, variants: Iterable[Variant], sizes: Sequence[PromptSize]) -> Use:
        known = list(variants)
        return Use(
            sizes=sizes,
            controls=frozenset().union(*(self._tokenizer(size.backend).text.control_texts for size in sizes)),
            schemas=[variant.json_schema for variant in known if variant.json_schema is not None],
            searches=any(variant.retrieval is not None for variant in known),
            ignored=self._ignored,
        )

    def _size(self, source: PromptSource, backend: str) -> PromptSize:
        section = self._config.file.backends[backend]
        tokenizer = self._tokenizer(backend, source.raw)
        return PromptSize(
            backend=backend,
            prefix=len(self.prefix(source, backend)),
            behind=static_behind(source, lambda text: len(tokenizer.text.encode_text(text, False).ids)),
            block_size=section.block_size if isinstance(section, EmbeddedBackend) else None,
            context=section.max_model_len or longest_context(self._config.model_folder(backend)),
        )
