"""What reads text from outside takes time that grows with the text alone, and does not fall over what is nested."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.support.growth import too_fast
from trivet.adapters.preflight.target_modules import TargetModules
from trivet.errors import ConfigError
from trivet.evaluation.reply import Form, ReplyReader, token_f1
from trivet.interactions.redaction import Redactor
from trivet.prompts.assembly.conversation import encodable
from trivet.prompts.assembly.passage_block import contained
from trivet.prompts.assembly.plan import without_last_word
from trivet.prompts.rendering.provenance import Text
from trivet.prompts.template.examples import example_of
from trivet.prompts.template.parser import read_prompt
from trivet.retrieval.snapshot.fusion import leg_weights
from trivet.retrieval.snapshot.terms import TermVectors
from trivet.types.passage import QUERY_CHARACTERS, Passage, SearchQuery
from trivet.types.text.personal_data import find_personal_data
from trivet.types.variant import VersionRef

pytestmark = pytest.mark.process

TERMS = TermVectors("english", 180)
READER = ReplyReader(Form(unknown=("I do not know.",)))


def example(text: str) -> Any:
    return example_of(Passage("p@1#0", "p", "", text, 1.0, 1))


def rewritten(text: str) -> None:
    """As chat templates do: takes out and puts in, so that the text has many origins, and cuts it at these."""
    made = Text.from_source(text, 0).replace("x", "yz").replace("7", "").replace("\n", "<br>").replace(".", "y")
    assert made.split("y")
    assert made.splitlines() is not None
    assert len(list(made[::2])) == (len(made) + 1) // 2


WORK: dict[str, Callable[[str], Any]] = {
    "terms of a passage": TERMS.of_passage,
    "terms of a query": TERMS.of_query,
    "what a query is": leg_weights,
    "a passage in the prompt": contained,
    "encodable": encodable,
    "a text that a chat template rewrites": rewritten,
    "a prompt's last word": without_last_word,
    "an example": example,
    "an answer": READER.read,
    "an answer's words": lambda text: token_f1(text, [text]),
    "a place of layers": lambda text: TargetModules(("q",), layers=frozenset({1}), places=("a.a",)).chosen(
        [f"{text}.q"]
    ),
    "personal data": lambda text: list(find_personal_data(text)),
    "a text that is redacted": Redactor(["email", "card", "phone"]).redact,
    "the first layer": lambda text: TargetModules(("q",), layers=frozenset({1})).chosen([f"{text}.q"]),
}


@pytest.mark.parametrize("name", WORK)
def test_it_takes_time_by_the_length_of_the_text(name: str) -> None:
    assert list(too_fast(WORK[name])) == []


def read(path: Path, text: str) -> None:
    path.write_text(text)
    with suppress(ConfigError):
        read_prompt(VersionRef("p", "1"), path)


def test_a_prompt_is_read_in_time_by_its_length(tmp_path: Path) -> None:
    runs = ("x", "{{", "{{ a", "{{a}}", "{{\n", " ", "\n", "<!--", "<!-- user -->\n")
    assert list(too_fast(partial(read, tmp_path / "1.md"), runs=runs)) == []


@pytest.mark.parametrize("run", ["[", '{"a":', "{", "- ", "? "])
def test_what_is_nested_deeply_is_said_and_not_stumbled_over(run: str, tmp_path: Path) -> None:
    deep = run * 50_000
    assert example(deep) is None
    assert READER.read(deep).value == deep
    with pytest.raises(ConfigError):
        path = tmp_path / "1.md"
        path.write_text(f"---\ndescription: {deep}\n---\nBe kind.\n")
        read_prompt(VersionRef("p", "1"), path)


def test_a_query_is_searched_with_by_its_beginning() -> None:
    asked = partial(SearchQuery, "i", tenant="", top_k=1)
    assert asked(text=" lamp ").asked == " lamp "
    assert len(asked(text="x" * 1_000_000).asked) == QUERY_CHARACTERS
    assert asked(text=" " * 1_000_000 + "lamp").asked == "lamp"
