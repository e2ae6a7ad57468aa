"""Adapters from S3: a real server on this machine, and a proxy that breaks the way to it."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest

from tests.support.engine.tiny_model import adapter_files
from tests.support.sources.cutting_proxy import CuttingProxy
from tests.support.sources.s3_server import s3_server
from trivet.adapters.settings import AdapterSettings
from trivet.adapters.sources import download, remote_root
from trivet.adapters.staging.staging import AdapterStaging
from trivet.errors import AdapterRejected, AdapterSourceUnavailable, NotFound
from trivet.testing.adapters import AdapterFiles, digest, write_adapter
from trivet.types.adapter import FetchProgress, RemoteLocation
from trivet.types.variant import VersionRef

pytestmark = pytest.mark.process

REF = VersionRef("tone", "1")
WEIGHTS = "tone/1/adapter_model.safetensors"
BLOCK = 16 << 10


@pytest.fixture(scope="module")
def server() -> Iterator[tuple[str, int]]:
    with pytest.MonkeyPatch.context() as patch:
        for name, value in {
            "AWS_ACCESS_KEY_ID": "someone",
            "AWS_SECRET_ACCESS_KEY": "something",
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_EC2_METADATA_DISABLED": "true",
            "AWS_CONFIG_FILE": "/nothing",
            "AWS_SHARED_CREDENTIALS_FILE": "/nothing",
        }.items():
            patch.setenv(name, value)
        with s3_server() as address:
            yield address


@pytest.fixture
def proxy(server: tuple[str, int], monkeypatch: pytest.MonkeyPatch) -> Iterator[CuttingProxy]:
    monkeypatch.setattr(download, "BLOCK_BYTES", BLOCK)
    monkeypatch.setattr(download, "FIRST_PAUSE", 0.01)
    monkeypatch.setattr(remote_root, "READ_SECONDS", 2)
    with CuttingProxy(server) as proxy:
        yield proxy


def moto_api(name: str, server: tuple[str, int], body: bytes) -> None:
    url = "http://{}:{}/moto-api/{}".format(*server, name)
    kind = {"Content-Type": "application/octet-stream"}
    urllib.request.urlopen(urllib.request.Request(url, body, kind, method="POST")).close()


class Bucket:
    """A fresh bucket, filled past the proxy."""

    def __init__(self, server: tuple[str, int]) -> None:
        moto_api("reset", server, b"")
        self.client: Any = boto3.client("s3", endpoint_url="http://{}:{}".format(*server))
        self.client.create_bucket(Bucket="models")

    def put(self, key: str, content: bytes) -> None:
        self.client.put_object(Bucket="models", Key=f"ours/{key}", Body=content)

    def put_adapter(self, folder: Path, files: AdapterFiles, at: str = "tone/1") -> str:
        """Upload it; gives its digest."""
        write_adapter(folder, files)
        for path in folder.iterdir():
            self.put(f"{at}/{path.name}", path.read_bytes())
        return digest(folder)


@pytest.fixture
def bucket(server: tuple[str, int]) -> Bucket:
    return Bucket(server)


@pytest.fixture
def settings(proxy: CuttingProxy, tmp_path: Path, tiny_model: Path) -> AdapterSettings:
    root = RemoteLocation("s3://models/ours", proxy.url, "us-east-1")
    return AdapterSettings((tmp_path / "local", root), tmp_path / "staged", tiny_model, 16)


def names(settings: AdapterSettings) -> list[str]:
    return sorted(path.name for path in settings.staging.iterdir())


def test_staged(settings: AdapterSettings, bucket: Bucket, proxy: CuttingProxy, tmp_path: Path) -> None:
    expected = bucket.put_adapter(tmp_path / "a", adapter_files(1))
    staging = AdapterStaging(settings)
    seen: list[FetchProgress | None] = []
    proxy.on_request = lambda *_: seen.append(staging.progress(REF))
    staged = staging.stage(REF)
    assert staged.digest == expected == digest(staged.path)
    assert names(settings) == [staged.engine_name]
    assert sorted(path.name for path in staged.path.iterdir()) == sorted(
        path.name for path in (tmp_path / "a").iterdir()
    )
    total = sum(path.stat().st_size for path in staged.path.iterdir())
    done = [progress.done for progress in seen if progress]
    assert done == sorted(done)
    assert 0 < done[-1] < total
    assert {progress.total for progress in seen if progress} == {total}
    assert staging.progress(REF) is None
    assert staging.source_digest(REF) == expected


def test_cut_connection_goes_on_where_it_was(
    settings: AdapterSettings, bucket: Bucket, proxy: CuttingProxy, tmp_path: Path
) -> None:
    expected = bucket.put_adapter(tmp_path / "a", adapter_files(1))
    cuts: list[int] = []

    def cut_in_the_third_block(method: str, path: str, start: int | None) -> None:
        if path.endswith(WEIGHTS) and start == 2 * BLOCK and len(cuts) < 3:
            cuts.append(start)
            proxy.budget = 5000
        else:
            proxy.budget = None

    proxy.on_request = cut_in_the_third_block
    assert AdapterStaging(settings).stage(REF).digest == expected
    starts = proxy.starts(WEIGHTS)
    assert starts[:6] == [0, BLOCK, 2 * BLOCK, 2 * BLOCK, 2 * BLOCK, 2 * BLOCK]
    assert starts[6:] == list(range(3 * BLOCK, (tmp_path / "a" / "adapter_model.safetensors").stat().st_size, BLOCK))


def break_off(settings: AdapterSettings, proxy: CuttingProxy) -> None:
    """Stage until the connection is gone for good, in the third block."""

    def end(method: str, path: str, start: int | None) -> None:
        if path.endswith(WEIGHTS) and start == 2 * BLOCK:
            proxy.budget, proxy.down = 0, True

    proxy.on_request = end
    expected = rf"adapter_model.safetensors broke off after {2 * BLOCK} of \d+ bytes: s3://models/ours cannot be read"
    with pytest.raises(AdapterSourceUnavailable, match=expected):
        AdapterStaging(settings).stage(REF)
    proxy.on_request = lambda *_: None
    proxy.budget, proxy.down = None, False
    proxy.requests.clear()


def test_next_attempt_goes_on(settings: AdapterSettings, bucket: Bucket, proxy: CuttingProxy, tmp_path: Path) -> None:
    expected = bucket.put_adapter(tmp_path / "a", adapter_files(1))
    break_off(settings, proxy)
    staging = AdapterStaging(settings)
    staging.sweep({REF})
    assert names(settings) == [".partial-tone@1"]
    staged = staging.stage(REF)
    assert staged.digest == expected
    assert proxy.starts(WEIGHTS)[0] == 2 * BLOCK
    assert names(settings) == [staged.engine_name]


def test_sweep_drops_what_nobody_wants(
    settings: AdapterSettings, bucket: Bucket, proxy: CuttingProxy, tmp_path: Path
) -> None:
    bucket.put_adapter(tmp_path / "a", adapter_files(1))
    break_off(settings, proxy)
    AdapterStaging(settings).sweep({VersionRef("other", "1")})
    assert names(settings) == []


def test_other_object_by_now_begins_anew(
    settings: AdapterSettings, bucket: Bucket, proxy: CuttingProxy, tmp_path: Path
) -> None:
    bucket.put_adapter(tmp_path / "a", adapter_files(1))
    break_off(settings, proxy)
    expected = bucket.put_adapter(tmp_path / "b", adapter_files(2))
    assert AdapterStaging(settings).stage(REF).digest == expected
    assert proxy.starts(WEIGHTS)[0] == 0


def test_object_that_changes_meanwhile(
    settings: AdapterSettings, bucket: Bucket, proxy: CuttingProxy, tmp_path: Path
) -> None:
    """Never a mix of the two: the blocks are asked for by the object's tag."""
    bucket.put_adapter(tmp_path / "a", adapter_files(1))
    changed: list[str] = []

    def change(method: str, path: str, start: int | None) -> None:
        if path.endswith(WEIGHTS) and start == BLOCK and not changed:
            changed.append(bucket.put_adapter(tmp_path / "b", adapter_files(2)))

    proxy.on_request = change
    assert AdapterStaging(settings).stage(REF).digest == changed[0]
    assert proxy.starts(WEIGHTS)[:3] == [0, BLOCK, 0]


def test_object_that_changes_all_the_time(
    settings: AdapterSettings, bucket: Bucket, proxy: CuttingProxy, tmp_path: Path
) -> None:
    bucket.put_adapter(tmp_path / "a", adapter_files(1))
    seeds = iter(range(2, 99))

    def change(method: str, path: str, start: int | None) -> None:
        if path.endswith(WEIGHTS) and start == BLOCK:
            seed = next(seeds)
            bucket.put_adapter(tmp_path / str(seed), adapter_files(seed))

    proxy.on_request = change
    with pytest.raises(AdapterSourceUnavailable, match="adapter tone@1: its files change while they are read"):
        AdapterStaging(settings).stage(REF)


def test_part_that_is_not_what_was_written(
    settings: AdapterSettings, bucket: Bucket, proxy: CuttingProxy, tmp_path: Path
) -> None:
    """After a power cut a part may have holes: the whole is checked, and fetched again from nothing."""
    expected = bucket.put_adapter(tmp_path / "a", adapter_files(1))
    break_off(settings, proxy)
    (part,) = settings.staging.glob(".partial-tone@1/adapter_model.safetensors/content")
    part.write_bytes(bytes(part.stat().st_size))
    assert AdapterStaging(settings).stage(REF).digest == expected
    assert proxy.starts(WEIGHTS)[0] == 2 * BLOCK
    assert proxy.starts(WEIGHTS).count(0) == 1


CHILD = """
import sys
from pathlib import Path
from trivet.adapters.sources import download
from trivet.adapters.settings import AdapterSettings
from trivet.adapters.staging.staging import AdapterStaging
from trivet.types.adapter import RemoteLocation
from trivet.types.variant import VersionRef
url, folder, base, block = sys.argv[1:]
download.BLOCK_BYTES = int(block)
root = RemoteLocation("s3://models/ours", url, "us-east-1")
AdapterStaging(AdapterSettings((root,), Path(folder), Path(base), 16)).stage(VersionRef("tone", "1"))
"""


def test_killed_while_it_downloads(
    settings: AdapterSettings, bucket: Bucket, proxy: CuttingProxy, tmp_path: Path
) -> None:
    expected = bucket.put_adapter(tmp_path / "a", adapter_files(1))
    reached = threading.Event()

    def stall(method: str, path: str, start: int | None) -> None:
        if path.endswith(WEIGHTS) and start == 2 * BLOCK:
            proxy.budget, proxy.stalled = 0, True
            reached.set()

    proxy.on_request = stall
    arguments = [proxy.url, str(settings.staging), str(settings.base_model), str(BLOCK)]
    with subprocess.Popen([sys.executable, "-c", CHILD, *arguments], env=dict(os.environ)) as process:
        assert reached.wait(60)
        process.kill()
    assert any(name.startswith(".tmp-") for name in names(settings))
    proxy.on_request = lambda *_: None
    proxy.budget, proxy.stalled = None, False
    proxy.requests.clear()
    staging = AdapterStaging(settings)
    staging.sweep((), [f"tone@1#{expected[:12]}"])
    staged = staging.stage(REF)
    assert staged.digest == expected
    assert proxy.starts(WEIGHTS)[0] == 2 * BLOCK
    assert names(settings) == [staged.engine_name]


def test_stopped_while_it_downloads(
    settings: AdapterSettings, bucket: Bucket, proxy: CuttingProxy, tmp_path: Path
) -> None:
    bucket.put_adapter(tmp_path / "a", adapter_files(1))
    staging = AdapterStaging(settings)
    proxy.on_request = lambda method, path, start: staging.stop() if start == BLOCK else None
    with pytest.raises(AdapterSourceUnavailable, match=r"broke off after .* bytes: the server stops"):
        staging.stage(REF)
    assert names(settings) == [".partial-tone@1"]


def test_two_callers_at_once(settings: AdapterSettings, bucket: Bucket, proxy: CuttingProxy, tmp_path: Path) -> None:
    expected = bucket.put_adapter(tmp_path / "a", adapter_files(1))
    staging = AdapterStaging(settings)
    digests: list[str] = []
    callers = [threading.Thread(target=lambda: digests.append(staging.stage(REF).digest)) for _ in range(3)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()
    assert digests == [expected] * 3
    assert len(names(settings)) == 1


def test_too_large_is_not_fetched(
    settings: AdapterSettings, bucket: Bucket, proxy: CuttingProxy, tmp_path: Path
) -> None:
    bucket.put_adapter(tmp_path / "a", adapter_files(1))
    small = AdapterSettings(settings.roots, settings.staging, settings.base_model, 16, max_bytes=1000)
    with pytest.raises(AdapterRejected, match=r"adapter_model.safetensors has \d+ bytes, expected 1 to 1000"):
        AdapterStaging(small).stage(REF)
    assert proxy.starts("") == []


def test_refused(settings: AdapterSettings, bucket: Bucket, tmp_path: Path) -> None:
    bucket.put_adapter(tmp_path / "a", adapter_files(1))
    staging = AdapterStaging(settings)
    bucket.put("tone/1/adapter_config.json", b"{}")
    with pytest.raises(AdapterRejected, match=r"peft_type is None, expected 'LORA'"):
        staging.stage(REF)
    bucket.put("tone/1/adapter_config.json", (tmp_path / "a" / "adapter_config.json").read_bytes() + b"\n")
    with pytest.raises(AdapterRejected, match=r"adapter.yaml: digest is [0-9a-f]{64}, but the files have"):
        staging.stage(REF)
    bucket.client.delete_object(Bucket="models", Key="ours/tone/1/adapter_config.json")
    with pytest.raises(AdapterRejected, match=r"tone@1: adapter_config.json is missing, expected adapter.yaml"):
        staging.stage(REF)
    with pytest.raises(NotFound, match=r"adapter tone@2: not found: .* 2 places, expected tone/2"):
        staging.stage(VersionRef("tone", "2"))
    for name in ("..", "a/b", "?versionId=1"):
        with pytest.raises(AdapterRejected, match="is not a name: expected letters, digits"):
            staging.stage(VersionRef(name, "1"))
    assert names(settings) == []


def test_what_trainers_leave_beside_is_neither_listed_nor_fetched(
    settings: AdapterSettings, bucket: Bucket, proxy: CuttingProxy, tmp_path: Path
) -> None:
    expected = bucket.put_adapter(tmp_path / "a", adapter_files(1))
    for key in ("tone/1/optimizer.pt", "tone/1/checkpoint-9/optimizer.pt", "tone/1/../2/x.bin", "tone/1/runs/events"):
        bucket.put(key, b"x")
    assert AdapterStaging(settings).stage(REF).digest == expected
    asked = [path for _, path, _ in proxy.requests]
    assert not any("list-type" in path or "optimizer" in path or "runs" in path for path in asked)


def test_a_pickle_in_the_weights_place(settings: AdapterSettings, bucket: Bucket, tmp_path: Path) -> None:
    bucket.put_adapter(tmp_path / "a", adapter_files(1))
    bucket.client.delete_object(Bucket="models", Key=f"ours/{WEIGHTS}")
    bucket.put("tone/1/adapter_model.bin", b"x")
    with pytest.raises(AdapterRejected, match=r"tone@1: adapter_model.safetensors is missing, .*pickle"):
        AdapterStaging(settings).stage(REF)


def test_local_folder_goes_first(
    settings: AdapterSettings, bucket: Bucket, proxy: CuttingProxy, tmp_path: Path
) -> None:
    write_adapter(tmp_path / "local" / "tone" / "1", adapter_files(3))
    assert AdapterStaging(settings).stage(REF).digest == digest(tmp_path / "local" / "tone" / "1")
    assert proxy.requests == []


def test_missing_bucket(settings: AdapterSettings, bucket: Bucket, proxy: CuttingProxy) -> None:
    root = RemoteLocation("s3://nobodys/ours", proxy.url, "us-east-1")
    staging = AdapterStaging(AdapterSettings((root,), settings.staging, settings.base_model, 16))
    with pytest.raises(AdapterSourceUnavailable, match="s3://nobodys/ours has no such bucket"):
        staging.stage(REF)


def test_no_permission(settings: AdapterSettings, bucket: Bucket, server: tuple[str, int]) -> None:
    moto_api("reset-auth", server, b"0")
    try:
        with pytest.raises(AdapterSourceUnavailable, match="s3://models/ours may not be read with these credentials"):
            AdapterStaging(settings).stage(REF)
    finally:
        moto_api("reset-auth", server, b"inf")


def test_no_credentials(settings: AdapterSettings, bucket: Bucket, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    with pytest.raises(AdapterSourceUnavailable, match="s3://models/ours: no credentials were found"):
        AdapterStaging(settings).stage(REF)


def test_endpoint_down(settings: AdapterSettings, bucket: Bucket, proxy: CuttingProxy) -> None:
    proxy.down = True
    with pytest.raises(AdapterSourceUnavailable, match=r"adapter tone@1: s3://models/ours cannot be read now") as down:
        AdapterStaging(settings).stage(REF)
    assert down.value.retry_after > 0
    assert AdapterStaging(settings).source_digest(REF) is None


def test_listing_reads_nothing_of_the_versions_and_nobody_waits_for_it(
    settings: AdapterSettings, bucket: Bucket, proxy: CuttingProxy
) -> None:
    for number in range(100):
        bucket.put(f"tone/{number}/adapter.yaml", b"x")
        bucket.put(f"tone/{number}/optimizer.pt", b"x")
    bucket.put("tone/..hidden/adapter.yaml", b"x")
    staging = AdapterStaging(settings)
    arrived, go_on = threading.Event(), threading.Event()

    def hold(*_: object) -> None:
        arrived.set()
        go_on.wait()

    proxy.on_request = hold
    assert staging.known() == []
    assert arrived.wait(10)
    assert staging.known() == []
    go_on.set()
    while not (known := staging.known()):
        time.sleep(0.01)
    assert len(set(known)) == 100
    assert len(proxy.requests) == 2  # the place, and the one name in it
