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


MACHINE = """\
backends:
  local: {kind: embedded, model: model}
machines:
  local: {usd_per_hour: 2.5, prompt_token_weight: 0.12}
routes:
  support: {variants: {a: {backend: local, prompt: p@1}}}
"""
PRICES = "prices: {local: {input_per_million_tokens: 1, cached_per_million_tokens: 0, output_per_million_tokens: 1}}\n"


def of_machines(folder: Path, text: str) -> list[str]:
    path = folder / "trivet.yaml"
    path.write_text(text)
    lines = [line.removeprefix(f"{path}:") for line in examine_config(path).problems]
    return [line for line in lines if "machines" in line]


def test_a_machine_can_be_paid_for_by_the_hour(tmp_path: Path) -> None:
    assert of_machines(tmp_path, MACHINE) == []


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (MACHINE.replace("  local: {usd", "  other: {usd"), "4: machines.other: no backend of that name; known: local"),
        (MACHINE + PRICES, "4: machines.local: has prices, too: expected one of them"),
        (MACHINE.replace("2.5", "0"), "4: machines.local.usd_per_hour: expected more than 0"),
        (MACHINE.replace("0.12", "1.5"), "4: machines.local.prompt_token_weight: expected at most 1"),
    ],
)
def test_a_machine_that_would_be_paid_for_wrongly_is_refused(tmp_path: Path, text: str, expected: str) -> None:
    (problem,) = of_machines(tmp_path, text)
    assert problem.startswith(expected)


def test_a_limit_of_money_cannot_be_held_on_a_machine(tmp_path: Path) -> None:
    path = tmp_path / "trivet.yaml"
    path.write_text(MACHINE + "budgets: {default: [{per: day, usd: 5.0}]}\n")
    problems = [line for line in examine_config(path).problems if "budgets" in line]
    assert problems == [
        f"{path}:7: budgets.default.0.usd: backend 'local' has no prices, so what its answers cost is not known"
    ]
