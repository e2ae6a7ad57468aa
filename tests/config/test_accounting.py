"""What is kept of receipts and logs, and what things cost, in the file."""

from __future__ import annotations

from pathlib import Path

import pytest

from trivet.config import examine_config

FILE = """\
server:
  receipts: {receipts}
  logs: {logs}
backends:
  local: {{kind: embedded, model: model}}
routes:
  support: {{variants: {{a: {{backend: local, prompt: p@1}}}}}}
"""


def told(folder: Path, receipts: str = "{}", logs: str = "{}") -> list[str]:
    path = folder / "trivet.yaml"
    path.write_text(FILE.format(receipts=receipts, logs=logs))
    lines = [line.removeprefix(f"{path}:") for line in examine_config(path).problems]
    return [line for line in lines if "server." in line]


def test_what_is_kept_can_be_bounded(tmp_path: Path) -> None:
    assert told(tmp_path, "{file_bytes: 1048576, file_age: 60.0, total_bytes: 2097152, queue_bytes: 1048576}") == []
    assert told(tmp_path, logs="{file_bytes: 65536, files: 1}") == []


@pytest.mark.parametrize(
    ("receipts", "logs", "expected"),
    [
        (
            "{total_bytes: 1048576}",
            "{}",
            "2: server.receipts.total_bytes: expected at least twice file_bytes (67108864)",
        ),
        ("{file_bytes: 5}", "{}", "2: server.receipts.file_bytes: expected at least 1"),
        ("{file_age: 0}", "{}", "2: server.receipts.file_age: expected more than 0"),
        ("{keep: 5}", "{}", "2: server.receipts.keep: unknown field"),
        ("{}", "{files: 0}", "3: server.logs.files: expected at least 1"),
    ],
)
def test_bounds_that_make_no_sense_are_refused_by_field(
    tmp_path: Path, receipts: str, logs: str, expected: str
) -> None:
    (problem,) = told(tmp_path, receipts, logs)
    assert problem.startswith(expected)
