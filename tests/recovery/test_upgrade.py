"""From one version of Trivet to the next, and back: what the steps of docs/deployment.md rest on."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.support.request_logs import read_entry, receipt
from tests.support.stores.older_state import DIGEST, mark_newer, write_state
from trivet.app.recovery.backup import back_up
from trivet.app.recovery.restore import restore
from trivet.errors import FailedPrecondition
from trivet.metering.receipt_log import ReceiptLog, to_json
from trivet.stores.sqlite import check_database
from trivet.stores.state import StateStore
from trivet.stores.state.database.migration import STATE_VERSION
from trivet.types.budget import Claim, Period

FIRST = "0001"
# Of a receipt of the first version; fields that came later are absent.
OLD_FIELDS = {
    "request_id", "tenant", "route", "created_at", "code", "variant", "backend", "prompt", "finish_reason",
    "input_tokens", "cached_tokens", "output_tokens", "total_ms", "cost",
}  # fmt: skip


def quiet(_what: str, _done: int, _total: int) -> None:
    """Nobody watches."""


async def has_all(store: StateStore) -> None:
    """What was in it before."""
    (adapter,) = await store.desired_adapters.all("local")
    assert (str(adapter.ref), adapter.digest) == ("tone@1", DIGEST)


async def test_a_store_of_the_first_version_is_brought_up_and_keeps_all(state_place: Path | str) -> None:
    write_state(state_place, FIRST)
    for _ in range(2):  # the second time there is nothing to do
        store = StateStore.open(state_place)
        await has_all(store)
        claim = Claim("tenant:acme/day/requests", Period.DAY, 10, None, need=1)
        grants = await store.exchange_budgets("g", 1, 15.0, [claim])  # the tables of a later version
        assert grants is None or [grant.granted >= 1 for grant in grants] == [True]
        store.close()


async def test_an_older_version_refuses_what_a_newer_one_has_brought_up(state_place: Path | str) -> None:
    write_state(state_place, FIRST)
    mark_newer(state_place)
    with pytest.raises(FailedPrecondition, match=r"version 9999, which a newer Trivet made.*use the version that"):
        StateStore.open(state_place)


async def test_a_backup_from_before_the_upgrade_leads_back(tmp_path: Path) -> None:
    root, saved, again = tmp_path / "data", tmp_path / "backup", tmp_path / "again"
    root.mkdir()
    write_state(root / "state.sqlite", FIRST)
    (root / "receipts.jsonl").write_bytes(old_line())
    back_up(root, saved, quiet)  # by the new version, before its first start
    store = StateStore.open(root / "state.sqlite")
    await has_all(store)
    store.close()
    assert check_database(root / "state.sqlite") == (STATE_VERSION, "")
    restore(saved, again, quiet)
    assert check_database(again / "state.sqlite") == (int(FIRST), "")
    assert (again / "receipts.jsonl").read_bytes() == old_line()


def old_line() -> bytes:
    data = {name: value for name, value in to_json(receipt()).items() if name in OLD_FIELDS}
    data["cost"].pop("basis", None)
    return json.dumps(data).encode() + b"\n"


def test_receipts_of_the_first_version_are_read(tmp_path: Path) -> None:
    path = tmp_path / "receipts.jsonl"
    path.write_bytes(old_line())
    log = ReceiptLog(path)
    written = receipt()
    found = log.find(written.tenant, written.request_id)
    assert found is not None
    assert (found.cost.total, found.output_tokens) == (written.cost.total, written.output_tokens)
    log.append(receipt(1))
    log.close()
    totals = [read_entry(line).total for line in path.read_bytes().splitlines()]
    assert totals == [written.cost.total] * 2
