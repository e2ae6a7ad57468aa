"""Thoughts end where vLLM would have ended them, and a step looks at few tokens."""

from __future__ import annotations

import random
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from vllm.v1.sample.thinking_budget_state import ThinkingBudgetStateHolder

from trivet.vllm_plugin.thinking_budgets import REPLACED, mend

pytestmark = pytest.mark.process  # it imports vLLM
START, END = [5, 6], [7, 8, 9]


class Mended(ThinkingBudgetStateHolder):
    """With the plugin; vLLM's own stays as it is."""

    looked_at = 0

    @staticmethod
    def _find_last_sequence_index(target_list: list[int], token_ids: list[int]) -> int:
        Mended.looked_at += len(target_list)
        return int(ThinkingBudgetStateHolder._find_last_sequence_index(target_list, token_ids))


mend(Mended)
mend(Mended)  # a second time changes nothing


def holder(kind: Any, prompt: list[int], budget: int) -> Any:
    marks = SimpleNamespace(reasoning_start_token_ids=START, reasoning_end_token_ids=END)
    made = kind(marks, 4, 0, torch.device("cpu"), False)
    made._state[0] = made._init_state_entry(prompt, budget)
    return made


def forced(made: Any, output: list[int]) -> int | None:
    """The token that the next step has to write."""
    made.update_state([output], None)
    logits = made.apply_to_logits(torch.zeros(1, 12), False, None)
    return int(logits.argmax()) if logits.any() else None


@pytest.mark.parametrize("seed", range(12))
def test_answers_are_those_of_vllm(seed: int) -> None:
    draw = random.Random(seed)
    prompt = draw.choice([[1, 2], [1, *START], [1, *START, 2, *END]])
    budget = draw.choice([0, 3, 40, 150, 2_000])
    theirs, ours = (holder(kind, prompt, budget) for kind in (ThinkingBudgetStateHolder, Mended))
    output: list[int] = []
    coming: list[int] = []
    ends = 0
    for _ in range(700):
        expected = forced(theirs, output)
        assert forced(ours, output) == expected
        ends += expected == END[0]
        if not coming:
            coming = draw.choices([[1], START, END, [5], [7, 8]], [200, 2, 2, 1, 1])[0].copy()
        written = coming.pop(0)
        output.append(written if expected is None else expected)
        passed = ("in_think", "in_end", "think_count", "start_thinking", "end_thinking", "check_count_down")
        assert [theirs._state[0][name] for name in passed] == [ours._state[0][name] for name in passed]
    assert ends or budget == 2_000 or prompt[-1] != START[-1]


@pytest.mark.parametrize("prompt", [[1, 2], [1, *START]])
def test_a_step_of_a_long_answer_looks_at_its_end_alone(prompt: list[int]) -> None:
    made = holder(Mended, prompt, 100_000)
    output = [1] * 4_000
    forced(made, output)
    Mended.looked_at = 0
    forced(made, [*output, 1])
    assert 0 < Mended.looked_at <= 2 * (REPLACED + len(END) + 1)
