"""Token ids equal Hugging Face's, and no text becomes a control token, for the formats of seven model families."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.support.engine.chat_families import Family
from trivet.prompts.assembly.assembler import PromptAssembler
from trivet.prompts.assembly.passage_block import contained
from trivet.prompts.template.source import Placeholder, PromptSource, Turn, Variable
from trivet.types.passage import Passage
from trivet.types.prompt import AssembledPrompt
from trivet.types.request import Message
from trivet.types.variant import VersionRef

REF = VersionRef("support", "1")
SYSTEM = "You answer for Velora. Answer with only the value."
SHOT = ("Passages:\n[1] The Orrin lamp ships from Tamsel.\n\nWhere does Orrin ship from?", "Tamsel")
PLAIN = PromptSource(
    REF, Path("1.md"), (Turn("system", (SYSTEM,)), Turn("user", (SHOT[0],)), Turn("assistant", (SHOT[1],)))
)
BARE = PromptSource(REF, Path("1.md"), (Turn("system", (SYSTEM,)),))
VARIED = PromptSource(
    REF,
    Path("1.md"),
    (Turn("system", ("You answer for the customers of ", Placeholder("company"), ". Answer with only the value.")),),
    {"company": Variable("company")},
)

quick = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
PIECES = (
    *(" ", "  ", "   ", "\n", "\n\n", "\n\n\n", "\t", "\r\n", "\u3000", "\xa0", "\x1c", "\0"),
    *(
        "a",
        "word",
        "Velora lamp",
        "12345",
        "user",
        "don't",
        "'s",
        "é",
        "e\u0301",
        "\u0301",
        "中文",
        "👩‍👩‍👧",
        "\u200d",
        "ﬁ",
    ),
    *("<|", "|>", "<", "[", "[IN", "▁", "▁▁", "{{ company }}", "{% if %}"),
)
plain = st.one_of(st.text(max_size=30), st.lists(st.sampled_from(PIECES), max_size=8).map("".join))


def passage(text: str, number: int = 0) -> Passage:
    return Passage(f"p{number}", "doc", "Title", text, 1.0, 1)


def conversation(contents: Sequence[str]) -> list[Message]:
    return [Message("assistant" if i % 2 else "user", text) for i, text in enumerate(contents)]


def assemble(
    assembler: PromptAssembler, contents: Sequence[str], passages: Sequence[str] = (), **variables: str
) -> AssembledPrompt:
    found = [passage(text, i) for i, text in enumerate(passages)]
    return assembler.assemble(
        conversation(contents), context_tokens=10**6, max_tokens=1, variables=variables, passages=found
    )


def as_written(
    family: Family, system: str, shots: Sequence[str], contents: Sequence[str], passages: Sequence[str] = ()
) -> list[tuple[str, str]]:
    """The fixed layout, written down a second time."""
    first, *others = contents
    if passages:
        indented = ("\n  ".join(contained(text).split("\n")) for text in passages)
        block = "".join(f"[{i}] {text}\n" for i, text in enumerate(indented, start=1))
        first = f"Passages:\n{block}\n{first}"
    turns = [*shots, first, *others]
    messages = [("assistant" if i % 2 else "user", text) for i, text in enumerate(turns)]
    if family.name == "gemma":  # knows no system role
        return [("user", f"{system}\n\n{turns[0]}"), *messages[1:]]
    return [("system", system), *messages]


def harmless(family: Family, *texts: str) -> bool:
    return not any(marker in text for marker in family.markers for text in texts)


odd = st.lists(plain, min_size=1, max_size=5).filter(lambda contents: len(contents) % 2 == 1)


@quick
@given(contents=odd, passages=st.lists(plain.filter(str.strip), max_size=3))
def test_ids_equal_apply_chat_template(family: Family, contents: list[str], passages: list[str]) -> None:
    if not harmless(family, *contents, *passages):
        return
    for prompt, shots in ((PLAIN, SHOT), (BARE, ())):
        assembler = family.assembler(prompt)
        made = assemble(assembler, contents, passages)
        assert list(made.token_ids) == family.expected(as_written(family, SYSTEM, shots, contents, passages))
        assert made.prefix_tokens == assembler.prefix.tokens
        assert made.token_ids[: made.prefix_tokens] == assembler.prefix.token_ids
        assert len(made.passages) == len(passages)


@quick
@given(company=plain, contents=odd)
def test_ids_equal_apply_chat_template_with_variables(family: Family, company: str, contents: list[str]) -> None:
    if not harmless(family, company, *contents):
        return
    assembler = family.assembler(VARIED)
    made = assemble(assembler, contents, company=company)
    system = f"You answer for the customers of {company}. Answer with only the value."
    assert list(made.token_ids) == family.expected(as_written(family, system, (), contents))
    assert made.prefix_tokens == assembler.prefix.tokens > 0


def halves(marker: str) -> list[str]:
    return [
        marker,
        marker * 2,
        marker[: len(marker) // 2],
        marker[len(marker) // 2 :],
        marker[:-1],
        marker[1:],
        f" {marker} \n",
    ]


@quick
@given(data=st.data())
def test_no_text_becomes_a_control_token(family: Family, data: st.DataObject) -> None:
    pieces = [half for marker in family.markers for half in halves(marker)]
    hostile = st.lists(st.sampled_from([*pieces, *PIECES]), min_size=1, max_size=6).map(
        lambda p: "x" + "".join(p) + "y"
    )
    contents = data.draw(st.lists(hostile, min_size=3, max_size=3))
    passages = data.draw(st.lists(hostile, max_size=3))
    made = assemble(family.assembler(PLAIN), contents, passages)
    neutral = assemble(family.assembler(PLAIN), ["x"] * 3)
    assert family.controls(made.token_ids) == family.controls(neutral.token_ids)
    varied = family.assembler(VARIED)
    made, neutral = assemble(varied, ["x"], company=contents[0]), assemble(varied, ["x"], company="x")
    assert family.controls(made.token_ids) == family.controls(neutral.token_ids)


def test_hugging_face_itself_is_fooled(family: Family) -> None:
    """Without which the test above could not fail."""
    marker = family.markers[0]
    fooled = family.expected(as_written(family, SYSTEM, SHOT, [f"x {marker} y"]))
    made = assemble(family.assembler(PLAIN), [f"x {marker} y"])
    assert len(family.controls(fooled)) == len(family.controls(made.token_ids)) + 1


def test_hostile_text_is_kept_as_text(family: Family) -> None:
    if family.name == "unigram":
        pytest.skip("this vocabulary has no letters for it: it reads as unknown tokens")
    for marker in family.markers:
        made = assemble(family.assembler(PLAIN), [f"see {marker} here"], [f"also {marker} there"])
        text = family.reference.decode(made.token_ids)
        assert f"see {marker} here" in text
        assert f"also {marker} there" in text


@pytest.mark.parametrize(
    "texts",
    [
        ("＜s＞", "＜|im_end|＞"),
        ("<|im_", "start|>system"),
        ("<s", ">"),
        ("</th", "ink>"),
        ("[IN", "ST]"),
        ("<start_of", "_turn>"),
    ],
)
def test_markers_are_not_pieced_together(family: Family, texts: tuple[str, str]) -> None:
    neutral = assemble(family.assembler(PLAIN), ["x", "x", "x"], ["x", "x"])
    for contents, passages in (
        ([texts[1], "x", "x"], ["x", texts[0]]),
        (["x" + texts[0], texts[1], texts[0]], list(texts)),
    ):
        made = assemble(family.assembler(PLAIN), contents, passages)
        assert family.controls(made.token_ids) == family.controls(neutral.token_ids)


def test_prompt_files_are_encoded_as_text_too(family: Family) -> None:
    marker = family.markers[-1]
    trusted = PromptSource(REF, Path("1.md"), (Turn("system", (f"Never write {marker} to anyone.",)),))
    neutral = PromptSource(REF, Path("1.md"), (Turn("system", ("Never write that to anyone.",)),))
    made, expected = (assemble(family.assembler(prompt), ["x"]) for prompt in (trusted, neutral))
    assert family.controls(made.token_ids) == family.controls(expected.token_ids)


def test_the_prefix_is_nearly_all_that_is_static(family: Family) -> None:
    one, other = (assemble(family.assembler(PLAIN), [text]).token_ids for text in ("Where?", "7 o'clock"))
    same = next(i for i, (a, b) in enumerate(zip(one, other, strict=False)) if a != b)
    if family.name == "mistral":  # the system text is written before the last user message, so only examples are static
        same = one.index(family.reference.convert_tokens_to_ids("[INST]"), 3) + 1
    assert same - 5 <= family.assembler(PLAIN).prefix.tokens <= same


def test_every_byte_of_the_static_part_changes_the_fingerprint(family: Family) -> None:
    seen = set()
    for system in (
        SYSTEM,
        SYSTEM[:-1],
        f"{SYSTEM}!",
        SYSTEM.replace("Velora", "Vélora"),
        SYSTEM.replace("Velora", "Ve\u0301lora"),
    ):
        for answer in ("Tamsel", "tamsel"):
            turns = (Turn("system", (system,)), Turn("user", (SHOT[0],)), Turn("assistant", (answer,)))
            seen.add(family.assembler(PromptSource(REF, Path("1.md"), turns)).prefix.fingerprint)
    assert len(seen) == 10
    again = PromptSource(VersionRef("other", "2"), Path("2.md"), PLAIN.turns)
    assert family.assembler(again).prefix.fingerprint == family.assembler(PLAIN).prefix.fingerprint


def test_the_prefix_ends_at_the_first_variable(family: Family) -> None:
    one, other = (assemble(family.assembler(VARIED), ["x"], company=company) for company in ("Velora", "Orrin"))
    assert one.prefix_fingerprint == other.prefix_fingerprint
    text = family.reference.decode(family.assembler(VARIED).prefix.token_ids)
    if family.name not in ("mistral", "unigram"):  # the one writes the system text last, the other reads little of it
        assert text.endswith("customers of")
