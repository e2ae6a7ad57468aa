"""What a training brought, on what it never saw: by its own objective, against the model that it began with."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from torch.nn import functional

from trivet.evaluation.statistics import Bootstrap, percentile_interval
from trivet.training.chats import padding
from trivet.training.files.json_lines import Located
from trivet.training.job import Watcher
from trivet.training.lora import Training
from trivet.training.material import Material
from trivet.training.objectives.objective import Objective
from trivet.training.objectives.preference import advantages
from trivet.training.objectives.reward import Rewarding
from trivet.training.score import Score, score


def score_held_out(
    training: Training, objective: Objective, material: Material, rows: Sequence[Located], watcher: Watcher
) -> Mapping[str, Any]:
    """Plain data, with intervals; `base`: the same of the model that the training began with."""
    if training.recipe.objective == "dpo":
        return _preferences(training, material, watcher)
    if isinstance(objective, Rewarding):
        return _rewards(training, objective, material, watcher)
    return _answers(training, material, rows, watcher)


def _answers(training: Training, material: Material, rows: Sequence[Any], watcher: Watcher) -> Mapping[str, Any]:
    chats = [located.chat for located in rows]

    def scored(stage: str) -> Mapping[str, Any]:
        teller = _teller(watcher, stage, len(chats))
        return score(training.model, material.tokenizer, chats, teller, material.invocation).as_data()

    adapted = scored("scoring the adapter")
    with training.model.disable_adapter():
        return {**adapted, "base": scored("scoring the bare base")}


def _preferences(training: Training, material: Material, watcher: Watcher) -> Mapping[str, Any]:
    """`right`: pairs whose chosen answer is the likelier one. `loss` and by how much it `fell`, of the objective."""

    def asked(stage: str) -> Any:
        watcher.begin(stage, len(material.held_out))

        def on_pairs(count: int) -> None:
            for _ in range(count):
                watcher.advance()

        tokens = training.recipe.batch_tokens
        return advantages(training.model, material.held_out, padding(material.tokenizer), tokens, on_pairs)

    after = asked("scoring the adapter")
    with training.at_start():
        before = asked("scoring what it began with")
    losses = -functional.logsigmoid(training.recipe.beta * (after - before))
    told = Score(int((after > 0).sum()), len(after)).as_data()
    told["loss"] = round(float(losses.mean()), 5)
    told["fell"] = mean_of(math.log(2) - losses.double().numpy())
    return {**told, "base": Score(int((before > 0).sum()), len(before)).as_data()}


def _rewards(training: Training, objective: Rewarding, material: Material, watcher: Watcher) -> Mapping[str, Any]:
    """`reward`: the mean of the likeliest answers'. `drawn`: that of answers that are drawn, which is the objective.
    `gained` and `drawn_gained`: against the model that the training began with."""

    def rewarded(stage: str) -> Mapping[str, Any]:
        teller = _teller(watcher, stage, 2 * len(material.held_out))
        likeliest = objective.rewards(training.model, material.held_out, teller)
        drawn = objective.drawn_rewards(training.model, material.held_out, teller)
        return {"reward": np.array(likeliest), "drawn": np.array(drawn)}

    after = rewarded("scoring the adapter")
    with training.at_start():
        before = rewarded("scoring what it began with")
    return {
        **{name: mean_of(values) for name, values in after.items()},
        "gained": mean_of(after["reward"] - before["reward"]),
        "drawn_gained": mean_of(after["drawn"] - before["drawn"]),
        "base": {name: mean_of(values) for name, values in before.items()},
    }


def mean_of(values: Any) -> Mapping[str, float]:
    """The mean with its 95% bootstrap interval."""
    found = percentile_interval(Bootstrap(len(values)).means(values))
    assert found is not None
    told = {"mean": float(values.mean()), "low": found.low, "high": found.high}
    return {name: round(value, 4) for name, value in told.items()}


def _teller(watcher: Watcher, stage: str, total: int) -> Callable[[bool], None]:
    watcher.begin(stage, total)
    hits = [0]

    def on_answer(hit: bool) -> None:
        hits[0] += hit
        watcher.advance(f"{hits[0]} right")

    return on_answer
