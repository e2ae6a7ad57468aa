"""The prompts leg: every version that variants name, tokenized for its backend's model."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial

from trivet.app.backend import variants_of
from trivet.config import Config, schema
from trivet.errors import ConfigError
from trivet.excerpt import masked, without
from trivet.pipeline.assembly import Assemblers
from trivet.pipeline.variables import uneven_variables
from trivet.prompts.assembly.assembler import PromptAssembler
from trivet.prompts.template.library import PromptLibrary
from trivet.prompts.template.source import PromptSource, Variable
from trivet.prompts.tokenizer.chat_tokenizer import ChatTokenizer
from trivet.types.variant import Variant, VersionRef

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class PromptSet:
    """Prompts by backend and version, and the SHA-256 of each version's file."""

    assemblers: Assemblers
    digests: dict[VersionRef, str]


@dataclass(slots=True)
class ServedPrompts:
    """Grows as variants come that name others; what was served is kept, for requests that use it yet, and as it was."""

    assemblers: dict[tuple[str, VersionRef], PromptAssembler] = field(default_factory=dict)
    _digests: dict[VersionRef, str] = field(default_factory=dict)

    @classmethod
    def of(cls, config: Config) -> ServedPrompts:
        """Those of a server that starts; ConfigError if one does not fit."""
        served = cls()
        prompts = served.read(config)
        served.add(prompts)
        served.settle(prompts)
        return served

    def read(self, config: Config) -> PromptSet:
        """What the configuration's variants name and was not served before; blocks.

        Raises ConfigError for prompts that do not fit, and for a version that was served with other bytes.
        """
        library = PromptLibrary.load(config.prompts)
        named = {ref for _, variant in variants_of(config) for ref in variant.prompts}
        sources = {ref: library.get(ref) for ref in sorted(named)}
        digests = {ref: hashlib.sha256(source.path.read_bytes()).hexdigest() for ref, source in sources.items()}
        changed = [ref for ref, digest in digests.items() if self._digests.get(ref, digest) != digest]
        if changed:
            told = "changed since it is served, expected a new version: versions are immutable"
            raise ConfigError([f"{sources[ref].path}:1: {told}" for ref in changed])
        new = sorted(_named(config) - self.assemblers.keys())
        found, problems = _assemblers(config, {key: sources[key[1]] for key in new})
        if not problems:
            everything = {**self.assemblers, **found}
            problems = _problems(config, everything, sources)
        if problems:
            raise ConfigError(problems)
        return PromptSet(found, digests)

    def variables_of(self, variant: Variant) -> Mapping[str, Variable]:
        """What the prompt of a variant declares, by name."""
        return self.assemblers[variant.backend, variant.prompt].variables

    def digest(self, ref: VersionRef) -> str:
        """SHA-256 of the file of a version that is served."""
        return self._digests[ref]

    def add(self, prompts: PromptSet) -> None:
        """Let these be served."""
        self.assemblers.update(prompts.assemblers)

    def withdraw(self, prompts: PromptSet) -> None:
        """They are not served after all."""
        for key in prompts.assemblers:
            del self.assemblers[key]

    def settle(self, prompts: PromptSet) -> None:
        """They are served: from now on they never change."""
        self._digests.update(prompts.digests)


def chat_tokenizer(config: Config, backend: str, raw: bool = False) -> ChatTokenizer:
    """The tokenizer of a backend's model, with the chat template that its configuration names; `raw`: without one.

    Raises ConfigError, also for a template that any text could forge turns of and that is not allowed to be so.
    """
    if raw:
        return ChatTokenizer.load_raw(config.model_folder(backend))
    section = config.file.backends[backend]
    folder, template = config.model_folder(backend), config.chat_template(backend)
    clock = None if section.template_date is None else partial(datetime.fromisoformat, section.template_date)
    tokenizer = ChatTokenizer.load(folder, clock, template, section.chat_template_name)
    if tokenizer.plain_roles:
        told = "turns begin with plain text in this chat template, so a user's text can pretend to be another turn"
        if not section.allow_plain_roles:
            raise ConfigError([f"{template or folder}:1: {told}, expected control tokens, or allow_plain_roles: true"])
        logger.warning("backend %s: %s", backend, told)
    return tokenizer


def prompt_problems(config: Config) -> list[str]:
    """What is wrong with the prompt files, and with those that variants name for their models; blocks.

    Variants and models that are not there are told by the configuration's own check.
    """
    library, problems = PromptLibrary.load_partly(config.prompts)
    named = sorted(_named(config))
    fitting = {
        (backend, ref): library.get(ref)
        for backend, ref in named
        if ref in library.refs and _has_model(config, backend)
    }
    found, wrong = _assemblers(config, fitting)
    told = [*problems, *wrong, *_problems(config, found, {ref: library.get(ref) for ref in library.refs})]
    return [masked(without(line, [config.file.prompts])) for line in told]


def uneven_prompts(config: Config) -> list[str]:
    """A line for each variable that only some variants of a route require; blocks. Of prompts that can be read."""
    library, _ = PromptLibrary.load_partly(config.prompts)

    def variables_of(variant: Variant) -> Mapping[str, Variable]:
        return library.get(variant.prompt).variables

    whole = {
        name: route
        for name, route in config.routes.items()
        if all(variant.prompt in library.refs for variant in route.variants.values())
    }
    return list(uneven_variables(whole, variables_of))


def _named(config: Config) -> set[tuple[str, VersionRef]]:
    """By backend, the prompts that variants name."""
    return {(variant.backend, ref) for _, variant in variants_of(config) for ref in variant.prompts}


def _has_model(config: Config, backend: str) -> bool:
    return backend in config.file.backends and (config.model_folder(backend) / "config.json").is_file()


def _assemblers(
    config: Config, sources: Mapping[tuple[str, VersionRef], PromptSource]
) -> tuple[dict[tuple[str, VersionRef], PromptAssembler], list[str]]:
    """Those that fit their backend's model, and what is wrong with the others."""
    found: dict[tuple[str, VersionRef], PromptAssembler] = {}
    problems: list[str] = []
    for backend, raw in sorted({(backend, source.raw) for (backend, _), source in sources.items()}):
        try:
            tokenizer = chat_tokenizer(config, backend, raw)
        except ConfigError as error:
            problems += error.problems
            continue
        for key, source in sources.items():
            try:
                if (key[0], source.raw) == (backend, raw):
                    as_messages = not raw and _may_be_messages(config, backend)
                    found[key] = PromptAssembler(source, tokenizer, as_messages=as_messages)
                    problems += _unheeded(config, backend, source)
            except ConfigError as error:
                problems += error.problems
    return found, problems


def _may_be_messages(config: Config, backend: str) -> bool:
    section = config.file.backends[backend]
    return isinstance(section, schema.OpenAiBackend) and not section.takes_ids


def _unheeded(config: Config, backend: str, source: PromptSource) -> Iterator[str]:
    """What a prompt says that messages alone do not carry."""
    if source.template_variables and _may_be_messages(config, backend):
        told = f"has template_variables, which backend {backend} heeds with token_ids: true alone"
        yield f"{source.path}:1: {told}"
    if source.raw and _may_be_messages(config, backend):
        yield f"{source.path}:1: is raw, which backend {backend} can be asked with token_ids: true alone"


def _problems(config: Config, assemblers: Assemblers, sources: Mapping[VersionRef, PromptSource]) -> list[str]:
    """What is wrong with how variants use prompts that are right in themselves."""
    problems = [*_variable_problems(config, assemblers), *_mixed_problems(config, sources)]
    for ref in sorted({variant.rewrite.prompt for _, variant in variants_of(config) if variant.rewrite is not None}):
        source = sources.get(ref)
        if source is None:
            continue
        if source.raw:
            problems.append(
                f"{source.path}:1: is raw, expected a prompt that takes a user's message: it rewrites questions"
            )
        if open_ := [name for name, variable in source.variables.items() if variable.default is None]:
            told = f"requires {', '.join(open_)}, which nobody gives a value to: it rewrites questions"
            problems.append(f"{source.path}:1: {told}")
    return problems


def _variable_problems(config: Config, assemblers: Assemblers) -> list[str]:
    """What is wrong with variants' variables of the chat template: a template may refuse them."""
    problems: list[str] = []
    for _, variant in variants_of(config):
        assembler = assemblers.get((variant.backend, variant.prompt))
        if variant.template_variables and assembler is not None:
            try:
                assembler.check(variant.template_variables)
            except ConfigError as error:
                problems += error.problems
    return problems


def _mixed_problems(config: Config, sources: Mapping[VersionRef, PromptSource]) -> list[str]:
    """Routes that answer conversations with some variants, and continue texts with others: no request fits both."""
    problems: list[str] = []
    for name, route in config.routes.items():
        prompts = [sources[variant.prompt] for variant in route.variants.values() if variant.prompt in sources]
        raw = [source for source in prompts if source.raw]
        if raw and len(raw) < len(prompts):
            told = f"raw, and others of route {name}'s prompts are not, expected all of a route's or none"
            problems.append(f"{raw[0].path}:1: {told}")
    return problems
