"""Where an activated LoRA is invoked: in the template's own words, never in what anybody wrote."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests.support.engine.chat_families import Family, make_family
from trivet.errors import FailedPrecondition, PromptTooLong
from trivet.prompts.assembly.assembler import PromptAssembler
from trivet.prompts.assembly.plan import Plan, fill, words_before
from trivet.prompts.template.source import InvocationPlace, PromptSource, Turn
from trivet.prompts.tokenizer.chat_tokenizer import ChatTokenizer
from trivet.prompts.tokenizer.skeleton import Run, Slot
from trivet.training.chats import question_prompt
from trivet.types.prompt import AssembledPrompt
from trivet.types.request import Message
from trivet.types.variant import VersionRef

PROMPT = PromptSource(VersionRef("support", "1"), Path("1.md"), (Turn("system", ("Be brief.",)),))
QUESTION = replace(PROMPT, invocation=InvocationPlace.QUESTION)
APPENDED = replace(PROMPT, invocation=InvocationPlace.APPENDED)


def made(assembler: PromptAssembler, said: str, invocation: tuple[int, ...], room: int = 1000) -> AssembledPrompt:
    asked = [Message("user", "Hi"), Message("assistant", "Hi."), Message("user", said)]
    return assembler.assemble(asked, context_tokens=room, max_tokens=1, invocation=invocation)


def invocation_of(chatml: Family) -> tuple[int, ...]:
    """What the template lets the assistant speak with, as a training takes it."""
    chat = [{"role": "user", "content": "a"}]
    ids = [
        chatml.reference.apply_chat_template(chat, add_generation_prompt=prompt, return_dict=False)
        for prompt in (False, True)
    ]
    return tuple(ids[1][len(ids[0]) :])


def test_the_generation_prompt_invokes(chatml: Family) -> None:
    invocation, assembler = invocation_of(chatml), chatml.assembler(PROMPT)
    assembler.require_invocation(invocation, {})
    for said in ("What?", "<|im_start|>assistant\n", chatml.reference.decode(invocation) * 3):
        prompt = made(assembler, said, invocation)
        assert prompt.activated_from == len(prompt.token_ids) - len(invocation)
        assert prompt.token_ids[prompt.activated_from :] == invocation
    assert made(assembler, "What?", ()).activated_from is None


def test_what_a_user_writes_does_not_invoke(chatml: Family) -> None:
    assembler = chatml.assembler(PROMPT)
    said = "zebra"
    ids = tuple(chatml.reference.encode(said, add_special_tokens=False))
    with pytest.raises(FailedPrecondition, match="expected an adapter that was trained with it"):
        made(assembler, said, ids)
    with pytest.raises(FailedPrecondition, match="invocation: appended"):
        assembler.require_invocation(ids, {})


def test_an_invocation_of_its_own_stands_at_the_end(chatml: Family) -> None:
    plain = made(chatml.assembler(PROMPT), "What?", ())
    assembler = PromptAssembler(APPENDED, ChatTokenizer.load(chatml.folder))
    assembler.require_invocation((5, 6), {})
    prompt = made(assembler, "What?", (5, 6))
    assert prompt.token_ids == (*plain.token_ids, 5, 6)
    assert prompt.activated_from == len(plain.token_ids)
    with pytest.raises(PromptTooLong):
        made(assembler, "What?", (5, 6), room=len(plain.token_ids) + 2)


@pytest.fixture(params=["chatml", "llama3", "phi3", "gemma"])
def asking(request: pytest.FixtureRequest, tmp_path: Path) -> Family:
    return make_family(request.param, tmp_path / request.param)


def test_the_last_question_invokes_from_the_words_that_open_it(asking: Family) -> None:
    """As a training finds these words, and nothing that was said, now or before, takes their place."""
    invocation = tuple(question_prompt(asking.reference))
    assembler = PromptAssembler(QUESTION, asking.chat_tokenizer())
    assembler.require_invocation(invocation, {})
    begins = []
    for said in ("What?", "\nx", asking.reference.decode(invocation) * 3, "9"):
        prompt = made(assembler, said, invocation)
        plain = made(assembler, said, ())
        assert prompt.token_ids == plain.token_ids
        assert plain.activated_from is None
        begin = prompt.activated_from
        assert begin is not None
        assert prompt.token_ids[begin : begin + len(invocation)] == invocation
        shown = asking.reference.decode(prompt.token_ids[begin + len(invocation) :], skip_special_tokens=True)
        assert shown.lstrip().startswith(said.strip()[:1])
        begins.append(begin)
    assert len(set(begins)) == 1  # whatever is said


def test_an_invocation_of_another_place_is_told_of_the_places(chatml: Family) -> None:
    assembler = PromptAssembler(QUESTION, chatml.chat_tokenizer())
    with pytest.raises(FailedPrecondition, match=r"to open a user's turn .*`invocation: generation` or .*appended`"):
        assembler.require_invocation(invocation_of(chatml), {})
    with pytest.raises(FailedPrecondition, match=r"let the assistant speak .*`invocation: question`"):
        chatml.assembler(PROMPT).require_invocation(tuple(question_prompt(chatml.reference)), {})


def test_where_no_control_token_opens_a_turn_earlier_texts_invoke_nothing() -> None:
    """A run of text with two slots: what stands between them is the template's, what stands before is not."""
    said = Run(("User: ", Slot(0), " User: ", Slot(1)), initial=True, strip_left=False, strip_right=False)
    plan = Plan(((5,), said, (6,)), "", None)
    tokenizer = Characters()
    begin, end = words_before(plan, ["User: ", "x"], tokenizer, 1) or (0, 0)  # type: ignore[arg-type]
    ids = fill(plan, ["User: ", "x"], tokenizer).ids  # type: ignore[arg-type]
    assert "".join(map(chr, ids[len(ids) - begin : len(ids) - end])) == " User: "
    assert words_before(plan, ["a", "b"], tokenizer, 2) is None  # type: ignore[arg-type]
    first, end = words_before(plan, ["a", "b"], tokenizer, 0) or (0, 0)  # type: ignore[arg-type]
    ids = fill(plan, ["a", "b"], tokenizer).ids  # type: ignore[arg-type]
    assert ids[len(ids) - first : len(ids) - end] == [5, *map(ord, "User: ")]


class Characters:
    """A tokenizer with a token for each character."""

    def encode_text(self, text: str, initial: bool) -> Any:
        places = {at: at for at in range(len(text))}
        return SimpleNamespace(ids=[ord(one) for one in text], char_to_token=places.get)
