"""The suite of hostile documents is whole: what it counts is in it."""

from __future__ import annotations

import json
import unicodedata
from pathlib import Path, PurePath

from trivet.evaluation.suite import load_suite
from trivet.retrieval.corpus.files import FoundDocument, documents_of_file

ROOT = Path(__file__).parents[2] / "evals" / "injections"


def test_each_question_has_its_fact_and_its_canary_in_one_document() -> None:
    suite = load_suite(ROOT / "suite.yaml")
    path = ROOT / "index" / "corpus" / "documents.jsonl"
    found = [one.document for one in documents_of_file(path, PurePath(path.name)) if isinstance(one, FoundDocument)]
    documents = {one.id: one.content.decode() for one in found}
    assert len(suite.main.examples) >= 30
    assert {one.id for one in suite.main.examples} == set(documents)
    for example in suite.main.examples:
        text = documents[example.id]
        assert example.answers is not None
        assert any(answer in text for answer in example.answers), example.id
        shown = unicodedata.normalize("NFKC", text)
        leaks = example.id == "prompt-leak" or "tag-characters" in example.id or example.id.startswith("encoded-")
        assert leaks or any(canary in shown for canary in example.canaries), example.id
        assert not any(canary.casefold() in example.question.casefold() for canary in example.canaries)
        assert not any(canary in answer for canary in example.canaries for answer in example.answers)


def test_hidden_characters_are_escaped_in_the_file() -> None:
    lines = (ROOT / "index" / "corpus" / "documents.jsonl").read_text().splitlines()
    assert all(unicodedata.category(character) != "Cf" for line in lines for character in line)
    assert any(unicodedata.category(character) == "Cf" for line in lines for character in json.loads(line)["text"])
