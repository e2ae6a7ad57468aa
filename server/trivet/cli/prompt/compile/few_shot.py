"""Worked examples, chosen by DSPy (Khattab et al., arXiv 2310.03714): random search over given and found ones.

DSPy's program is the prompt as it is served: what it would ask a model, a candidate is asked through the gateway.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from contextlib import redirect_stdout
from dataclasses import replace
from typing import Any

import dspy  # type: ignore[import-untyped]

from trivet.cli.prompt.compile.candidate import Candidate, Shot, can_stand
from trivet.cli.prompt.compile.trials import Trials
from trivet.evaluation.data import Example


class _Prompted(dspy.Predict):  # type: ignore[misc]
    """Answers as a candidate with this object's examples does, instead of asking a model of DSPy's."""

    def __init__(self, trials: Trials, start: Candidate) -> None:
        super().__init__("question -> answer")
        self.trials = trials
        self.start = start

    def forward(self, **given: Any) -> Any:
        example: Example = given["question"]
        outcome = self.trials.outcome(with_shots(self.start, self.demos), example)
        prediction = dspy.Prediction(answer=outcome.text, outcome=outcome)
        if dspy.settings.trace is not None:
            dspy.settings.trace.append((self, {"question": example}, dspy.Prediction(answer=outcome.text)))
        return prediction


class _Program(dspy.Module):  # type: ignore[misc]
    def __init__(self, trials: Trials, start: Candidate) -> None:
        super().__init__()
        self.prompted = _Prompted(trials, start)

    def forward(self, question: Example) -> Any:
        return self.prompted(question=question)


def few_shot(
    trials: Trials,
    start: Candidate,
    training: Sequence[tuple[Example, str]],
    validation: Sequence[Example],
    *,
    shots: int,
    candidates: int,
    concurrency: int,
) -> Candidate:
    """The candidate that has most of the validation right; the start itself, if nothing beats it.

    `training`: examples with an answer that is right, of which at most `shots` become worked examples. `candidates`:
    how many sets of examples are drawn, beside none, the first ones and a bootstrapped one.
    """

    def judged(example: Any, prediction: Any, trace: Any = None) -> float:
        return trials.judged(example.question, prediction.outcome)

    usable = [(example, answer) for example, answer in training if can_stand(example.question, answer)]
    trainset = [dspy.Example(question=one, answer=answer).with_inputs("question") for one, answer in usable]
    valset = [dspy.Example(question=one).with_inputs("question") for one in validation]
    # Its words are for people, and standard output is for results. A model is asked for by none of its parts.
    with redirect_stdout(sys.stderr), dspy.context(lm=None, trace=None):
        search = dspy.BootstrapFewShotWithRandomSearch(
            metric=judged,
            metric_threshold=1.0,
            max_bootstrapped_demos=max(1, shots // 2),
            max_labeled_demos=shots,
            num_candidate_programs=candidates,
            num_threads=concurrency,
            max_errors=1,
        )
        best = search.compile(_Program(trials, start), trainset=trainset, valset=valset)
    found = with_shots(start, best.prompted.demos)
    scores = {one.digest: sum(trials.score(one, example) for example in validation) for one in (start, found)}
    return found if scores[found.digest] > scores[start.digest] else start


def with_shots(start: Candidate, demos: Sequence[Any]) -> Candidate:
    """The start's own examples where there are no others, else these in their place."""
    chosen: list[Shot] = [(demo.question.question, demo.answer) for demo in demos]
    chosen = [shot for shot in chosen if can_stand(*shot)]
    return replace(start, shots=tuple(chosen)) if chosen else start
