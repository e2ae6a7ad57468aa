"""Documents with names as people give them, from the command line to a search and back, with a real vector engine."""

from __future__ import annotations

import asyncio
import json
import os
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from tests.support.gateway.index_gateway import INDEX, OPERATOR, index_gateway
from trivet.cli.main import main
from trivet.retrieval.documents.ids import id_of_file

pytestmark = pytest.mark.embedding

NAMES = [
    "Price list (2024).txt", "हिन्दी.txt", "தமிழ்.md", "ไทย.txt", "한국어.md", "日本語　資料.txt", "简体中文.md",
    "العربية.txt", "עברית.txt", "فارسی می‌خواهم.txt", "Ελληνικά.md", "Русский.txt", "Հայերեն.txt", "ქართული.txt",
    "አማርኛ.txt", "বাংলা.md", "ਪੰਜਾਬੀ.txt", "ગુજરાતી.txt", "తెలుగు.txt", "ಕನ್ನಡ.txt", "മലയാളം.txt", "සිංහල.txt",
    "မြန်မာ.txt", "ខ្មែរ.txt", "བོད་ཡིག.txt", "ᏣᎳᎩ.txt", "Tiếng Việt.txt", "cafe\u0301.txt", "👩‍👩‍👧 family.txt",
    "100% wool!.md", "C# [v2] @home.md", "a#b%c!d.txt", "-dash.txt", "semi;colon & 'quotes' \"two\".txt", ":smile:.txt",
    "new\nline.txt", os.fsdecode(b"latin \xe9.txt"), "~tilde~.txt", "back\\slash.txt", "a%2Fb.txt",
]  # fmt: skip


def run(address: str, *arguments: str) -> Result:
    runner = CliRunner(env={"TRIVET_ADDRESS": address, "TRIVET_ADMIN_ADDRESS": address, "TRIVET_KEY": OPERATOR})
    return runner.invoke(main, ["index", *arguments])


async def test_names_of_any_script_go_in_are_found_and_go_out(tmp_path: Path, pytestconfig: pytest.Config) -> None:
    assert pytestconfig.cache is not None
    files = tmp_path / "files"
    files.mkdir()
    for number, name in enumerate(NAMES):
        (files / name).write_text(f"The code of shelf {number} is K{number}Z.")
    ids = [id_of_file(Path(name)) for name in NAMES]
    assert len(set(ids)) == len(NAMES)

    def operate(address: str) -> None:
        paths = [str(files / name) for name in NAMES]
        added = run(address, "add", INDEX, "--json", *paths)
        assert added.exit_code == 0, added.output
        assert [item["id"] for item in json.loads(added.stdout)] == ids
        found: dict[str, str] = {}
        for number, document_id in enumerate(ids):
            searched = run(address, "search", INDEX, f"K{number}Z", "--top-k", "3", "--json")
            for citation in json.loads(searched.stdout)["citations"]:
                if f"K{number}Z" in citation["text"]:
                    found[citation["document_id"]] = citation["passage_id"]
            table = run(address, "search", INDEX, f"K{number}Z", "--top-k", "1")
            assert table.exit_code == 0, (document_id, table.output)
        assert found == {document_id: f"{document_id}@1#0" for document_id in ids}
        gone = run(address, "rm", INDEX, "--json", "--", *ids)
        assert gone.exit_code == 0, gone.output
        assert json.loads(gone.stdout)["deleted"] == ids
        nothing = json.loads(run(address, "search", INDEX, "shelf", "--json").stdout)
        assert nothing["citations"] == []

    async with index_gateway(tmp_path, pytestconfig.cache.mkdir("embedding")) as gateway:
        await asyncio.to_thread(operate, gateway.address)


async def test_a_build_says_what_it_skipped_and_strict_makes_it_fail(
    tmp_path: Path, pytestconfig: pytest.Config
) -> None:
    assert pytestconfig.cache is not None

    def operate(address: str) -> None:
        corpus = tmp_path / INDEX / "corpus"
        (corpus / "Price list (2024).txt").write_text("A chair costs 40 euros.")
        (corpus / "empty.txt").write_text("")
        (corpus / "style.css").write_text("p {}")
        strict = run(address, "build", INDEX, "--strict")
        assert strict.exit_code == 1
        assert "empty.txt: document 'empty' is empty" in strict.output
        assert json.loads(run(address, "ls", "--json").stdout)[0]["documents"] == 0
        built = run(address, "build", INDEX)
        assert built.exit_code == 0
        assert f"{INDEX}: 1 documents" in built.stdout
        assert "empty.txt: document 'empty' is empty" in built.stderr
        assert "ignored 1 of other formats: 1 .css" in built.stderr
        told = json.loads(run(address, "build", INDEX, "--json").stdout)
        assert told["documents"] == 1
        assert (told["corpus"]["files"], told["corpus"]["skipped"], told["corpus"]["ignored"]) == (2, 1, 1)
        assert told["corpus"]["first_skipped"] == [
            {"file": "empty.txt", "reason": "document 'empty' is empty", "kept": False}
        ]

    async with index_gateway(tmp_path, pytestconfig.cache.mkdir("embedding")) as gateway:
        await asyncio.to_thread(operate, gateway.address)


async def test_a_file_that_is_larger_than_a_message_is_added_and_one_that_is_too_large_is_told(
    tmp_path: Path, pytestconfig: pytest.Config
) -> None:
    """`max_document_bytes` is small, so that this takes no minutes."""
    assert pytestconfig.cache is not None
    lines = "\n\n".join(f"Shelf {number} holds {number * 7} boxes." for number in range(8))
    (tmp_path / "big.md").write_text(lines + "\n" * 300_000)
    (tmp_path / "huge.md").write_text("x " * 600_000)

    def operate(address: str) -> None:
        added = run(address, "add", INDEX, str(tmp_path / "huge.md"), str(tmp_path / "big.md"))
        assert added.exit_code == 1
        assert "big: revision 1, " in added.stdout
        assert f"huge ({tmp_path}/huge.md, 1,200,000 bytes): refused (INVALID_ARGUMENT)" in added.stderr
        assert "expected at most 1048576: split it, or raise max_document_bytes" in added.stderr

    embedding = pytestconfig.cache.mkdir("embedding")
    async with index_gateway(tmp_path, embedding, index_file="version: 1\nmax_document_bytes: 1048576\n") as gateway:
        await asyncio.to_thread(operate, gateway.address)


async def test_a_tenant_has_no_more_than_its_quota_until_it_deletes_something(
    tmp_path: Path, pytestconfig: pytest.Config
) -> None:
    assert pytestconfig.cache is not None
    for name in ("a", "b", "c"):
        (tmp_path / f"{name}.md").write_text(f"The code of {name} is K{name}.")
    (tmp_path / "shared.md").write_text("Everybody may know this.")

    def operate(address: str) -> None:
        paths = [str(tmp_path / f"{name}.md") for name in ("a", "b", "c")]
        added = run(address, "add", INDEX, "--tenant", "acme", *paths)
        assert added.exit_code == 1
        assert "a: revision 1" in added.stdout
        assert "b: revision 1" in added.stdout
        assert "refused (RESOURCE_EXHAUSTED): tenant 'acme' has 2 documents, 1 more are beyond its quota of 2" in (
            added.stderr
        )
        assert run(address, "add", INDEX, str(tmp_path / "shared.md")).exit_code == 0
        assert run(address, "add", INDEX, "--tenant", "bolt", *paths).exit_code == 0
        (tmp_path / "a.md").write_text("The code of a has changed.")
        assert run(address, "add", INDEX, "--tenant", "acme", paths[0]).exit_code == 0
        assert run(address, "rm", INDEX, "--tenant", "acme", "b").exit_code == 0
        assert run(address, "add", INDEX, "--tenant", "acme", paths[2]).exit_code == 0

    more = "quotas:\n  max_documents: 2\n  tenants:\n    bolt: {max_bytes: 1000}\n"
    async with index_gateway(tmp_path, pytestconfig.cache.mkdir("embedding"), more=more) as gateway:
        await asyncio.to_thread(operate, gateway.address)
