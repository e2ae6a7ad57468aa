"""The system text, rewritten by GEPA (Agrawal et al., arXiv 2507.19457): a capable model reflects on errors."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import redirect_stdout
from dataclasses import dataclass, replace
from typing import Any

from gepa.api import optimize
from gepa.core.adapter import EvaluationBatch

from trivet.cli.prompt.compile.candidate import Candidate, placeholders
from trivet.cli.prompt.compile.trials import Trials
from trivet.evaluation.data import Example
from trivet.evaluation.outcomes import Outcome

_SYSTEM = "system"
_MINIBATCH = 4  # answers that are reflected on at a time
Told = Callable[[Example], str]
"""From an example to a right answer."""


@dataclass(frozen=True, slots=True)
class _Seen:
    example: Example
    outcome: Outcome
    right: float


class _Asking:
    """GEPA's adapter: the prompt with another system text, asked through the gateway."""

    propose_new_texts = None  # GEPA's own way of asking for a better text

    def __init__(self, trials: Trials, start: Candidate, told: Told, concurrency: int) -> None:
        self._trials = trials
        self._start = start
        self._told = told
        self._concurrency = concurrency

    def evaluate(self, batch: list[Example], candidate: dict[str, str], capture_traces: bool = False) -> Any:
        """A text that could not stand in the prompt's file, or lost a variable, is right in nothing."""
        text = candidate[_SYSTEM]
        if fits(self._start, text):
            changed = replace(self._start, system=text)
            with ThreadPoolExecutor(self._concurrency) as pool:
                outcomes = list(pool.map(lambda one: self._trials.outcome(changed, one), batch))
        else:
            outcomes = [
                Outcome("", "", one.id, "", error="the instructions lost a variable, or have one more") for one in batch
            ]
        scores = [self._trials.judged(one, outcome) for one, outcome in zip(batch, outcomes, strict=True)]
        seen = [_Seen(*each) for each in zip(batch, outcomes, scores, strict=True)] if capture_traces else None
        return EvaluationBatch(outputs=outcomes, scores=scores, trajectories=seen)

    def make_reflective_dataset(
        self, candidate: dict[str, str], eval_batch: Any, components_to_update: list[str]
    ) -> Mapping[str, Sequence[Mapping[str, Any]]]:
        """What the reflecting model is shown of each answer."""
        rows = [
            {
                "Inputs": {"question": one.example.question},
                "Generated Outputs": one.outcome.text or one.outcome.error,
                "Feedback": "right" if one.right else f"wrong; a right answer: {self._told(one.example)}",
            }
            for one in eval_batch.trajectories
        ]
        return dict.fromkeys(components_to_update, rows)


def instructions(
    trials: Trials,
    start: Candidate,
    training: Sequence[Example],
    validation: Sequence[Example],
    *,
    told: Told,
    calls: int,
    concurrency: int,
) -> Candidate:
    """The candidate with the system text that has most of the validation right; the start, if nothing beats it.

    `calls`: answers that are judged, at most and about.
    """
    adapter: Any = _Asking(trials, start, told, concurrency)  # what these are, GEPA says by protocols of its own
    reflect: Any = trials.reflect
    with redirect_stdout(sys.stderr):
        found: Any = optimize(
            seed_candidate={_SYSTEM: start.system},
            trainset=list(training),
            valset=list(validation),
            adapter=adapter,
            reflection_lm=reflect,
            reflection_minibatch_size=min(_MINIBATCH, len(training)),
            max_metric_calls=calls,
        )
    text = found.best_candidate[_SYSTEM]
    return replace(start, system=text) if fits(start, text) else start


def fits(start: Candidate, text: str) -> bool:
    """Whether a system text can stand in the start's file: it has the same variables, and no mark of a section."""
    marks = any(line.lstrip().startswith("<!--") for line in text.split("\n"))
    braces = text.count("{{") == len(_spans(text))
    return bool(text.strip()) and not marks and braces and placeholders(text) == placeholders(start.system)


def _spans(text: str) -> list[str]:
    return [part for part in text.split("{{")[1:] if part.split("}}")[0].strip().isidentifier() and "}}" in part]
