"""models/demo/make.py with stages of seconds, which save and log often: it can be killed between two checkpoints.

The processes that it starts import this file too, so what is set here holds in them.
"""

from __future__ import annotations

import sys
from dataclasses import replace
from functools import partial
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2] / "models" / "demo"))

import make
import train
from scores import quick_scores

TOKENS, BATCH, WARM_UP = 5000, 192, 4
train.SAVE_EVERY, train.LOG_EVERY, train.SCORE_EVERY = 4, 1, 1 << 30
train.quick_scores = partial(quick_scores, n=2)  # type: ignore[attr-defined]
whole = make.plans


def plans(scale: float, runs: Path) -> list[train.Plan]:
    """The recipe's stages, each of a dozen steps."""
    return [replace(plan, tokens=TOKENS, batch=BATCH, warm_up=WARM_UP) for plan in whole(scale, runs)]


make.plans = plans

if __name__ == "__main__":
    make.main()
