"""Other places as a corpus: git at a revision, an object store, and the process that fetches them."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import boto3
import pytest

from tests.support.processes import gone
from tests.support.sources.s3_server import s3_server
from trivet.errors import RetrievalUnavailable
from trivet.retrieval.settings import CorpusSelection, CorpusSource, IndexSettings
from trivet.retrieval.sources.git import GitRepository
from trivet.retrieval.sources.remote import SourceError, mirror_name
from trivet.retrieval.sources.sync import sync
from trivet.types.corpus import SyncReport
from trivet.types.passage import BuildProgress

pytestmark = pytest.mark.process


@pytest.fixture(scope="module")
def bucket() -> Iterator[tuple[str, object]]:
    with s3_server() as (host, port), pytest.MonkeyPatch.context() as patch:
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            patch.setenv(name, "testing")
        address = f"http://{host}:{port}"
        client = boto3.client("s3", endpoint_url=address, region_name="us-east-1")
        client.create_bucket(Bucket="manuals")
        yield address, client


async def synced(folder: Path, source: CorpusSource) -> SyncReport:
    settings = IndexSettings("manuals", folder, source=source, selection=CorpusSelection(max_files=20))
    events = [event async for event in sync(settings)]
    assert all(isinstance(event, BuildProgress | SyncReport) for event in events)
    report = events[-1]
    assert isinstance(report, SyncReport)
    return report


def files(folder: Path) -> dict[str, str]:
    assert not (folder / ".scratch").exists()
    found = (path for path in folder.rglob("*") if path.is_file() and not path.name.startswith("."))
    return {path.relative_to(folder).as_posix(): path.read_text() for path in found}


def git(folder: Path, *arguments: str) -> None:
    who = ("-c", "user.name=Ada", "-c", "user.email=ada@example.org", "-c", "commit.gpgsign=false")
    subprocess.run(["git", *who, *arguments], cwd=folder, check=True, capture_output=True)


async def test_a_repository_at_a_revision(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    repository, mirror = tmp_path / "repository", tmp_path / "mirror"
    (repository / "docs").mkdir(parents=True)
    git(repository, "init", "--quiet", "--initial-branch=main")
    for name, text in {"docs/a.md": "A", "docs/b.rst": "B", "docs/x.bin": "X", "other.md": "O"}.items():
        (repository / name).write_text(text)
    (repository / "docs" / "link.md").symlink_to("/etc/passwd")
    git(repository, "add", ".")
    git(repository, "commit", "--quiet", "-m", "one")
    git(repository, "tag", "v1")
    source = CorpusSource(f"git+file://{repository}@main#docs")
    assert (await synced(mirror, source)).added == 2
    assert files(mirror) == {"a.md": "A", "b.rst": "B"}
    (repository / "docs" / "a.md").write_text("A2")
    git(repository, "rm", "--quiet", "docs/b.rst")
    git(repository, "commit", "--quiet", "-am", "two")
    with caplog.at_level(logging.INFO):
        report = await synced(mirror, source)
    assert (report.added, report.changed, report.removed) == (0, 1, 1)
    assert "0 new, 1 changed, 1 gone" in caplog.text
    assert files(mirror) == {"a.md": "A2"}
    await synced(mirror, CorpusSource(f"git+file://{repository}@v1#docs"))
    assert files(mirror) == {"a.md": "A", "b.rst": "B"}
    with pytest.raises(RetrievalUnavailable, match="git: "):
        await synced(mirror, CorpusSource(f"git+file://{repository}@nothing"))
    assert files(mirror) == {"a.md": "A", "b.rst": "B"}


@pytest.mark.parametrize("filters", ["true", "false"])
def test_what_is_too_large_is_not_fetched_where_the_server_can_leave_it_out(tmp_path: Path, filters: str) -> None:
    repository, scratch = tmp_path / "repository", tmp_path / "scratch"
    repository.mkdir()
    git(repository, "init", "--quiet", "--initial-branch=main")
    git(repository, "config", "uploadpack.allowFilter", filters)
    (repository / "large.md").write_bytes(random.randbytes(300_000))
    (repository / "exact.md").write_bytes(b"x" * 1000)
    git(repository, "add", ".")
    git(repository, "commit", "--quiet", "-m", "one")
    url = f"git+file://{repository}@main"
    remote = GitRepository(url, scratch, max_files=9, max_bytes=1000, private=False, timeout=60)
    exact, large = remote.files()
    with pytest.raises(SourceError, match=r"large\.md: more than 1,000 bytes"):
        remote.fetch(large, tmp_path / "fetched", "")
    assert remote.fetch(exact, tmp_path / "fetched", "") is not None
    fetched = sum(path.stat().st_size for path in scratch.rglob("*") if path.is_file())
    assert (fetched < 300_000) is (filters == "true")


async def test_a_git_that_is_too_slow_leaves_nothing_behind(tmp_path: Path) -> None:
    """Its helper, a process of git's own, waits for a server that says nothing."""
    (tmp_path / ".scratch").mkdir()
    (tmp_path / ".scratch" / "left").touch()
    with socket.create_server(("127.0.0.1", 0)) as silent:
        host = f"127.0.0.1:{silent.getsockname()[1]}"
        source = CorpusSource(f"git+https://{host}/manuals@main", timeout=60, allow_private=True)
        syncing = asyncio.create_task(synced(tmp_path, source))
        async with asyncio.timeout(60):
            while len(fetching := fetchers(host)) < 2:
                await asyncio.sleep(0.05)
        assert not (tmp_path / ".scratch" / "left").exists()
        syncing.cancel()
        with pytest.raises(asyncio.CancelledError):
            await syncing
        assert all([await asyncio.to_thread(gone, pid) for pid in fetching])


def fetchers(host: str) -> list[int]:
    """Processes with a host in their command line."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if host.encode() in (process / "cmdline").read_bytes():
                found.append(int(process.name))
    return found


async def test_what_lies_below_a_prefix(tmp_path: Path, bucket: tuple[str, object]) -> None:
    address, client = bucket
    for key, text in {"docs/a.md": "A", "docs/sub/b.txt": "B", "docs/c.bin": "C", "other/d.md": "D"}.items():
        client.put_object(Bucket="manuals", Key=key, Body=text.encode())  # type: ignore[attr-defined]
    source = CorpusSource("s3://manuals/docs", endpoint_url=address, region="us-east-1")
    assert (await synced(tmp_path, source)).added == 2
    assert files(tmp_path) == {"a.md": "A", "sub/b.txt": "B"}
    client.put_object(Bucket="manuals", Key="docs/a.md", Body=b"A2")  # type: ignore[attr-defined]
    client.delete_object(Bucket="manuals", Key="docs/sub/b.txt")  # type: ignore[attr-defined]
    report = await synced(tmp_path, source)
    assert (report.added, report.changed, report.removed, report.unchanged) == (0, 1, 1, 0)
    assert files(tmp_path) == {"a.md": "A2"}
    assert (await synced(tmp_path, source)).unchanged == 1


@pytest.mark.parametrize(
    ("theirs", "ours"),
    [
        ("a/b.md", "a/b.md"), ("../../etc/passwd", "etc/passwd"), ("/abs//x.md", "abs/x.md"),
        (".git/config.md", "_git/config.md"),
        ("a/%2e%2e/%2e%2e/x.md", "a/x.md"), ("a\\..\\b.md", "a_.._b.md"), ("a\nb.md", "a_b.md"),
    ],
)  # fmt: skip
def test_a_name_stays_in_the_mirror(theirs: str, ours: str) -> None:
    assert mirror_name(theirs) == ours


def test_a_long_name_keeps_its_ending() -> None:
    name = mirror_name("x" * 500 + ".html")
    assert len(name.encode()) <= 200
    assert name.endswith(".html")
    assert name != mirror_name("x" * 501 + ".html")
