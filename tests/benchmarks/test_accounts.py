"""The comparison of accounts finds what differs."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.accounts import agreement
from benchmarks.accounts.run import INVARIANT
from trivet.api.v1 import receipt_pb2

ROUTES = ("support",)


def test_a_token_too_many_is_found() -> None:
    """What the comparison says where the log and the others differ."""
    line = {"request_id": "a", "tenant": "t", "route": "support", "variant": "rag", "code": "OK", "output_tokens": 3}
    receipt = receipt_pb2.Receipt(
        request_id="a", tenant="t", route="support", variant="rag", code="OK", output_tokens=4
    )
    assert agreement.same_receipt(line, receipt) == ["a: output_tokens 4 against 3 in the log"]
    assert agreement.same_receipt({**line, "output_tokens": 4}, receipt) == []
    found = agreement.samples(
        'trivet_requests_total{route="support",variant="rag",code="OK"} 1.0\n'
        'trivet_tokens_total{route="support",variant="rag",kind="output"} 4.0\n'
    )
    told = agreement.log_and_metrics([line], found, ROUTES)
    assert told == ["tokens, ('support', 'rag', 'output'): 3 against 4"]


STATEMENT = {
    "machine": "local", "run": "one", "number": 1, "rate_nano_usd_per_hour": 7_200, "wall_ns": 5 * 10**12,
    "in_progress_ns": 0, "nanoseconds": {"requests": 10**12, "shadow": 0, "idle": 4 * 10**12},
    "nano_usd": {"requests": 2_000, "shadow": 0, "idle": 8_000},
}  # fmt: skip
RECEIPT = {"backend": "local", "cost": {"prefill": 500, "decode": 1_500, "total": 2_000, "basis": "machine"}}


@pytest.mark.process
@pytest.mark.parametrize(
    ("receipt", "changes", "said"),
    [
        (RECEIPT, {}, "Everything adds up."),
        ({**RECEIPT, "shadow": True}, {}, "receipts of requests cost 0, and 2000 is stated"),
        (RECEIPT, {"wall_ns": 5 * 10**12 + 1}, "are not the 5000000000001 ns that passed"),
        (RECEIPT, {"nano_usd": {"requests": 2_000, "shadow": 0, "idle": 8_001}}, "and the time costs 10000"),
    ],
)
def test_the_invariant_is_recomputed(
    tmp_path: Path, receipt: dict[str, object], changes: dict[str, object], said: str
) -> None:
    nothing = {"wall_ns": 0, "nanoseconds": {"requests": 0, "shadow": 0}, "nano_usd": {"requests": 0, "shadow": 0}}
    lines = [json.dumps(one) for one in ({**STATEMENT, **nothing}, receipt, {**STATEMENT, **changes})]
    (tmp_path / "receipts.jsonl").write_text("\n".join(lines) + "\n")
    done = subprocess.run([sys.executable, INVARIANT, tmp_path], capture_output=True, text=True)
    assert said in done.stdout
    assert done.returncode == (0 if said.startswith("Everything") else 1)
