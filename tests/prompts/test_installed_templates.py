"""Every chat template that an installed package carries, against transformers."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from tests.support.engine.installed_templates import installed_templates
from tests.support.engine.template_trials import TRIALS, trials_of

# Raised when more are supported or packages bring more; never lowered without saying why.
LEAST_IDENTICAL = 340
MOST_DIFFERENT = 2
"""An assistant's `<think>` that a template writes as it stands, of a model that has a token for it: kept as text."""


def test_installed_templates_say_what_transformers_says(tmp_path: Path) -> None:
    counted: Counter[str] = Counter()
    told: list[str] = []
    for number, (name, template) in enumerate(installed_templates().items()):
        for trial, came in trials_of(template, tmp_path / str(number)):
            counted[came] += 1
            if came in ("different", "refused"):
                told.append(f"{name}, {trial.name}: {came}")
    print(f"{counted.total()} trials of {counted.total() // len(TRIALS)} templates:", dict(counted))
    print("\n".join(told))
    assert counted["refused"] == 0, told
    assert counted["different"] <= MOST_DIFFERENT, told
    assert counted["identical"] >= LEAST_IDENTICAL, counted
