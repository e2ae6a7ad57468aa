"""What is learned of a chat, in which order, and that a training can be left at any step."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from trivet.errors import FailedPrecondition
from trivet.training.chats import (
    Chat,
    Example,
    encode,
    encode_answers,
    generation_prompt,
    last_occurrence,
    question_prompt,
    render,
)
from trivet.training.folder import fingerprint
from trivet.training.lora import Training, attach
from trivet.training.objectives.imitation import Imitation
from trivet.training.order import POOL, Position
from trivet.training.recipe import Recipe
from trivet.training.score import SPARE, Score, answer, score

pytestmark = pytest.mark.process

CHAT: Chat = [
    {"role": "system", "content": "be short"},
    {"role": "user", "content": "two?"},
    {"role": "assistant", "content": "2"},
    {"role": "user", "content": "and three?"},
    {"role": "assistant", "content": "3"},
]


@pytest.fixture(scope="module")
def tokenizer(base: Path) -> Any:
    return AutoTokenizer.from_pretrained(base)


def learned(tokenizer: Any, example: Example) -> str:
    ids = [token for token, wanted in zip(example.ids, example.learned, strict=True) if wanted]
    text: str = tokenizer.decode(ids)
    return text


def test_only_what_the_assistant_says_is_learned(tokenizer: Any) -> None:
    assert learned(tokenizer, encode(tokenizer, CHAT)) == "2</s>3</s>"


def test_a_turn_that_is_only_shown_is_not_learned(tokenizer: Any) -> None:
    shown: Chat = [*CHAT[:2], {"role": "assistant", "content": "2", "learned": False}, *CHAT[3:]]
    example = encode(tokenizer, shown)
    assert example.ids == encode(tokenizer, CHAT).ids
    assert learned(tokenizer, example) == "3</s>"


def test_a_chat_must_end_with_the_assistant(tokenizer: Any) -> None:
    with pytest.raises(ValueError, match="ends with an assistant message"):
        encode(tokenizer, CHAT[:2])


def test_a_template_that_changes_earlier_turns_is_refused(base: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(base)
    tokenizer.chat_template = "{{ messages | length }}" + tokenizer.chat_template
    with pytest.raises(ValueError, match="renders message 2 otherwise when more follows"):
        encode(tokenizer, CHAT)


def numbered(count: int) -> list[Example]:
    """Examples of 2 to 11 tokens that tell which they are."""
    return [Example([index, *[1] * (1 + index % 10)], [False, *[True] * (1 + index % 10)]) for index in range(count)]


def feed(examples: list[Example], tokens: int = 64, seed: int = 1, weights: list[int] | None = None) -> Imitation:
    return Imitation(examples, Recipe(batch_tokens=tokens, seed=seed), padding=0, weights=weights or [])


def rows(taken: Imitation, count: int) -> list[int]:
    found: list[int] = []
    while len(found) < count:
        found += taken.batch().ids[:, 0].tolist()
    return found


def test_batches_stay_within_their_tokens_and_pad_without_labels() -> None:
    taken = feed(numbered(100))
    for _ in range(30):
        batch = taken.batch()
        assert batch.ids.numel() <= 64
        assert (batch.labels[batch.mask == 0] == -100).all()
        assert (batch.labels[batch.mask == 1] != -100).sum() == batch.mask.sum() - len(batch.ids)


def test_each_epoch_takes_every_chat_once_in_an_order_of_its_own() -> None:
    count = POOL + 44
    found = rows(feed(numbered(count)), 2 * count)
    first, second = found[:count], found[count:]
    assert Counter(first) == Counter(second) == Counter(range(count))
    assert first != second
    assert first != sorted(first)


def test_what_weighs_more_comes_so_often_in_each_epoch() -> None:
    found = rows(feed(numbered(40), weights=[1 + index % 3 for index in range(40)]), 158)
    assert Counter(found) == {index: 2 * (1 + index % 3) for index in range(40)}


def test_the_seed_alone_decides_the_order_and_a_position_finds_it_again() -> None:
    examples = numbered(POOL + 44)
    taken = feed(examples)
    rows(taken, 500)  # into the second epoch
    at = taken.order.position
    assert at.pool >= 2
    ahead = rows(taken, 400)
    other = feed(examples)
    other.order.seek(Position(at.pool, at.batch))
    assert rows(other, 400) == ahead
    assert rows(feed(examples, seed=2), 400) != rows(feed(examples), 400)


def test_rate_warms_up_and_decays_to_nothing() -> None:
    recipe = Recipe(steps=100, lr=1.0, warm_up=10)
    rates = [recipe.rate(step) for step in range(100)]
    assert rates[0] == pytest.approx(0.1)
    assert max(rates) == pytest.approx(1.0)
    assert rates[-1] == pytest.approx(1 / 90)
    assert rates == sorted(rates[:11]) + sorted(rates[11:], reverse=True)


def begin(base: Path, tokenizer: Any, recipe: Recipe) -> Training:
    examples = [encode(tokenizer, CHAT), *(encode(tokenizer, CHAT[:length]) for length in (3, 3, 5))]
    return Training(attach(base, recipe, "tiny"), Imitation(examples, recipe, padding=0), recipe)


def test_training_lowers_the_loss_and_leaves_the_base_alone(base: Path, tokenizer: Any) -> None:
    before = fingerprint(base)
    training = begin(base, tokenizer, Recipe(steps=12, warm_up=2, lr=5e-3, batch_tokens=256))
    training.step()
    first = training.loss
    for _ in range(11):
        training.step()
    assert training.done == 12
    assert training.loss < first * 0.8
    assert training.tokens > 0
    assert fingerprint(base) == before


def test_a_training_that_is_left_and_taken_up_gives_the_same_weights(base: Path, tokenizer: Any) -> None:
    recipe = Recipe(steps=6, warm_up=1, lr=5e-3, batch_tokens=64)
    whole, left = (begin(base, tokenizer, recipe) for _ in range(2))
    for _ in range(6):
        whole.step()
    for _ in range(3):
        left.step()
    taken_up = begin(base, tokenizer, recipe)
    taken_up.restore(left.state())
    for _ in range(3):
        taken_up.step()
    ours, theirs = taken_up.model.state_dict(), whole.model.state_dict()
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)
    assert (taken_up.loss, taken_up.tokens) == (whole.loss, whole.tokens)


def test_a_loss_that_is_no_number_ends_the_training(base: Path, tokenizer: Any) -> None:
    training = begin(base, tokenizer, Recipe(steps=9, warm_up=0, lr=1e30, batch_tokens=256))
    with pytest.raises(FailedPrecondition, match=r"the loss is (nan|inf) at step \d+: try a smaller lr"):
        for _ in range(9):
            training.step()


def question(text: str, expected: str) -> Chat:
    return [{"role": "user", "content": text}, {"role": "assistant", "content": expected}]


def test_answers_are_greedy(base: Path) -> None:
    model = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32).eval()
    tokenizer = AutoTokenizer.from_pretrained(base)
    for text in ("one and one?", "x", "who is there, and why so late?"):
        chat = question(text, "a long answer")
        ids = torch.tensor([render(tokenizer, chat[:-1], prompt=True)])
        limit = len(render(tokenizer, chat, prompt=False)) - ids.shape[1] + SPARE
        made = model.generate(ids, attention_mask=torch.ones_like(ids), max_new_tokens=limit, do_sample=False)
        assert answer(model, tokenizer, chat) == tokenizer.decode(made[0, ids.shape[1] :], skip_special_tokens=True)


def test_only_the_expected_answer_is_right_and_only_the_adapter_knows_it(base: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(base)
    tokenizer.chat_template = tokenizer.chat_template.replace("</s>", ".")  # an end that this model can say
    known, wrong = question("one and one?", "2"), question("one and one?", "22")
    recipe = Recipe(steps=40, warm_up=2, lr=2e-2, batch_tokens=64)
    training = Training(attach(base, recipe, "tiny"), Imitation([encode(tokenizer, known)], recipe, padding=0), recipe)
    training.model.generation_config.eos_token_id = [2, *tokenizer.encode(".")]
    for _ in range(recipe.steps):
        training.step()
    hits: list[bool] = []
    assert score(training.model, tokenizer, [known, wrong, known], hits.append) == Score(2, 3)
    assert hits == [True, False, True]
    with training.model.disable_adapter():
        assert score(training.model, tokenizer, [known, wrong], hits.append) == Score(0, 2)


def test_an_activated_lora_learns_each_turn_from_its_own_invocation(base: Path, tokenizer: Any) -> None:
    invocation = generation_prompt(tokenizer)
    examples = encode_answers(tokenizer, CHAT, invocation)
    assert [learned(tokenizer, example) for example in examples] == ["2</s>", "3</s>"]
    assert examples[1].ids == encode(tokenizer, CHAT).ids
    doubled: Chat = [*CHAT[:4], {"role": "assistant", "content": "<assistant>"}]
    with pytest.raises(ValueError, match="not the one right before message 4"):
        encode_answers(tokenizer, doubled, invocation)


def test_an_activated_lora_may_begin_with_the_question(base: Path, tokenizer: Any) -> None:
    invocation = question_prompt(tokenizer)
    examples = encode_answers(tokenizer, CHAT, invocation)
    assert [learned(tokenizer, example) for example in examples] == ["2</s>", "3</s>"]
    for example, index in zip(examples, (1, 3), strict=True):
        begin = last_occurrence(example.ids, invocation)
        assert begin == len(render(tokenizer, CHAT[:index], prompt=False))
    doubled: Chat = [*CHAT[:3], {"role": "user", "content": "<user>"}, CHAT[4]]
    with pytest.raises(ValueError, match="not the one right before message 4"):
        encode_answers(tokenizer, doubled, invocation)


@pytest.mark.parametrize("words_of", [generation_prompt, question_prompt])
def test_an_activated_lora_is_scored_as_peft_generates(
    base: Path, tokenizer: Any, words_of: Callable[[Any], list[int]]
) -> None:
    invocation = words_of(tokenizer)
    recipe = Recipe(method="alora", steps=8, warm_up=1, lr=2e-2, batch_tokens=64)
    learned_from = Imitation(encode_answers(tokenizer, CHAT, invocation), recipe, padding=0)
    training = Training(attach(base, recipe, "tiny", invocation), learned_from, recipe)
    for _ in range(recipe.steps):
        training.step()
    training.model.eval()
    for text in ("one and one?", "x"):
        chat = question(text, "a long answer")
        ids = torch.tensor([render(tokenizer, chat[:-1], prompt=True)])
        limit = len(render(tokenizer, chat, prompt=False)) - ids.shape[1] + SPARE
        made = training.model.generate(
            input_ids=ids, attention_mask=torch.ones_like(ids), max_new_tokens=limit, do_sample=False
        )
        expected = tokenizer.decode(made[0, ids.shape[1] :], skip_special_tokens=True)
        assert answer(training.model, tokenizer, chat, invocation) == expected
        assert answer(training.model, tokenizer, chat) != expected
