"""Requests of many kinds and fates at the shared server: receipts, log, /metrics and the engine's counters agree."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping

import pytest

from benchmarks.accounts import agreement
from benchmarks.accounts.traffic import Traffic
from tests.support.gateway.serving import metrics as numbers
from tests.support.gateway.serving import page, total, until
from trivet.api.v1 import receipt_pb2
from trivet.cli.server.process import ServerProcess
from trivet.client import CallFailed, Client

pytestmark = pytest.mark.engine

REQUESTS = 150
ROUTES = dict.fromkeys(("support", "support-json", "support-private", "tickets"), "local")
WITHOUT = ("limited tenant", "wrong key")  # nobody has a key here


def samples(server: ServerProcess) -> agreement.Samples:
    """/metrics, once nothing runs and nothing changes in it."""
    until(lambda: total(numbers(server), "trivet_requests_in_flight") == 0, 60)
    last, now = None, agreement.samples("\n".join(page(server)))
    while agreement.engine_tokens(now) != last:
        last = agreement.engine_tokens(now)
        time.sleep(0.5)
        now = agreement.samples("\n".join(page(server)))
    return now


def fetched(server: ServerProcess, traffic: Traffic) -> dict[str, receipt_pb2.Receipt]:
    found = {}
    with Client(server.target, timeout=30) as client:
        for one in traffic.seen:
            try:
                found[one.id] = client.get_receipt(one.id).receipt
            except CallFailed as failure:
                if failure.code != "NOT_FOUND":
                    raise
    return found


def added(
    after: agreement.Samples, before: agreement.Samples
) -> Mapping[tuple[str, frozenset[tuple[str, str]]], float]:
    return {key: value - before.get(key, 0) for key, value in after.items()}


def test_every_account_of_the_same_requests_agrees(server: ServerProcess) -> None:
    """To the token and the nano-dollar. `python -m benchmarks.accounts` has more kinds, and kills engines."""
    before, began = samples(server), len(agreement.read_log(server.data_dir))
    traffic = Traffic(server, 7, tuple(ROUTES), ("public",), WITHOUT)
    asyncio.run(traffic.send(REQUESTS))
    found = added(samples(server), before)
    receipts = fetched(server, traffic)  # reads the log's end, so that all of it is written
    until(lambda: len(agreement.read_log(server.data_dir)) - began >= len(receipts), 30)
    lines = agreement.read_log(server.data_dir)[began:]
    problems = [
        *agreement.clients_and_log(traffic.seen, receipts, lines),
        *agreement.log_and_metrics(lines, found, ROUTES),
        *agreement.same("engine", agreement.engine_tokens(found), agreement.trivet_tokens(found, ROUTES)),
    ]
    assert problems == []
    assert len(receipts) > REQUESTS / 2
    assert {"OK", "CANCELLED", "NOT_FOUND", "INVALID_ARGUMENT"} <= {line["code"] for line in lines}
