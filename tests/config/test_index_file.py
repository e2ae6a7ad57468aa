"""What `index.yaml` says of the corpus folder, checked when the configuration is read."""

from __future__ import annotations

from pathlib import Path

import pytest

from trivet.app.indexes import index_settings, splitting_limits
from trivet.config import load_config
from trivet.errors import ConfigError, FailedPrecondition
from trivet.retrieval.passages.limits import DocumentLimits

FILE = """
version: 1
backends:
  local: {kind: embedded, model: model}
indexes: {facts: facts}
routes:
  facts:
    variants:
      only: {weight: 1, backend: local, prompt: p@1, retrieval: {index: facts}}
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("model", "prompts/p", "adapters", "facts/corpus"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "model" / "config.json").write_text("{}")
    (tmp_path / "prompts" / "p" / "1.md").write_text("Be kind.")
    (tmp_path / "trivet.yaml").write_text(FILE)
    return tmp_path


def test_the_corpus_settings_arrive(folder: Path) -> None:
    (folder / "facts" / "index.yaml").write_text(
        "version: 1\ninclude: ['**/*.md']\nignore: [drafts/**, '*.bak']\nfollow_links: true\nmax_files: 9\n"
        "encoding: Latin1\nmax_document_bytes: 33554432\n"
    )
    settings = index_settings("facts", load_config(folder / "trivet.yaml").indexes["facts"], folder)
    selection = settings.selection
    assert [one.text for one in selection.include] == ["**/*.md"]
    assert [one.text for one in selection.ignore] == ["drafts/**", "*.bak"]
    assert (selection.follow_links, selection.max_files) == (True, 9)
    assert (settings.encoding, settings.max_document_bytes) == ("cp1252", 32 << 20)


def test_text_recognition_is_off_unless_it_is_asked_for(folder: Path) -> None:
    (folder / "facts" / "index.yaml").write_text("version: 1\n")
    path = folder / "trivet.yaml"
    assert splitting_limits(load_config(path)) == DocumentLimits()
    path.write_text(f"{FILE}documents: {{ocr: {{command: no-such-program}}}}\n")
    with pytest.raises(FailedPrecondition, match="no command 'no-such-program' here"):
        splitting_limits(load_config(path))
    path.write_text(f"{FILE}documents: {{ocr: {{languages: ['eng -x']}}}}\n")
    with pytest.raises(ConfigError, match="a language as Tesseract names it"):
        load_config(path)


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("include: ['!a']", "index.yaml:2: include.0: has a '!' at its beginning"),
        ("ignore: ['a**']", "index.yaml:2: ignore.0: has '**' beside other characters"),
        ("ignore: [" + "x," * 101 + "]", "index.yaml:2: ignore: expected at most 100 entries"),
        ("encoding: punycode", "index.yaml:2: encoding: no encoding of text"),
        ("max_document_bytes: 268435457", "index.yaml:2: max_document_bytes: expected at most"),
        ("max_files: 0", "index.yaml:2: max_files: expected at least"),
    ],
)
def test_a_wrong_one_is_told_with_file_line_and_field(folder: Path, line: str, problem: str) -> None:
    (folder / "facts" / "index.yaml").write_text(f"version: 1\n{line}\n")
    with pytest.raises(ConfigError) as error:
        load_config(folder / "trivet.yaml")
    assert problem in str(error.value)
