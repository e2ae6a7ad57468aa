"""The whole review of one prompt file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from trivet.prompts.review.characters import character_findings
from trivet.prompts.review.examples import example_findings
from trivet.prompts.review.instructions import instruction_findings
from trivet.prompts.review.placement import PromptSize, placement_findings
from trivet.prompts.review.private_data import private_findings
from trivet.prompts.review.rules import Finding
from trivet.prompts.template.source import PromptSource


@dataclass(frozen=True, slots=True)
class Use:
    """What a prompt is for.

    `controls`: the texts of its models' control tokens. `schemas`: of its variants' answers. `searches`: one of
    them has an index. `ignored`: rules that are not applied.
    """

    sizes: Sequence[PromptSize] = ()
    controls: frozenset[str] = frozenset()
    schemas: Sequence[Mapping[str, Any]] = ()
    searches: bool = False
    ignored: frozenset[str] = field(default_factory=frozenset)


def review(prompt: PromptSource, use: Use) -> tuple[Finding, ...]:
    """What there is to object to, by line; each thing once, however many backends and variants it holds for."""
    found = {
        *private_findings(prompt),
        *character_findings(prompt, use.controls),
        *example_findings(prompt, use.schemas),
        *instruction_findings(prompt, searches=use.searches, has_schema=bool(use.schemas)),
    }
    for size in use.sizes or (None,):
        found |= set(placement_findings(prompt, size))
    return tuple(sorted(finding for finding in found if finding.rule not in use.ignored))
