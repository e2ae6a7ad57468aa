"""Engines: whether they are up, how full they are, where a request's time goes in them. Most of it is vLLM's own."""

from deploy.grafana.board import BACKEND, Board, Row
from deploy.grafana.panels import SERVED, Query, changes, graph, quantiles, rate

_BACKEND = SERVED + ',backend=~"$backend"'
_MODEL = SERVED + ',model_name=~"$backend"'  # Trivet tells vLLM the backend's name for its model
_NAME = ["model_name"]


def _now(metric: str) -> Query:
    return Query(f"sum by (model_name) ({metric}{{{_MODEL}}})", "{{model_name}}")


BOARD = Board(
    "engine",
    "Engines",
    "Whether they are up, how full they are, where a request's time goes in them.",
    (BACKEND,),
    (
        Row(
            "Up and full",
            (
                graph(
                    "Engines up",
                    "1 while the engine takes requests.",
                    "short",
                    Query(f"min by (backend, instance) (trivet_engine_up{{{_BACKEND}}})", "{{backend}} {{instance}}"),
                ),
                graph(
                    "Restarts",
                    "Starts after a death in the interval, failed ones included.",
                    "short",
                    changes("trivet_engine_restarts_total", _BACKEND, ["backend", "instance"]),
                ),
                graph(
                    "KV cache in use",
                    "At 100% running requests are preempted.",
                    "percentunit",
                    Query(
                        f"max by (model_name, instance) (vllm:kv_cache_usage_perc{{{_MODEL}}})",
                        "{{model_name}} {{instance}}",
                    ),
                ),
                graph(
                    "Requests that run",
                    "In the engine, now.",
                    "short",
                    _now("vllm:num_requests_running"),
                ),
                graph(
                    "Requests that wait",
                    "In the engine, now, although the gateway let them in: the KV cache or max_num_seqs is too small.",
                    "short",
                    _now("vllm:num_requests_waiting"),
                ),
                graph(
                    "Preemptions",
                    "Requests that lost their KV blocks and were computed again, in the interval.",
                    "short",
                    changes("trivet_preemptions_total", _BACKEND, ["backend"]),
                ),
            ),
        ),
        Row(
            "Processes of a server",
            (
                graph(
                    "Processes up",
                    "Of servers with several: front ends by number, and one for each engine. 1 while it serves.",
                    "short",
                    Query(
                        f"min by (instance, process) (trivet_process_up{{{SERVED}}})",
                        "{{instance}} process {{process}}",
                    ),
                ),
                graph(
                    "Processes started again",
                    "In the interval: a process had ended by itself, with what it had in flight.",
                    "short",
                    changes("trivet_process_restarts_total", SERVED, ["instance", "process"]),
                ),
            ),
        ),
        Row(
            "Engine nodes",
            (
                graph(
                    "Nodes by state",
                    "Of backends that are fleets; only those that are ready are asked.",
                    "short",
                    Query(f"max by (backend, state) (trivet_fleet_nodes{{{_BACKEND}}})", "{{backend}} {{state}}"),
                    stacked=True,
                ),
                graph(
                    "Requests tried on a second node",
                    "In the interval: a node was lost, or stopped, before their first token.",
                    "short",
                    changes("trivet_fleet_retries_total", _BACKEND, ["backend"]),
                ),
            ),
        ),
        Row(
            "Work",
            (
                graph(
                    "Tokens",
                    "Per second: of prompts, those of them that were cached, and generated ones; primings included.",
                    "short",
                    rate("vllm:prompt_tokens_total", _MODEL, _NAME, "prompt {{model_name}}"),
                    rate("vllm:prompt_tokens_cached_total", _MODEL, _NAME, "cached {{model_name}}"),
                    rate("vllm:generation_tokens_total", _MODEL, _NAME, "generated {{model_name}}"),
                ),
                graph(
                    "Tokens of a step",
                    "How large the engine's batches are.",
                    "short",
                    *quantiles("vllm:iteration_tokens_total", _MODEL, _NAME),
                ),
                graph(
                    "Requests by how they ended",
                    "In the engine, per second.",
                    "reqps",
                    rate("vllm:request_success_total", _MODEL, ["finished_reason"]),
                    stacked=True,
                ),
                graph(
                    "Length of prompts",
                    "In tokens.",
                    "short",
                    *quantiles("vllm:request_prompt_tokens", _MODEL, _NAME),
                ),
                graph(
                    "Length of answers",
                    "In tokens.",
                    "short",
                    *quantiles("vllm:request_generation_tokens", _MODEL, _NAME),
                ),
                graph(
                    "Prefix cache hits",
                    "Of the tokens that were looked up in the engine's prefix cache.",
                    "percentunit",
                    Query(
                        f"sum by (model_name) (rate(vllm:prefix_cache_hits_total{{{_MODEL}}}[$__rate_interval]))"
                        " / (sum by (model_name) "
                        f"(rate(vllm:prefix_cache_queries_total{{{_MODEL}}}[$__rate_interval])) > 0)",
                        "{{model_name}}",
                    ),
                ),
            ),
        ),
        Row(
            "Times in the engine",
            (
                graph(
                    "Queue",
                    "From the engine's acceptance to its scheduling.",
                    "s",
                    *quantiles("trivet_engine_queue_seconds", _BACKEND, ["backend"]),
                ),
                graph(
                    "Prefill",
                    "From scheduling to the first token.",
                    "s",
                    *quantiles("trivet_prefill_seconds", _BACKEND, ["backend"]),
                ),
                graph(
                    "Decode",
                    "From the first token to the last.",
                    "s",
                    *quantiles("trivet_decode_seconds", _BACKEND, ["backend"]),
                ),
            ),
        ),
    ),
)
