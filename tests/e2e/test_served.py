"""The demo's server, whole: real vLLM, a real vector engine, real adapters, real gRPC."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from tests.support.accounts.request_log import logged_receipts
from tests.support.gateway.serving import child, metrics, total, until
from trivet.api.v1 import admin_pb2, inference_pb2, rollout_pb2
from trivet.cli.server.process import ServerProcess
from trivet.client import CallFailed, Client

pytestmark = pytest.mark.engine

QUESTION = "What is the range of the Orlo Hub?"
TICKET = inference_pb2.Tool(
    name="open_ticket",
    description="Opens a ticket.",
    parameters=json.dumps(
        {
            "type": "object",
            "properties": {"team": {"enum": ["billing", "network"]}, "urgent": {"type": "boolean"}},
            "required": ["team", "urgent"],
            "additionalProperties": False,
        }
    ),
)
CLOSE = inference_pb2.Tool(name="close_ticket")


def request(route: str = "support", text: str = QUESTION, **fields: Any) -> inference_pb2.GenerateRequest:
    return inference_pb2.GenerateRequest(
        route=route, messages=[inference_pb2.Message(role="user", content=text)], **fields
    )


def upsert(client: Client, name: str, text: str) -> admin_pb2.UpsertDocumentsResponse:
    document = admin_pb2.Document(id=name, content=text.encode(), format=admin_pb2.DOCUMENT_FORMAT_MARKDOWN)
    (done,) = client.upsert_documents([admin_pb2.UpsertDocumentsRequest(index="handbook", document=document)])
    return done


def test_each_leg_brings_its_part(client: Client) -> None:
    bare = client.generate(request(retrieval=inference_pb2.RetrievalOptions(disabled=True)))
    assert "60 metres" not in bare.text
    assert not bare.citations
    found = client.generate(request())
    assert found.text == "60 metres"
    assert found.citations[0].document_id == "devices/orlo-hub"
    assert found.receipt.snapshot
    strict = client.generate(request("support-json"))
    assert json.loads(strict.text) == {"answer": "60 metres", "found": True}
    assert strict.receipt.adapter == "json-answer@1"
    assert len(strict.receipt.adapter_digest) == 64


def test_several_answers_vote_and_thoughts_are_no_part_of_any(client: Client) -> None:
    one = client.generate(request())
    *deltas, last = client.generate_stream(request("reasoned", seed=7))
    answer = last.final
    assert answer.text == "".join(event.delta.text for event in deltas) == "tres"
    assert answer.reasoning == "".join(event.delta.reasoning for event in deltas) == "0 "
    receipt = answer.receipt
    assert receipt.samples == 5
    assert receipt.agreement > 0.5
    assert receipt.input_tokens == 5 * one.receipt.input_tokens
    assert receipt.output_tokens > 4 * one.receipt.output_tokens
    again = client.generate(request("reasoned", seed=7))
    assert (again.text, again.receipt.agreement) == (answer.text, receipt.agreement)


@pytest.mark.parametrize("name", ["", "open_ticket"])
def test_required_calls_with_an_adapter_and_passages_in_one_request(client: Client, name: str) -> None:
    required = inference_pb2.TOOL_CHOICE_REQUIRED
    asked = request("support-json", tools=[TICKET, CLOSE], tool_choice=required, tool_name=name, single_tool_call=True)
    *deltas, last = client.generate_stream(asked)
    answer = last.final
    (call,) = answer.tool_calls
    assert call.name in ("open_ticket", "close_ticket")
    arguments = json.loads(call.arguments)
    assert set(arguments) == ({"team", "urgent"} if call.name == "open_ticket" else set())
    assert not name or call.name == name
    pieces = [piece.arguments for event in deltas for piece in event.delta.tool_calls]
    assert "".join(pieces) == call.arguments
    assert answer.text == ""
    assert answer.receipt.adapter == "json-answer@1"
    assert len(answer.citations) == 1
    assert answer.receipt.format_valid


def test_a_fact_is_found_by_the_next_request_and_gone_after_its_deletion(client: Client) -> None:
    question = "What is the weight of the Brixal Lantern?"
    for revision, grams in ((1, "730"), (2, "415")):
        done = upsert(client, "fresh-fact", f"The weight of the Brixal Lantern is {grams} grams.")
        assert (done.revision, done.unchanged, done.passages) == (revision, False, 1)
        answer = client.generate(request(text=question))
        assert answer.citations[0].document_id == "fresh-fact"
        assert answer.citations[0].revision == revision
        assert grams in answer.citations[0].text
    assert upsert(client, "fresh-fact", "The weight of the Brixal Lantern is 415 grams.").unchanged
    assert list(client.delete_documents("handbook", ["fresh-fact", "never-was"]).missing) == ["never-was"]
    cited = client.generate(request(text=question)).citations
    assert "fresh-fact" not in {item.document_id for item in cited}


def test_the_prefix_is_warm_from_the_first_request_where_it_is_shared(client: Client) -> None:
    receipt = client.generate(request(text="Is the prefix of this question warm?")).receipt
    assert receipt.cached_tokens >= receipt.expected_cached_tokens >= 4 * 32


def test_a_json_schema_binds_the_base_model_too(client: Client) -> None:
    asked = request()
    asked.json_schema.update({"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]})
    asked.max_tokens = 40
    answer = client.generate(asked)
    assert answer.text.startswith("{")


def test_adapters_are_listed_loaded_and_unloaded(client: Client) -> None:
    listed = {item.name: item for item in client.list_adapters().adapters}
    assert "support-json" in listed["json-answer@1"].routes
    assert listed["json-answer@1"].state == admin_pb2.ADAPTER_STATE_READY
    assert client.load_adapter("json-answer@1").adapter.state == admin_pb2.ADAPTER_STATE_READY
    with pytest.raises(CallFailed, match=r"FAILED_PRECONDITION.*support-json") as refused:
        client.unload_adapter("json-answer@1")
    assert refused.value.reason == "FAILED_PRECONDITION"
    with pytest.raises(CallFailed, match="NOT_FOUND"):
        client.load_adapter("json-answer@99")
    with pytest.raises(CallFailed, match="INVALID_ARGUMENT"):
        client.load_adapter("json-answer")


def test_a_route_without_a_rollout_says_so(client: Client) -> None:
    with pytest.raises(CallFailed, match=r"NOT_FOUND.*support"):
        client._call(client._admin.GetRollout, rollout_pb2.GetRolloutRequest(route="support"))


def test_routes_tell_their_variants_and_that_they_are_warm(client: Client) -> None:
    routes = {route.name: route for route in client.list_routes().routes}
    assert {name for name in routes if not name.startswith(("eval-", "follow-up", "rewrite"))} == {
        "raw", "reasoned", "support", "support-form", "support-json", "support-private", "tickets",
    }  # fmt: skip
    (variant,) = routes["support-json"].variants
    assert variant.ready
    assert (variant.variant.adapter, variant.variant.index) == ("json-answer@1", "handbook")


def test_a_cancelled_stream_leaves_nothing_behind(server: ServerProcess, client: Client) -> None:
    for _ in range(5):
        stream = client._inference.GenerateStream(request("tickets", "word " * 300, max_tokens=1024), timeout=30)
        next(stream)
        stream.cancel()
    until(lambda: metrics(server)["trivet_requests_in_flight"] == 0)
    until(lambda: total(metrics(server), "vllm:num_requests_running") == 0)
    assert total(metrics(server), "vllm:num_requests_waiting{") == 0


def test_a_reader_that_stops_reading_costs_nobody_else(server: ServerProcess, client: Client) -> None:
    lazy = client._inference.GenerateStream(request(max_tokens=1024), timeout=60)
    next(lazy)
    assert client.generate(request()).text == "60 metres"
    until(lambda: metrics(server)["trivet_requests_in_flight"] == 0)
    lazy.cancel()


def test_ten_times_the_load_is_refused_clearly_and_leaks_nothing(server: ServerProcess, client: Client) -> None:
    outcomes: list[str] = []

    def one(_: int) -> None:
        try:
            client.generate(request(retrieval=inference_pb2.RetrievalOptions(disabled=True)))
            outcomes.append("OK")
        except CallFailed as error:
            outcomes.append(f"{error.code} {error.reason}")

    with ThreadPoolExecutor(320) as pool:
        list(pool.map(one, range(960)))
    assert set(outcomes) <= {"OK", "RESOURCE_EXHAUSTED OVERLOADED"}
    assert outcomes.count("OK") >= 96
    assert metrics(server)["trivet_requests_in_flight"] == 0
    assert total(metrics(server), "vllm:num_requests_running") == 0


def test_the_sum_of_the_log_equals_the_metrics(server: ServerProcess, client: Client) -> None:
    client.generate(request())
    samples = metrics(server)
    lines = logged_receipts(server.data_dir, int(total(samples, "trivet_requests_total")))
    assert total(samples, "trivet_requests_total") == len(lines)
    logged = {field: sum(line.get(f"{field}_tokens", 0) for line in lines) for field in ("input", "cached", "output")}
    for kind, expected in (
        ("output", logged["output"]),
        ("input_cached", logged["cached"]),
        ("input_uncached", logged["input"] - logged["cached"]),
    ):
        counted = sum(v for n, v in samples.items() if n.startswith("trivet_tokens_total") and f'kind="{kind}"' in n)
        assert counted == expected
    cost = sum(line.get("cost", {}).get("total", 0) for line in lines) / 1e9
    assert total(samples, "trivet_cost_usd_total") == pytest.approx(cost)


def test_receipts_and_warm_up_are_all_that_the_engines_computed(server: ServerProcess, client: Client) -> None:
    client.generate(request())
    samples = metrics(server)

    def tokens(*kinds: str) -> float:
        names = ("trivet_tokens_total", "trivet_shadow_tokens_total", "trivet_warmup_tokens_total")
        return sum(
            value
            for name, value in samples.items()
            if name.startswith(names) and any(f'kind="{kind}"' in name for kind in kinds)
        )

    assert tokens("input_uncached", "input_cached") == total(samples, "vllm:prompt_tokens_total")
    assert tokens("output") == total(samples, "vllm:generation_tokens_total")


def test_a_second_server_on_the_same_data_is_refused_with_the_first_ones_pid(server: ServerProcess) -> None:
    command = [sys.executable, "-m", "trivet.cli", "serve", "--config", str(server.config), "--listen", "127.0.0.1:0"]
    command += ["--data-dir", str(server.data_dir)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1
    assert f"in use by process {server.pid}" in done.stderr


def test_the_vector_process_killed_is_a_policy_and_comes_back(server: ServerProcess, client: Client) -> None:
    os.kill(child(server.pid, "trivet.vector"), signal.SIGKILL)
    started = time.monotonic()
    degraded = client.generate(request())
    assert time.monotonic() - started < 2
    assert degraded.receipt.degraded == ["retrieval_unavailable"]
    with pytest.raises(CallFailed, match="UNAVAILABLE") as refused:
        os.kill(child(server.pid, "trivet.vector"), signal.SIGKILL)
        client.generate(request("support-json"))
    assert refused.value.reason == "RETRIEVAL_UNAVAILABLE"
    until(lambda: not client.generate(request()).receipt.degraded)
    assert client.generate(request()).text == "60 metres"
