"""GetReceipt's memory: a tenant that makes many requests costs the others nothing."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from trivet.metering.receipt_log import ReceiptLog, RecentReceipts, to_json
from trivet.types.receipt import Receipt
from trivet.types.request import GenerateCall, Message

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def receipt(tenant: str, number: int) -> Receipt:
    return Receipt(f"r{number}", tenant, "support", NOW, "OK")


def test_one_tenants_many_requests_do_not_push_out_anothers() -> None:
    recent = RecentReceipts(max_receipts=100)
    recent.remember(receipt("quiet", 0), 10)
    for number in range(1000):
        recent.remember(receipt("loud", number), 10)
    assert recent.find("quiet", "r0") is not None
    assert recent.find("loud", "r900") is None
    assert recent.find("loud", "r901") is not None


def test_what_is_kept_is_bounded_in_bytes_too() -> None:
    recent = RecentReceipts(max_bytes=1000)
    recent.remember(receipt("quiet", 0), 100)
    for number in range(10):
        recent.remember(receipt("loud", number), 300)
    kept = [number for number in range(10) if recent.find("loud", f"r{number}")]
    assert kept == [7, 8, 9]
    assert recent.find("quiet", "r0") is not None


def test_a_request_id_that_is_used_again_has_one_receipt_the_newest() -> None:
    recent = RecentReceipts(max_receipts=2)
    for _ in range(5):
        recent.remember(receipt("acme", 1), 10)
    recent.remember(receipt("acme", 2), 10)
    assert recent.find("acme", "r1") is not None
    assert recent.find("acme", "r2") is not None


@given(st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 5), st.integers(0, 50)), max_size=60))
def test_the_books_agree_with_what_is_kept(steps: list[tuple[str, int, int]]) -> None:
    recent = RecentReceipts(max_receipts=6, max_bytes=120)
    for tenant, number, size in steps:
        recent.remember(receipt(tenant, number), size)
        kept = recent._by_tenant.values()
        sizes = [size for kept in kept for _, size in kept.receipts.values()]
        assert recent._count == len(sizes) <= 6
        assert recent._size == sum(sizes) <= 120
        assert sum(kept.size for kept in kept) == recent._size
        assert all(kept.receipts for kept in kept)


def test_after_a_restart_the_log_is_recalled_as_fairly(tmp_path: Path) -> None:
    log = ReceiptLog(tmp_path / "r.jsonl", RecentReceipts(max_receipts=10))
    log.append(receipt("quiet", 0))
    for number in range(50):
        log.append(receipt("loud", number))
    log.close()
    log = ReceiptLog(tmp_path / "r.jsonl", RecentReceipts(max_receipts=10))
    assert log.find("quiet", "r0") is not None
    assert log.find("loud", "r49") is not None
    assert log.find("loud", "r30") is None
    log.close()


def test_the_largest_receipt_is_a_line_of_less_than_64_kib() -> None:
    labels = {f"{number}" + "\0" * 255: "\0" * 256 for number in range(8)}
    asked = GenerateCall("r" * 128, "t" * 63, "\U0001f642" * 128, (Message("user", "x"),), arrived=0.0, labels=labels)
    ids = tuple(f"{'d' * 255}@{number}#{number}" for number in range(100))
    largest = Receipt(asked.request_id, asked.tenant, asked.route, NOW, "OK", passage_ids=ids, labels=asked.labels)
    assert len(json.dumps(to_json(largest), ensure_ascii=False).encode()) < 64 << 10
