"""Files of a data folder that are made again, or whose damaged parts are skipped."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.support.recovery.damage import DAMAGE
from trivet.app.runtime_info import RuntimeInfo
from trivet.metering.receipt_log import ReceiptLog
from trivet.retrieval.model_export.export import is_whole, whole_folder
from trivet.stores.data_folder import DataFolder
from trivet.types.receipt import Receipt


@pytest.mark.parametrize("kind", DAMAGE)
def test_a_damaged_export_is_no_export(tmp_path: Path, kind: str) -> None:
    target = tmp_path / "export"
    for name in ("model.onnx", "tokenizer.json", "digests.json"):
        with whole_folder(target) as work:
            (work / "model.onnx").write_bytes(b"a graph")
            (work / "tokenizer.json").write_text("{}")
        assert is_whole(target)
        DAMAGE[kind](target / name)
        assert not is_whole(target)
        assert not target.exists(), "what is made again finds its place free"


@pytest.mark.parametrize(
    "line", [b"\xff\xfe\x00", b"{", b"[]", b"[" * 100_000, b'{"created_at": 1}', b'{"created_at": "x"}', b"null", b"7"]
)
def test_damaged_lines_of_the_request_log_are_skipped(tmp_path: Path, line: bytes) -> None:
    path = tmp_path / "receipts.jsonl"
    path.write_bytes(line + b"\n" + line)
    log = ReceiptLog(path)
    assert log.find("t", "r") is None
    assert path.read_bytes() == line + b"\n" + line, "a look changes nothing"
    log.append(Receipt("r", "t", "route", datetime.now(UTC), "OK"))
    log.close()
    assert path.read_bytes().startswith(line + b"\n" + line + b"\n{")
    again = ReceiptLog(path)
    assert again.find("t", "r") is not None
    again.close()


@pytest.mark.parametrize("content", [b"", b"{", b"\xff"])
def test_a_half_written_announcement_is_replaced(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "server.json").write_bytes(content)
    announcement = RuntimeInfo(tmp_path)
    assert not (tmp_path / "server.json").exists()
    announcement.publish({"listen": "127.0.0.1:1"})
    announcement.withdraw()


@pytest.mark.parametrize("content", [b"", b"not a number", b"\xff" * 100])
def test_a_lock_file_with_nonsense_in_it_locks(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "lock").write_bytes(content)
    DataFolder.open(tmp_path).close()
