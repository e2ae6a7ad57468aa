"""Two whole gateways over one PostgreSQL: one state, seen by both."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from itertools import pairwise

import pytest

from tests.support.gateway.scripted_gateway import UNITS
from tests.support.gateway.serving import until
from tests.support.gateway.spending import use_up
from tests.support.rollout_processes.gateways import SHARES, Gateway, Pair, two_gateways
from trivet.api.v1 import rollout_pb2
from trivet.client import CallFailed, Client

pytestmark = [pytest.mark.process, pytest.mark.timeout(1200)]

WITHIN = 1.0  # seconds, the promise
AWAY = 20.0  # seconds


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    with two_gateways(tmp_path_factory.mktemp("two-gateways")) as both:
        yield both


def test_every_unit_has_the_same_variant_on_both_and_switches_once(pair: Pair) -> None:
    before = pair.begin(0).revision
    revision, given = pair.assigned()
    assert revision == before
    seen = [given]
    for share in SHARES[1:]:
        assert abs(seen[-1].count("n") / UNITS - SHARES[len(seen) - 1]) < 0.01
        pair.two.client.rollouts.advance("ask", "the test")
        pair.both_serve(pair.two.rollout().revision)
        revision, given = pair.assigned()
        assert revision == pair.one.rollout().revision
        assert pair.one.rollout().share == share
        seen.append(given)
    pair.two.kill()
    pair.two.start()
    pair.both_serve(revision)
    again, given = pair.assigned()
    assert (again, given == seen[-1]) == (revision, True), "killed and started again"
    switches = [sum(one != two for one, two in pairwise(units)) for units in zip(*seen, strict=True)]
    assert max(switches) == 1
    assert all(units == tuple(sorted(units, reverse=True)) for units in zip(*seen, strict=True)), "never back to stable"
    pair.one.client.rollouts.rollback("ask", "the test")
    pair.both_serve(pair.one.rollout().revision)
    assert set(pair.assigned()[1]) == {"o"}


def test_a_rollback_is_seen_by_both_in_time_while_one_loads_an_adapter(pair: Pair) -> None:
    loading = threading.Thread(target=_load_slow, args=(pair.one.client,), daemon=True)
    loading.start()
    until(lambda: any(one.name == "slow@1" for one in pair.one.client.list_adapters().adapters), 30)
    times = []
    for _ in range(3):
        pair.begin(2)
        unit, *_ = pair.units_of("new", 1)
        assert [gateway.answer(unit).variant for gateway in pair] == ["new", "new"]
        began = time.monotonic()
        after = pair.two.client.rollouts.rollback("ask", "complaints").revision
        while [gateway.answer(unit).rollout_revision for gateway in pair] != [after, after]:
            assert time.monotonic() - began < 30
        times.append(time.monotonic() - began)
        receipts = [gateway.answer(unit) for gateway in pair]
        assert [(one.variant, one.rollout_revision) for one in receipts] == [("old", after)] * 2
    assert min(times) < WITHIN, times
    assert loading.is_alive(), "it still loads"


def _load_slow(client: Client) -> None:
    with suppress(CallFailed):  # the client's deadline, or the end of the test
        client.load_adapter("slow@1")


def test_without_the_store_both_serve_on_and_a_rollback_by_hand_works(pair: Pair) -> None:
    pair.begin(2)
    unit, *_ = pair.units_of("new", 1)
    pair.postgres.stop(signal.SIGQUIT)
    try:
        with ThreadPoolExecutor(2) as pool:
            served = [pool.submit(_served_for, gateway, AWAY) for gateway in pair]
            time.sleep(AWAY / 4)
            pair.one.client.rollouts.rollback("ask", "complaints")
            assert pair.one.answer(unit).variant == "old", "at once, on the gateway that was asked"
            assert pair.two.answer(unit).variant == "new", "which the other one cannot know of"
            assert all(future.result() > 20 for future in served)
    finally:
        pair.postgres.start()
    until(lambda: all(gateway.answer(unit).variant == "old" for gateway in pair), 30)
    until(lambda: all(one.rollout().state == rollout_pb2.ROLLOUT_STATE_ROLLED_BACK for one in pair), 30)
    last = [*pair.two.client.rollouts.transitions("ask")][-1]
    assert last.event == "rollback"
    assert "while the state store was away" in last.message


def _served_for(gateway: Gateway, seconds: float) -> int:
    """How many requests were answered; one that is not raises."""
    end, count = time.monotonic() + seconds, 0
    while time.monotonic() < end:
        gateway.answer(f"user-{count % 50}")
        count += 1
    return count


def test_a_store_that_was_away_is_a_hole_that_halts(pair: Pair) -> None:
    pair.begin(2)
    before = [gateway.answer("user-1").variant for gateway in pair]
    pair.postgres.stop(signal.SIGQUIT)
    try:
        time.sleep(AWAY)
    finally:
        pair.postgres.start()
    until(lambda: pair.one.rollout().state == rollout_pb2.ROLLOUT_STATE_HALTED, 60)
    assert pair.one.rollout().last_transition.reason == "data_hole"
    assert "the state store was away" in pair.one.rollout().last_transition.message
    pair.both_serve(pair.one.rollout().revision)
    assert [gateway.answer("user-1").variant for gateway in pair] == before, "a halt leaves the shares as they are"
    pair.two.client.rollouts.rollback("ask", "the test")


def test_the_audit_log_of_both_is_one(pair: Pair) -> None:
    logs = [[*gateway.client.rollouts.transitions("ask")] for gateway in pair]
    assert logs[0] == logs[1]
    revisions = [entry.revision for entry in logs[0]]
    assert len(revisions) == len(set(revisions))
    assert revisions == sorted(revisions)


@pytest.mark.parametrize("unit", ["requests", "tokens", "usd"])
def test_eight_clients_of_both_exceed_a_limit_by_one_request_at_most(pair: Pair, unit: str) -> None:
    most = {"requests": 60, "tokens": 9_000, "usd": 0.0003}[unit]
    pair.reconfigure(
        budgets={"default": [{"per": "month", unit: most}]},
        prices={"local": {
            "input_per_million_tokens": 0.04, "cached_per_million_tokens": 0.01, "output_per_million_tokens": 0.08,
        }},
    )  # fmt: skip
    spent = use_up([gateway.process.target for gateway in pair], "ask", 8)
    pair.reconfigure(budgets={})
    used = {"requests": [1] * len(spent.answered), "tokens": spent.tokens, "usd": spent.nano_usd}[unit]
    limit = round(most * 1e9) if unit == "usd" else most
    beyond = sum(used) - limit
    assert 0 <= beyond < max(used), "used up, and by less than one request beyond"
    if unit == "requests":
        assert beyond == 0
    assert len(spent.refused) >= 8
    for failed in spent.refused:
        assert failed.receipt is not None
        assert not failed.receipt.HasField("output_tokens"), "a refused one costs nothing"
        assert not failed.receipt.cost.HasField("total")
        assert failed.quota
