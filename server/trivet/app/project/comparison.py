"""What changes from one version of a prompt to another."""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal

from trivet.app.backend import variants_of
from trivet.app.project.review import PromptReview, PromptReviewer
from trivet.config import Config
from trivet.prompts.assembly.plan import common_beginning
from trivet.prompts.review.placement import PromptSize
from trivet.prompts.review.rules import Finding
from trivet.prompts.template.source import PromptSource
from trivet.types.variant import VersionRef


@dataclass(frozen=True, slots=True)
class CacheChange:
    """What a new version does to the KV cache of one backend.

    `kept`: how many tokens of the new prefix the old one's full blocks hold already. `saving`: USD for a million input
    tokens that are cached, rather than computed; None without prices.
    """

    before: PromptSize
    after: PromptSize
    kept: int
    saving: Decimal | None

    @property
    def lost(self) -> int:
        """Tokens that each request finds cached no longer; less than 0 if it finds more."""
        return self.before.cached - self.after.cached

    @property
    def lost_usd(self) -> Decimal | None:
        """What that costs for a thousand requests."""
        return None if self.saving is None else self.saving * self.lost / 1000


@dataclass(frozen=True, slots=True)
class PromptComparison:
    """Two versions of a prompt. `text`: lines of a unified diff. `variables`: what changes for those who send requests.

    `gone` and `new`: findings of the one that the other has not, wherever they stand.
    """

    before: PromptReview
    after: PromptReview
    text: tuple[str, ...]
    variables: tuple[str, ...]
    caches: tuple[CacheChange, ...]
    gone: tuple[Finding, ...]
    new: tuple[Finding, ...]


def compare(config: Config, before: VersionRef, after: VersionRef) -> PromptComparison:
    """Raises NotFound for versions that are not there, ConfigError for files that cannot be read; blocks."""
    reviewer = PromptReviewer(config)
    old, new = reviewer.source(before), reviewer.source(after)
    backends = {variant.backend for _, variant in variants_of(config) if variant.prompt in (before, after)}
    one, other = reviewer.review(old, backends), reviewer.review(new, backends)
    caches = []
    for size, changed in zip(one.sizes, other.sizes, strict=True):
        ids, later = (list(reviewer.prefix(source, size.backend)) for source in (old, new))
        kept = len(common_beginning(ids, later)) // (size.block_size or 1) * (size.block_size or 1)
        caches.append(CacheChange(size, changed, kept, _saving(config, size.backend)))
    return PromptComparison(
        before=one,
        after=other,
        text=tuple(_difference(old, new)),
        variables=tuple(_variables(old, new)),
        caches=tuple(caches),
        gone=_only_in(one, other),
        new=_only_in(other, one),
    )


def _only_in(one: PromptReview, other: PromptReview) -> tuple[Finding, ...]:
    known = {(finding.rule, finding.text) for finding in other.findings}
    return tuple(finding for finding in one.findings if (finding.rule, finding.text) not in known)


def _saving(config: Config, backend: str) -> Decimal | None:
    price = config.file.prices.get(backend)
    if price is None:
        return None
    return Decimal(str(price.input_per_million_tokens)) - Decimal(str(price.cached_per_million_tokens))


def _difference(old: PromptSource, new: PromptSource) -> Iterator[str]:
    one, other = (source.path.read_text(encoding="utf-8-sig").splitlines() for source in (old, new))
    return difflib.unified_diff(one, other, str(old.ref), str(new.ref), lineterm="")


def _variables(old: PromptSource, new: PromptSource) -> Iterator[str]:
    for name in sorted(new.variables.keys() - old.variables.keys()):
        needed = new.variables[name].default is None
        yield f"{name} is new" + (", and every request has to give it" if needed else "")
    for name in sorted(old.variables.keys() - new.variables.keys()):
        yield f"{name} is gone: requests that give it are refused, unless another variant of the route declares it"
    for name in sorted(new.variables.keys() & old.variables.keys()):
        one, other = old.variables[name].default, new.variables[name].default
        if one is not None and other is None:
            yield f"{name} has no default any more: every request has to give it"
        elif one != other:
            yield f"{name} has another default"
