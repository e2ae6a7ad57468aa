"""Adapters from places by URL, over fsspec: a web server and fsspec's own memory stand for them all."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import fsspec
import pytest

from tests.support.engine.tiny_model import adapter_files
from trivet.adapters.settings import AdapterSettings
from trivet.adapters.sources.remote_root import RemoteRoot
from trivet.adapters.staging.staging import AdapterStaging
from trivet.errors import AdapterRejected, AdapterSourceUnavailable, NotFound
from trivet.testing.adapters import digest, write_adapter
from trivet.types.adapter import RemoteLocation
from trivet.types.variant import VersionRef

REF = VersionRef("tone", "1")
BESIDE = ("optimizer.pt", "training_args.bin", "checkpoint-500/optimizer.pt")


@pytest.fixture
def adapter(tmp_path: Path) -> Path:
    folder = write_adapter(tmp_path / "served" / "adapters" / "tone" / "1", adapter_files(1))
    for name in BESIDE:
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(b"\x80\x04.")
    return folder


class Quiet(SimpleHTTPRequestHandler):
    """Serves files, whole ones: such servers know no ranges."""

    def log_message(self, format: str, *args: Any) -> None:
        pass


@contextmanager
def web_server(folder: Path) -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(folder)))
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/adapters"
    finally:
        server.shutdown()
        server.server_close()


@pytest.fixture(params=["http", "memory"])
def url(request: pytest.FixtureRequest, adapter: Path, tmp_path: Path) -> Iterator[str]:
    if request.param == "http":
        with web_server(tmp_path / "served") as url:
            yield url
        return
    memory = fsspec.filesystem("memory")
    memory.put(str(tmp_path / "served" / "adapters"), "/models/adapters", recursive=True)
    yield "memory://models/adapters"
    memory.rm("/models", recursive=True)


def staging(url: str, base: Path, tmp_path: Path) -> AdapterStaging:
    return AdapterStaging(AdapterSettings((RemoteLocation(url),), tmp_path / "staged", base, 16))


def test_staged(url: str, adapter: Path, tiny_model: Path, tmp_path: Path) -> None:
    place = staging(url, tiny_model, tmp_path)
    staged = place.stage(REF)
    assert staged.digest == digest(adapter) == place.source_digest(REF)
    assert len(list(staged.path.iterdir())) == 3
    with pytest.raises(NotFound, match="adapter tone@2: not found"):
        place.stage(VersionRef("tone", "2"))


def test_listed(url: str) -> None:
    expected = [] if url.startswith("http") else [REF]  # a web server has no listing to rely on
    assert list(RemoteRoot(RemoteLocation(url)).list()) == expected


def test_a_pickle_in_the_weights_place(adapter: Path, tiny_model: Path, tmp_path: Path) -> None:
    (adapter / "adapter_model.safetensors").rename(adapter / "adapter_model.bin")
    with (
        web_server(tmp_path / "served") as url,
        pytest.raises(AdapterRejected, match=r"there is adapter_model.bin: it is a pickle, which is never read"),
    ):
        staging(url, tiny_model, tmp_path).stage(REF)


def test_a_web_server_that_is_down(adapter: Path, tiny_model: Path, tmp_path: Path) -> None:
    with web_server(tmp_path / "served") as url:
        pass
    with pytest.raises(AdapterSourceUnavailable, match=r"adapter tone@1: http://.*/adapters cannot be read now"):
        staging(url, tiny_model, tmp_path).stage(REF)


def test_a_driver_that_is_missing(tiny_model: Path, tmp_path: Path) -> None:
    with pytest.raises(AdapterSourceUnavailable, match=r"gs://models/a cannot be read: .*gcsfs"):
        staging("gs://models/a", tiny_model, tmp_path).stage(REF)
