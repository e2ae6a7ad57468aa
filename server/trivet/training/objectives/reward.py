"""GRPO (Shao et al., DeepSeekMath, arXiv 2402.03300): of several answers to a prompt the better ones, likelier.

Each step draws its answers from the model that it changes and uses them once, so that the ratio of the two policies is
1 and needs no clipping. There is no penalty for leaving the reference. As in DAPO (Yu et al., arXiv 2503.14476) every
token of a step counts the same, and prompts whose answers all have the same reward teach nothing and cost no backward
pass.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from trivet.evaluation.data import Example as Asked
from trivet.training.batch import pad
from trivet.training.chats import Example
from trivet.training.objectives.answer_logits import answer_logits
from trivet.training.objectives.objective import Part
from trivet.training.objectives.rewards import Judge
from trivet.training.objectives.sampling import draw
from trivet.training.order import Order
from trivet.training.recipe import Recipe

_EVEN = 1e-4  # added to the spread of a group's rewards


@dataclass(frozen=True, slots=True)
class Prompt:
    """Token ids up to where the answer begins, and what is right about the answer."""

    ids: Sequence[int]
    asked: Asked


@dataclass(frozen=True, slots=True)
class _Drawn:
    """Answers to one prompt; `advantages`: how much better each was than the others, in spreads."""

    prompt: Prompt
    answers: list[list[int]]
    advantages: Any


class Rewarding:
    """Raises the likelihood of what was rewarded above the mean of its group, and lowers that of the others."""

    def __init__(
        self,
        prompts: Sequence[Prompt],
        recipe: Recipe,
        judge: Judge,
        decode: Callable[[Sequence[int]], str],
        ends: Collection[int],
        *,
        padding: int,
        weights: Sequence[int] = (),
    ) -> None:
        """`decode`: from an answer's ids to its text. `ends`: tokens that end one. ValueError without a prompt."""
        lengths = [recipe.group * (len(prompt.ids) + recipe.max_new_tokens) for prompt in prompts]
        self.order = Order(lengths, tokens=recipe.batch_tokens, seed=recipe.seed, weights=weights)
        self._prompts = prompts
        self._recipe = recipe
        self._judge = judge
        self._decode = decode
        self._ends = ends
        self._padding = padding
        self._figures: Mapping[str, float] = {}

    def parts(self, model: Any) -> Iterator[Part]:
        """Answers for all prompts of the step, then a part for each whose answers differ in their rewards."""
        indexes = [index for _ in range(self._recipe.accumulation) for index in self.order.next()]
        drawn: list[_Drawn] = []
        rewards: list[float] = []
        for index in indexes:
            one, found = self._draw(model, self._prompts[index])
            drawn.append(one)
            rewards += found
        telling = [one for one in drawn if bool(one.advantages.any())]
        self._figures = {"reward": sum(rewards) / len(rewards), "telling": len(telling) / len(drawn)}
        tokens = sum(len(answer) for one in telling for answer in one.answers)
        model.train()
        for one in telling:
            yield self._part(model, one, tokens)

    def figures(self) -> Mapping[str, float]:
        """`reward`: the step's mean. `telling`: the share of its prompts whose answers were rewarded differently."""
        return self._figures

    def rewards(self, model: Any, prompts: Sequence[Prompt], on_answer: Callable[[bool], None]) -> list[float]:
        """Of the likeliest answer to each."""
        found = []
        for prompt in prompts:
            [answer] = self._answers(model, prompt, 1, 0.0)
            found.append(self._judge.reward(prompt.asked, self._decode(answer)))
            on_answer(found[-1] == 1.0)
        return found

    def drawn_rewards(self, model: Any, prompts: Sequence[Prompt], on_prompt: Callable[[bool], None]) -> list[float]:
        """For each the mean over a group of drawn answers: what a step makes larger. By a seed for each prompt."""
        found = []
        for number, prompt in enumerate(prompts):
            torch.manual_seed(self._recipe.seed + number)
            rewards = self._draw(model, prompt)[1]
            found.append(sum(rewards) / len(rewards))
            on_prompt(found[-1] == 1.0)
        return found

    def _answers(self, model: Any, prompt: Prompt, count: int, temperature: float) -> list[list[int]]:
        limit = min(self._recipe.max_new_tokens, model.config.max_position_embeddings - len(prompt.ids))
        answers: list[list[int]] = draw(model, prompt.ids, count, limit=limit, temperature=temperature, ends=self._ends)
        return answers

    def _draw(self, model: Any, prompt: Prompt) -> tuple[_Drawn, list[float]]:
        answers = self._answers(model, prompt, self._recipe.group, self._recipe.temperature)
        found = [self._judge.reward(prompt.asked, self._decode(answer)) for answer in answers]
        return _Drawn(prompt, answers, _advantages(torch.tensor(found))), found

    def _part(self, model: Any, one: _Drawn, tokens: int) -> Part:
        shown = len(one.prompt.ids)
        examples = [
            Example([*one.prompt.ids, *answer], [False] * shown + [True] * len(answer)) for answer in one.answers
        ]
        batch = pad(examples, self._padding)
        found = answer_logits(model, batch)
        gains = one.advantages.to(found.rows.device)[found.rows]
        loss = -(gains * found.log_likelihoods(self._recipe.temperature)).sum() / tokens
        return Part(loss, int(batch.mask.sum()))


def _advantages(rewards: Any) -> Any:
    if bool((rewards == rewards[0]).all()):
        return torch.zeros_like(rewards)
    return (rewards - rewards.mean()) / (rewards.std() + _EVEN)
