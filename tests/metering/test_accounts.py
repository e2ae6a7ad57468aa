"""Receipts, their costs, and that the log's sum equals the metrics."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry, generate_latest

from trivet.metering.account import Account
from trivet.metering.metrics import Metrics
from trivet.metering.prices import Price
from trivet.metering.receipt_log import ReceiptLog, from_json, to_json
from trivet.metering.sink import Sink
from trivet.metering.stages import Stage
from trivet.types.generation import Chunk, EngineTimes, FinishReason, MachineCharge
from trivet.types.receipt import Cost, Receipt, UnitSource
from trivet.types.request import GenerateCall, Message
from trivet.types.variant import RetrievalSettings, Variant, VersionRef

PRICE = Price(2.0, 0.5, 8.0, retrieval_per_thousand_searches=0.1)
VARIANT = Variant("rag", "local", VersionRef("p", "1"), VersionRef("lora", "2"), RetrievalSettings("facts"))


def call(request_id: str = "r1", route: str = "support") -> GenerateCall:
    return GenerateCall(request_id, "acme", route, (Message("user", "hi"),), arrived=100.0, labels={"team": "x"})


def served(request_id: str = "r1", route: str = "support") -> Receipt:
    account = Account(call(request_id, route))
    account.resolve(VARIANT, 7, UnitSource.REQUEST)
    account.queue, account.retrieval, account.searches = 0.010, 0.020, 1
    account.passage_ids, (choice,) = ("d#1",), account.choices
    choice.expected_cached_tokens = 64
    account.submit(100.040)
    choice.add(Chunk("a", 1, engine_at=100.090, input_tokens=100, cached_tokens=64), 100.091)
    choice.add(Chunk("bc", 2, engine_at=100.110, finish=FinishReason.STOP), 100.112)
    return account.close(code="OK", now=100.115, price=PRICE)


def test_a_receipt_tells_times_tokens_and_cost() -> None:
    receipt = served()
    assert (receipt.input_tokens, receipt.cached_tokens, receipt.output_tokens) == (100, 64, 3)
    assert (receipt.queue_ms, receipt.retrieval_ms, receipt.total_ms) == (10.0, 20.0, 115.0)
    assert receipt.ttft_ms == 91.0
    # 115 in all, less 10 of queue, 20 of retrieval and 70 from the hand-over to the engine's last token
    assert receipt.gateway_ms == 15.0
    cost = receipt.cost
    assert (cost.input, cost.cached, cost.output, cost.retrieval) == (36 * 2000, 64 * 500, 3 * 8000, 100_000)
    assert cost.total == 72_000 + 32_000 + 24_000 + 100_000


def test_a_receipt_of_several_answers_is_their_sum_and_has_the_times_of_the_longest() -> None:
    account = Account(replace(call(), n=3))
    account.resolve(VARIANT, 7, UnitSource.REQUEST)
    account.submit(100.0)
    first, second, third = account.choices
    first.add(Chunk("a", 1, 100.05, FinishReason.STOP, 100, 0, EngineTimes(0.01, 0.04, 0.0, 1)), 100.05)
    for number, end in ((0, 100.05), (1, 100.30)):
        finish = FinishReason.LENGTH if number else None
        second.add(Chunk("b", 2, end, finish, 100, 96, EngineTimes(0.02, 0.03, 0.25 * number, 2)), end)
    assert account.finish is None
    receipt = account.close(code="CANCELLED", now=100.4, price=PRICE)
    assert (receipt.input_tokens, receipt.cached_tokens, receipt.output_tokens) == (200, 96, 5)
    third.add(Chunk("c", 1, 100.06, FinishReason.STOP, 100, 96, EngineTimes(0.02, 0.04, 0.0, 0)), 100.06)
    for number, choice in enumerate(account.choices):
        choice.expected_cached_tokens, choice.reasoning_tokens = 64, number
    receipt = account.close(code="OK", now=100.31, price=PRICE)
    assert (receipt.input_tokens, receipt.cached_tokens, receipt.output_tokens) == (300, 192, 6)
    assert (receipt.expected_cached_tokens, receipt.reasoning_tokens, receipt.preemptions) == (192, 3, 3)
    assert receipt.finish_reason is FinishReason.LENGTH
    assert (receipt.engine_queue_ms, receipt.prefill_ms, receipt.decode_ms) == (20.0, 30.0, 250.0)
    assert (receipt.ttft_ms, receipt.gateway_ms) == (50.0, 10.0)
    assert (receipt.cost.input, receipt.cost.cached, receipt.cost.output) == (108 * 2000, 192 * 500, 6 * 8000)
    assert [choice.text for choice in account.told()] == ["a", "bb", "c"]
    assert account.token_gaps == [(0.25, 2)]


PARTS = ("queue_ms", "retrieval_ms", "adapter_wait_ms", "engine_queue_ms", "prefill_ms", "decode_ms", "gateway_ms")


def in_engine(*, finish: FinishReason | None, unread: bool = False) -> Account:
    """Handed over at 40 ms; 5 in the engine's queue, 30 of prefill and 20 of decode, preempted once."""
    account = Account(call())
    account.queue, account.adapter_wait = 0.010, 0.005
    account.submit(100.040)
    (choice,) = account.choices
    choice.add(Chunk("a", 1, engine_at=100.080, times=EngineTimes(0.005, 0.030, 0.0, 0)), 100.081)
    take = choice.add_unread if unread else lambda chunk: choice.add(chunk, 100.112)
    take(Chunk("bc", 2, engine_at=100.110, finish=finish, times=EngineTimes(0.005, 0.030, 0.020, 1)))
    return account


def parts(receipt: Receipt) -> tuple[float | None, ...]:
    return tuple(getattr(receipt, name) for name in PARTS)


def test_counts_that_are_estimates_say_so_until_the_end_tells_them() -> None:
    receipts = []
    for last in (None, Chunk("", 0, 100.2, FinishReason.STOP, input_tokens=90, answer_tokens=5)):
        account = Account(call())
        account.resolve(VARIANT, 7, UnitSource.REQUEST)
        account.submit(100.040)
        account.choices[0].add(Chunk("a", 1, engine_at=100.090, input_tokens=100, estimated=True), 100.091)
        account.choices[0].add(Chunk("bc", 2, engine_at=100.110, estimated=True), 100.112)
        if last is not None:
            account.choices[0].add(last, 100.2)
        receipts.append(account.close(code="OK", now=100.3, price=PRICE))
    cut, whole = receipts
    assert (cut.input_tokens, cut.output_tokens, cut.degraded) == (100, 3, ("tokens_estimated",))
    assert (whole.input_tokens, whole.output_tokens, whole.degraded) == (90, 5, ())


def test_the_engines_own_times_are_told_and_all_parts_add_up() -> None:
    receipt = in_engine(finish=FinishReason.STOP).close(code="OK", now=100.115, price=PRICE)
    assert parts(receipt) == (10.0, None, 5.0, 5.0, 30.0, 20.0, 45.0)
    assert receipt.preemptions == 1
    assert in_engine(finish=None).token_gaps == [(0.020, 2)]  # not the event loop's 0.030


def test_a_decode_that_was_cut_short_lasted_until_then() -> None:
    receipt = in_engine(finish=None).close(code="CANCELLED", now=100.500, price=PRICE)
    assert parts(receipt) == (10.0, None, 5.0, 5.0, 30.0, 425.0, 25.0)
    assert sum(part or 0.0 for part in parts(receipt)) == receipt.total_ms


def test_a_reader_that_left_after_the_engines_end_does_not_make_it_slower() -> None:
    receipt = in_engine(finish=FinishReason.STOP, unread=True).close(code="CANCELLED", now=100.500, price=PRICE)
    assert (receipt.decode_ms, receipt.gateway_ms) == (20.0, 430.0)


def test_what_no_engine_told_is_absent() -> None:
    receipt = served()
    assert (receipt.engine_queue_ms, receipt.prefill_ms, receipt.decode_ms, receipt.preemptions) == (None,) * 4
    told = to_json(receipt).keys()
    assert not {"engine_queue_ms", "prefill_ms", "decode_ms", "preemptions"} & told
    assert to_json(replace(receipt, preemptions=0))["preemptions"] == 0


def test_a_machines_time_stands_in_place_of_tokens(tmp_path: Path) -> None:
    account = in_engine(finish=FinishReason.STOP)
    account.resolve(VARIANT, 7, UnitSource.REQUEST)
    account.choices[0].charge_time(MachineCharge(prefill=700, decode=1300))
    receipt = account.close(code="OK", now=100.115, price=None)
    assert receipt.cost == Cost(prefill=700, decode=1300)
    assert (receipt.cost.total, receipt.cost.basis) == (2000, "machine")
    data = to_json(receipt)
    assert data["cost"] == {"prefill": 700, "decode": 1300, "total": 2000, "basis": "machine"}
    assert from_json(data) == receipt
    assert (served().cost.basis, Cost().basis) == ("tokens", "")
    registry = CollectorRegistry()
    Sink(Metrics(registry), ReceiptLog(tmp_path / "r.jsonl"), lambda: ["support"]).record(receipt)
    labels = {"route": "support", "variant": "rag", "component": "decode"}
    assert registry.get_sample_value("trivet_cost_usd_total", labels) == pytest.approx(1300e-9)


def test_waiting_for_a_slot_is_not_the_gateways_own_time() -> None:
    account = Account(call())
    account.queue, account.adapter_wait = 0.010, 0.5
    account.submit(100.520)
    account.choices[0].add(Chunk("a", 1, engine_at=100.600, finish=FinishReason.STOP), 100.601)
    receipt = account.close(code="OK", now=100.605, price=PRICE)
    assert (receipt.queue_ms, receipt.adapter_wait_ms, receipt.gateway_ms) == (10.0, 500.0, 15.0)
    assert receipt.cold
    assert served().adapter_wait_ms is None


def test_what_waited_for_nothing_is_not_cold() -> None:
    account = Account(call())
    account.adapter_wait = 0.0
    assert not account.close(code="OK", now=100.1, price=PRICE).cold
    account.cold = True
    assert account.close(code="OK", now=100.1, price=PRICE).cold


def test_a_failed_request_shows_what_is_known_and_no_passages() -> None:
    account = Account(call())
    receipt = account.close(code="RESOURCE_EXHAUSTED", now=100.001, price=PRICE)
    assert receipt.variant == ""
    assert receipt.finish_reason is FinishReason.ERROR
    assert receipt.output_tokens is None
    assert receipt.cost.total is None
    account.resolve(VARIANT, 0, UnitSource.RANDOM)
    account.passage_ids = ("d#1",)
    account.submit(100.1)
    receipt = account.close(code="CANCELLED", now=100.2, price=PRICE)
    assert receipt.passage_ids == ()
    assert receipt.finish_reason is FinishReason.CANCELLED
    assert receipt.output_tokens == 0
    assert receipt.cached_tokens is None


def test_the_log_gives_back_what_it_was_given(tmp_path: Path) -> None:
    receipt = served()
    assert from_json(json.loads(json.dumps(to_json(receipt)))) == receipt
    log = ReceiptLog(tmp_path / "receipts.jsonl")
    log.append(receipt)
    log.close()
    log = ReceiptLog(tmp_path / "receipts.jsonl")
    assert log.find("acme", "r1") == receipt
    assert log.find("other", "r1") is None
    log.close()


def test_a_half_written_line_is_closed_off(tmp_path: Path) -> None:
    path = tmp_path / "receipts.jsonl"
    log = ReceiptLog(path)
    log.append(served("r1"))
    log.close()
    path.write_bytes(path.read_bytes() + b'{"request_id": "r2", "ten')
    log = ReceiptLog(path)
    log.append(served("r3"))
    log.close()
    log = ReceiptLog(path)
    assert log.find("acme", "r1") is not None
    assert log.find("acme", "r3") is not None
    log.close()


def test_the_sum_of_the_log_equals_the_metrics(tmp_path: Path) -> None:
    registry = CollectorRegistry()
    log = ReceiptLog(tmp_path / "r.jsonl")
    sink = Sink(Metrics(registry), log, lambda: ["support"])
    for number in range(5):
        sink.record(served(f"r{number}"), [(0.02, 2)])
    sink.record(Account(call("bad")).close(code="UNAVAILABLE", now=101.0, price=PRICE))
    log.close()
    lines = [json.loads(line) for line in (tmp_path / "r.jsonl").read_text().splitlines()]
    assert len(lines) == 6

    def value(name: str, **labels: str) -> float:
        return registry.get_sample_value(f"trivet_{name}", {"route": "support", **labels}) or 0.0

    total = sum(line.get("output_tokens", 0) for line in lines)
    assert value("tokens_total", variant="rag", kind="output") == total == 15
    assert value("tokens_total", variant="rag", kind="input_cached") == sum(x.get("cached_tokens", 0) for x in lines)
    uncached = sum(x.get("input_tokens", 0) - x.get("cached_tokens", 0) for x in lines)
    assert value("tokens_total", variant="rag", kind="input_uncached") == uncached
    cost = sum(value("cost_usd_total", variant="rag", component=c) for c in ("input", "cached", "output", "retrieval"))
    assert cost == pytest.approx(sum(x.get("cost", {}).get("total", 0) for x in lines) / 1e9)
    assert value("requests_total", variant="rag", code="OK") == 5
    assert value("requests_total", variant="none", code="UNAVAILABLE") == 1
    assert value("inter_token_seconds_count", variant="rag") == 10


def test_the_engines_own_times_are_counted_by_backend(tmp_path: Path) -> None:
    registry = CollectorRegistry()
    sink = Sink(Metrics(registry), ReceiptLog(tmp_path / "r.jsonl"), lambda: ["support"])
    account = in_engine(finish=FinishReason.STOP)
    account.resolve(VARIANT, 7, UnitSource.REQUEST)
    sink.record(account.close(code="OK", now=100.115, price=PRICE))
    sink.record(served())  # of a backend that tells none
    for name, seconds in (("engine_queue", 0.005), ("prefill", 0.030), ("decode", 0.020)):
        for end, expected in (("sum", seconds), ("count", 1)):
            assert registry.get_sample_value(f"trivet_{name}_seconds_{end}", {"backend": "local"}) == expected
    assert registry.get_sample_value("trivet_preemptions_total", {"backend": "local"}) == 1


def test_what_a_client_writes_never_becomes_a_label(tmp_path: Path) -> None:
    registry = CollectorRegistry()
    sink = Sink(Metrics(registry), ReceiptLog(tmp_path / "r.jsonl"), lambda: ["support"])
    sink.record(Account(call("secret-id", "made-up-route")).close(code="NOT_FOUND", now=101.0, price=None))
    text = generate_latest(registry).decode()
    assert 'route="unknown"' in text
    for word in ("made-up-route", "secret-id", "acme"):
        assert word not in text


def staged() -> Account:
    """5 ms of own time until the place, which took 10; 7 until it has its adapter, which took 5; then 2, 3, and with
    the engine, whose 20 ms begin 1 after, 4; and 6 at the end."""
    account = Account(call())
    account.queue = 0.010
    account.enter(Stage.RESOLVE, 100.015)
    account.adapter_wait = 0.005
    account.enter(Stage.RETRIEVE, 100.027)
    account.retrieval = 0.020
    account.enter(Stage.ASSEMBLE, 100.049)
    account.enter(Stage.STREAM, 100.052)
    account.submit(100.053)
    account.choices[0].add(Chunk("a", 1, engine_at=100.073, finish=FinishReason.STOP), 100.074)
    return account


def test_the_stages_of_the_gateways_own_time_add_up_to_it() -> None:
    account = staged()
    account.enter(Stage.RECEIPT, 100.076)
    receipt = account.close(code="OK", now=100.082, price=PRICE)
    own = {stage: round(seconds * 1000, 6) for stage, seconds in account.stages.items()}
    assert own == {"admission": 5, "resolve": 7, "retrieve": 2, "assemble": 3, "stream": 4, "receipt": 6}
    assert sum(own.values()) == receipt.gateway_ms


def test_what_ends_in_a_stage_is_charged_to_it() -> None:
    account = staged()
    receipt = account.close(code="INTERNAL", now=100.200, price=PRICE)
    assert "receipt" not in account.stages
    assert sum(account.stages.values()) * 1000 == pytest.approx(receipt.gateway_ms)
    refused = Account(call())
    assert refused.close(code="NOT_FOUND", now=100.003, price=PRICE).gateway_ms == 3.0
    assert refused.stages == {"admission": pytest.approx(0.003)}
