"""Every account of the same requests, set against every other. What differs is a problem, in words."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import Any

from benchmarks.accounts.traffic import Seen
from benchmarks.accounts.world import ROUTES
from trivet.api.v1 import receipt_pb2

NANO = 10**9
Samples = Mapping[tuple[str, frozenset[tuple[str, str]]], float]
PARTS = ("input", "cached", "output", "retrieval", "prefill", "decode", "total")
TOKENS = ("input_tokens", "cached_tokens", "expected_cached_tokens", "output_tokens")
TEXTS = ("tenant", "route", "variant", "backend", "adapter", "adapter_digest", "prompt", "code")
# Whose mistake keeps a request from being known at all.
NOBODYS = frozenset({"wrong key"})
MAY_NOT_ARRIVE = frozenset({"grpc cancelled", "grpc stream cancelled", "http left", "grpc deadline"})
_SAMPLE = re.compile(r"(\S+?)(?:\{(.*)\})? (\S+)")
_LABEL = re.compile(r'(\w+)="((?:[^"\\]|\\.)*)"')


def samples(page: str) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    """Of a page of metrics in the text format."""
    found = {}
    for line in page.splitlines():
        if not line.startswith("#") and (match := _SAMPLE.fullmatch(line)):
            labels = frozenset((name, value) for name, value in _LABEL.findall(match[2] or ""))
            found[match[1], labels] = float(match[3])
    return found


def summed(found: Samples, metric: str, *by: str) -> Counter[tuple[str, ...]]:
    """The samples of a metric that are not 0, by these of their labels; of amounts of USD, nano-USD."""
    sums: Counter[tuple[str, ...]] = Counter()
    for (name, labels), value in found.items():
        if name == metric and value:
            amount = round(value * NANO) if "_usd_" in metric else round(value)
            sums[tuple(dict(labels).get(label, "") for label in by)] += amount
    return sums


def same(what: str, one: Mapping[Any, int], other: Mapping[Any, int]) -> list[str]:
    """What differs between two sums; 0 is the same as absent."""
    keys = sorted({*one, *other}, key=str)
    return [
        f"{what}, {key}: {one.get(key, 0)} against {other.get(key, 0)}"
        for key in keys
        if one.get(key, 0) != other.get(key, 0)
    ]


def same_receipt(line: Mapping[str, Any], receipt: receipt_pb2.Receipt) -> list[str]:
    """What differs between a receipt and its line in the log, in what is counted or charged."""
    found = []
    for name in TOKENS:
        told = getattr(receipt, name) if receipt.HasField(name) else None
        if told != line.get(name):
            found.append(f"{receipt.request_id}: {name} {told} against {line.get(name)} in the log")
    cost = line.get("cost", {})
    for name in PARTS:
        told = getattr(receipt.cost, name) if receipt.cost.HasField(name) else None
        if told != cost.get(name):
            found.append(f"{receipt.request_id}: cost.{name} {told} against {cost.get(name)} in the log")
    for name in TEXTS:
        if getattr(receipt, name) != line.get(name, ""):
            found.append(f"{receipt.request_id}: {name} {getattr(receipt, name)!r} against {line.get(name)!r}")
    if list(receipt.degraded) != line.get("degraded", []):
        found.append(f"{receipt.request_id}: degraded {list(receipt.degraded)} against {line.get('degraded')}")
    return found


def clients_and_log(
    seen: Iterable[Seen], fetched: Mapping[str, receipt_pb2.Receipt], lines: Iterable[Mapping[str, Any]]
) -> list[str]:
    """Each request has one line; what the client was told and what GetReceipt says is the same as the line."""
    problems: list[str] = []
    times = Counter(line["request_id"] for line in lines)
    by_id = {line["request_id"]: line for line in lines}
    for one in seen:
        most, least = (0, 0) if one.kind in NOBODYS else (1, 0 if one.kind in MAY_NOT_ARRIVE else 1)
        if not least <= times[one.id] <= most:
            problems.append(f"{one.id} ({one.kind}, {one.code}) has {times[one.id]} lines")
        if (one.id in by_id) != (one.id in fetched):
            problems.append(f"{one.id} ({one.kind}): in the log, or fetched, and not both")
        for receipt in (one.receipt, fetched.get(one.id)):
            if receipt is not None:
                problems += same_receipt(by_id.get(one.id, {}), receipt)
    return problems + [f"a line of nobody: {name}" for name in sorted(set(by_id) - {one.id for one in seen})]


def log_and_metrics(lines: Iterable[Mapping[str, Any]], found: Samples, routes: Collection[str] = ROUTES) -> list[str]:
    """The sums of the log's receipts, and of copies, are what /metrics says."""
    requests: Counter[tuple[str, ...]] = Counter()
    tokens: Counter[tuple[str, ...]] = Counter()
    expected: Counter[tuple[str, ...]] = Counter()
    degraded: Counter[tuple[str, ...]] = Counter()
    cost: Counter[tuple[str, ...]] = Counter()
    copied: tuple[Counter[tuple[str, ...]], Counter[tuple[str, ...]]] = (Counter(), Counter())
    for line in lines:
        known = line.get("variant") or line.get("route") in routes
        labels = (line["route"] if known else "unknown", line.get("variant", "none"))
        shadow = line.get("shadow", False)
        if not shadow:
            requests[*labels, line["code"]] += 1
            expected[labels] += line.get("expected_cached_tokens", 0)
            degraded.update((labels[0], reason) for reason in line.get("degraded", ()))
        into_tokens, into_cost = copied if shadow else (tokens, cost)
        cached = line.get("cached_tokens", 0)
        into_tokens[*labels, "input_uncached"] += line.get("input_tokens", 0) - cached
        into_tokens[*labels, "input_cached"] += cached
        into_tokens[*labels, "output"] += line.get("output_tokens", 0)
        for name in PARTS[:-1]:
            into_cost[*labels, name] += line.get("cost", {}).get(name, 0)
    by = ("route", "variant")
    return [
        *same("requests", requests, summed(found, "trivet_requests_total", *by, "code")),
        *same("tokens", tokens, summed(found, "trivet_tokens_total", *by, "kind")),
        *same("expected", expected, summed(found, "trivet_expected_cached_tokens_total", *by)),
        *same("degraded", degraded, summed(found, "trivet_degraded_total", "route", "reason")),
        *same("cost", cost, summed(found, "trivet_cost_usd_total", *by, "component")),
        *same("tokens of copies", copied[0], summed(found, "trivet_shadow_tokens_total", *by, "kind")),
        *same("cost of copies", copied[1], summed(found, "trivet_shadow_cost_usd_total", *by, "component")),
    ]


def engine_tokens(found: Samples) -> Counter[tuple[str, str]]:
    """What the engines count since their starts, by backend: `input`, `cached` and `output` tokens."""
    counts: Counter[tuple[str, str]] = Counter()
    for kind, metric in (
        ("input", "vllm:prompt_tokens_total"), ("output", "vllm:generation_tokens_total"),
    ):  # fmt: skip
        for (backend,), value in summed(found, metric, "model_name").items():
            counts[backend, kind] += value
    return counts


def trivet_tokens(found: Samples, routes: Mapping[str, str] = ROUTES) -> Counter[tuple[str, str]]:
    """What Trivet counts of requests, copies and warm-up, by backend."""
    counts: Counter[tuple[str, str]] = Counter()
    for metric in ("trivet_tokens_total", "trivet_shadow_tokens_total"):
        for (route, kind), value in summed(found, metric, "route", "kind").items():
            if route in routes:
                counts[routes[route], kind.partition("_")[0]] += value
    for (backend, kind), value in summed(found, "trivet_warmup_tokens_total", "backend", "kind").items():
        counts[backend, kind.partition("_")[0]] += value
    return counts


def report_and_log(report: Mapping[str, Any], lines: Iterable[Mapping[str, Any]], found: Samples) -> list[str]:
    """`trivet cost --json` says what the log's lines add up to."""
    total = report["total"]
    ours: Counter[str] = Counter()
    for line in lines:
        ours["requests"] += 1
        for name in ("input_tokens", "cached_tokens", "output_tokens"):
            ours[name] += line.get(name, 0)
        ours.update({f"cost.{name}": line.get("cost", {}).get(name, 0) for name in PARTS})
    theirs = {name: total[name] for name in ("requests", "input_tokens", "cached_tokens", "output_tokens")}
    theirs |= {f"cost.{name}": amount for name, amount in total["cost"].items()}
    machines = {name: sums["requests"]["nano_usd"] for name, sums in report["machines"].items()}
    metered = summed(found, "trivet_machine_cost_usd_total", "backend", "account")
    problems = same("trivet cost", ours, theirs)
    problems += same("machine", machines, {name: metered[name, "requests"] for name in machines})
    return problems + ([f"damaged lines: {report['log']}"] if report["log"]["damaged_lines"] else [])


def read_log(folder: Path) -> list[dict[str, Any]]:
    """The receipts of a data folder, without the statements of machines."""
    files = [*sorted(folder.glob("receipts-*.jsonl")), folder / "receipts.jsonl"]
    lines = [json.loads(line) for file in files for line in file.read_text().splitlines()]
    return [line for line in lines if "machine" not in line]
