"""What is made better, by which gradients: on a tiny model, with few steps."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.nn import functional
from transformers import AutoTokenizer

from trivet.training.batch import pad
from trivet.training.chats import Chat, Example, encode, render
from trivet.training.lora import Training, attach
from trivet.training.objectives.answer_logits import answer_logits
from trivet.training.objectives.imitation import Imitation
from trivet.training.objectives.preference import Pair, Preference, advantages
from trivet.training.objectives.reward import Prompt, Rewarding
from trivet.training.objectives.rewards import Judge, cited
from trivet.training.objectives.sampling import draw
from trivet.training.recipe import Recipe, Rewarded

pytestmark = pytest.mark.process

SCHEMA = {"type": "object", "required": ["answer"], "additionalProperties": False, "properties": {"answer": {}}}


@pytest.fixture(scope="module")
def tokenizer(base: Path) -> Any:
    return AutoTokenizer.from_pretrained(base)


def chat(question: str, answer: str) -> Chat:
    return [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]


def examples(tokenizer: Any) -> list[Example]:
    return [encode(tokenizer, chat(f"{n} and one, {'please' * (n % 3)}?", f"{n + 1}")) for n in range(8)]


def gradients(model: Any) -> dict[str, Any]:
    return {name: weight.grad.clone() for name, weight in model.named_parameters() if weight.grad is not None}


def test_only_positions_of_answers_get_logits_and_they_are_the_models_own(base: Path, tokenizer: Any) -> None:
    model = attach(base, Recipe(), "tiny")
    batch = pad(examples(tokenizer), 0)
    seen: list[int] = []
    head = model.get_output_embeddings()
    handle = head.register_forward_hook(lambda _, inputs, output: seen.append(output.shape[:-1].numel()))
    found = answer_logits(model, batch)
    handle.remove()
    whole = model(input_ids=batch.ids, attention_mask=batch.mask).logits[:, :-1]
    wanted = batch.labels[:, 1:] != -100
    assert seen == [int(wanted.sum())]
    assert seen[0] < batch.ids.numel() / 4
    assert torch.allclose(found.logits, whole[wanted], atol=1e-5)
    assert torch.equal(found.labels, batch.labels[:, 1:][wanted])
    by_example = [functional.log_softmax(whole.detach(), -1)[row][wanted[row]] for row in range(len(batch.ids))]
    expected = [
        float(logs.gather(-1, batch.labels[row, 1:][wanted[row]].unsqueeze(-1)).sum())
        for row, logs in enumerate(by_example)
    ]
    assert found.by_example(len(batch.ids)).tolist() == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize(
    ("accumulation", "checkpointing"), [(4, False), (1, True)], ids=["several batches", "checkpointing"]
)
def test_a_step_has_the_same_gradients_however_it_is_divided(
    base: Path, tokenizer: Any, accumulation: int, checkpointing: bool
) -> None:
    def of(recipe: Recipe, taken: int) -> dict[str, Any]:
        model = attach(base, recipe, "tiny")
        for name, weight in model.named_parameters():
            if "lora_B" in name:
                torch.nn.init.constant_(weight, 0.01)  # else half of the gradients are 0
        model.train()
        objective = Imitation(examples(tokenizer)[:8], recipe, padding=0)
        for part in objective.parts(model):
            part.loss.backward()
            taken -= 1
        assert taken == 0
        return gradients(model)

    whole = of(Recipe(batch_tokens=4096), 1)
    size = 4096 if accumulation == 1 else 2 * max(len(example.ids) for example in examples(tokenizer))
    parted = of(Recipe(batch_tokens=size, accumulation=accumulation, checkpointing=checkpointing), accumulation)
    assert whole.keys() == parted.keys()
    for name, expected in whole.items():
        assert float((parted[name] - expected).norm() / expected.norm()) < 1e-3, name


def test_dpo_makes_the_chosen_answer_likelier_against_the_rejected_one(base: Path, tokenizer: Any) -> None:
    recipe = Recipe(objective="dpo", steps=12, warm_up=2, lr=5e-3, batch_tokens=256)
    pairs = [
        Pair(*(encode(tokenizer, chat(f"{n} and one?", text)) for text in (f"{n + 1}", f"it is {n}"))) for n in range(6)
    ]
    model = attach(base, recipe, "tiny")
    before = advantages(model, pairs, 0, 256)
    training = Training(model, Preference(pairs, recipe, model, padding=0), recipe)
    training.step()
    assert training.loss == pytest.approx(0.6931, abs=1e-3)  # log 2: nothing is preferred to what one began with
    for _ in range(11):
        training.step()
    after = advantages(model, pairs, 0, 64)
    assert (after > before).all()
    assert training.figures["preferred"] > 0.7
    with training.at_start():
        assert torch.allclose(advantages(model, pairs, 0, 256), before, atol=1e-5)
    assert torch.allclose(advantages(model, pairs, 0, 64), after)


def two_minded(base: Path, tokenizer: Any, recipe: Recipe) -> tuple[Any, Prompt]:
    """A model that answers 2 about as often as 3, and a prompt of which 3 is the right answer."""
    taught = [encode(tokenizer, chat("how many?", answer)) for answer in "23"]
    start = Recipe(steps=40, warm_up=2, lr=2e-2, batch_tokens=64)
    training = Training(attach(base, start, "tiny"), Imitation(taught, start, padding=0), start)
    for _ in range(start.steps):
        training.step()
    asked = Judge(recipe.rewarded).asked("1", "how many?", "3")
    return training.model, Prompt(render(tokenizer, chat("how many?", "3")[:1], prompt=True), asked)


def test_grpo_makes_rewarded_answers_likelier_and_a_group_without_a_difference_teaches_nothing(
    base: Path, tokenizer: Any
) -> None:
    rewarded = Rewarded(("label_accuracy",), labels=("2", "3"))
    recipe = Recipe(objective="grpo", steps=15, warm_up=0, lr=3e-3, group=16, max_new_tokens=1, rewarded=rewarded)
    model, prompt = two_minded(base, tokenizer, recipe)
    objective = Rewarding([prompt], recipe, Judge(rewarded), tokenizer.decode, (), padding=0)
    training = Training(model, objective, recipe)
    torch.manual_seed(5)
    training.step()
    first = training.figures["reward"]
    assert 0.1 < first < 0.9
    while training.done < recipe.steps:
        training.step()
    draws = draw(model, prompt.ids, 100, limit=1, temperature=1.0, ends=())
    assert sum(tokenizer.decode(answer) == "3" for answer in draws) / 100 > max(0.9, first)
    assert objective.rewards(model, [prompt], lambda hit: None) == [1.0]
    sure = Rewarding([prompt], recipe, Judge(rewarded), lambda ids: "3", (), padding=0)
    assert list(sure.parts(model)) == []
    assert sure.figures() == {"reward": 1.0, "telling": 0.0}


def test_answers_are_drawn_as_transformers_generates_them(base: Path, tokenizer: Any) -> None:
    model = attach(base, Recipe(), "tiny").eval()
    ids = render(tokenizer, chat("who is there?", "x")[:1], prompt=True)
    made = model.generate(input_ids=torch.tensor([ids]), max_new_tokens=12, do_sample=False, eos_token_id=None)
    greedy = made[0, len(ids) :].tolist()
    assert draw(model, ids, 3, limit=12, temperature=0.0, ends=()) == [greedy] * 3
    end = greedy[4]
    assert draw(model, ids, 2, limit=12, temperature=0.0, ends={end}) == [greedy[: greedy.index(end) + 1]] * 2
    torch.manual_seed(1)
    one = draw(model, ids, 8, limit=12, temperature=1.0, ends=())
    assert len({tuple(answer) for answer in one}) > 1
    torch.manual_seed(1)
    assert draw(model, ids, 8, limit=12, temperature=1.0, ends=()) == one


JSON = Rewarded(("exact_match", "format_valid", "says_unknown"), SCHEMA, unknown=("no idea",))
LABELS = Rewarded(("label_accuracy", "format_valid"), labels=("billing", "login"))
CITED = Rewarded(("exact_match", "cited_right"))


@pytest.mark.parametrize(
    ("rewarded", "right", "text", "reward"),
    [
        (JSON, '{"answer": "12"}', '{"answer": "12"}', 1.0),
        (JSON, '{"answer": "12"}', "12", 0.5),
        (JSON, '{"answer": "12"}', '{"answer": "13"}', 0.5),
        (JSON, '{"answer": "12"}', "13", 0.0),
        (JSON, '{"answer": "no idea"}', '{"answer": "no idea"}', 1.0),
        (JSON, '{"answer": "no idea"}', '{"answer": "12"}', 0.5),
        (LABELS, "billing", "billing", 1.0),
        (LABELS, "billing", "Billing.", 0.5),
        (LABELS, "billing", "login", 0.5),
        (LABELS, "billing", "the bill", 0.0),
        (CITED, "12 [doc/a]", "12 [doc/a]", 1.0),
        (CITED, "12 [doc/a]", "13 [doc/a]", 0.5),
        (CITED, "12 [doc/a]", "13 [doc/b]", 0.0),
    ],
)
def test_a_reward_is_the_share_of_judgements_that_hold(
    rewarded: Rewarded, right: str, text: str, reward: float
) -> None:
    judge = Judge(rewarded)
    assert judge.reward(judge.asked("1", "what?", right, ("doc/a",)), text) == reward


def test_a_chat_that_no_reward_applies_to_is_refused() -> None:
    with pytest.raises(ValueError, match="none of the rewards says_unknown applies to it"):
        Judge(Rewarded(("says_unknown",), unknown=("no idea",))).asked("1", "what?", "12")


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("it is so [a] and [b/c]", ("a", "b/c")),
        ('{"documents": ["a", 3, "b"]}', ("a", "b")),
        ('{"document": "a"}', ("a",)),
        ("[" * 5000, ()),
        ("", ()),
    ],
)
def test_citations_are_read_out_of_an_answer(text: str, named: tuple[str, ...]) -> None:
    assert cited(text) == named


TELLING: list[tuple[str, Callable[[Any], bool]]] = [
    ("rslora", lambda config: config.use_rslora and not config.use_dora),
    ("dora", lambda config: config.use_dora and not config.use_rslora),
    ("lora", lambda config: not config.use_dora and not config.use_rslora),
]


@pytest.mark.parametrize(("method", "holds"), TELLING, ids=[name for name, _ in TELLING])
def test_a_method_is_what_peft_calls_by_its_name_and_learns(
    base: Path, tokenizer: Any, method: Any, holds: Callable[[Any], bool]
) -> None:
    recipe = Recipe(method=method, steps=8, warm_up=2, lr=5e-3, batch_tokens=512)
    model = attach(base, recipe, "tiny")
    assert holds(model.peft_config["default"])
    training = Training(model, Imitation(examples(tokenizer), recipe, padding=0), recipe)
    training.step()
    first = training.loss
    while training.done < recipe.steps:
        training.step()
    assert training.loss < first
