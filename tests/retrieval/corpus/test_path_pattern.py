"""Patterns of paths."""

from __future__ import annotations

import time

import pytest

from trivet.types.text.path_pattern import PathPattern


@pytest.mark.parametrize(
    ("pattern", "files", "others"),
    [
        ("*.bak", ["a.bak", "x/y/a.bak"], ["a.bak.md", "a.md"]),
        ("**/*.md", ["a.md", "x/a.md", "x/y/a.md"], ["a.txt"]),
        ("/*.md", ["a.md"], ["x/a.md"]),
        ("docs/*.md", ["docs/a.md"], ["docs/x/a.md", "x/docs/a.md"]),
        ("drafts/**", ["drafts/a.md", "drafts/x/a.md"], ["drafts", "x/drafts/a.md"]),
        ("a/**/b.md", ["a/b.md", "a/x/b.md", "a/x/y/b.md"], ["b.md", "a/b.md/c"]),
        ("**/x/**/y", ["x/y", "q/x/y", "x/q/x/q/y"], ["y", "x"]),
        ("chapter[0-9]?.md", ["chapter12.md"], ["chapter1.md", "chapterx1.md"]),
        ("[!a]*", ["b.md"], ["a.md"]),
        ("README", ["README", "x/README"], ["readme"]),
        ("build/", [], ["build", "x/build"]),
    ],
)
def test_which_files_a_pattern_fits(pattern: str, files: list[str], others: list[str]) -> None:
    parsed = PathPattern.parse(pattern)
    assert [path for path in files + others if parsed.fits(path.split("/"), folder=False)] == files


def test_one_that_ends_in_a_slash_fits_folders_alone() -> None:
    assert PathPattern.parse("build/").fits(["x", "build"], folder=True)
    assert not PathPattern.parse("/build/").fits(["x", "build"], folder=True)


def test_letters_that_are_composed_or_not_are_the_same() -> None:
    assert PathPattern.parse("café*").fits(["cafe\u0301.md"], folder=False)
    assert PathPattern.parse("cafe\u0301*").fits(["café.md"], folder=False)


@pytest.mark.parametrize("text", ["", "x" * 257, "!a", "a\\*", "a//b", "a/../b", "./a", "/", "a**", "**.md"])
def test_what_is_no_pattern(text: str) -> None:
    with pytest.raises(ValueError, match=r"^has "):
        PathPattern.parse(text)


@pytest.mark.parametrize("pattern", ["*a" * 100 + "b", "**/a/" * 40 + "b", "?*" * 100 + "b"])
def test_no_pattern_takes_more_than_its_length_times_the_paths(pattern: str) -> None:
    """With backtracking these would take longer than the age of the universe."""
    parsed = PathPattern.parse(pattern)
    began = time.process_time()
    assert not parsed.fits(["a"] * 2_000, folder=False)
    assert not parsed.fits(["a" * 4_000], folder=False)
    assert time.process_time() - began < 30
