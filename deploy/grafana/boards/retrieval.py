"""Retrieval: searches and their outcomes, the vector engine, the state of each index."""

from deploy.grafana.board import INDEX, Board, Row
from deploy.grafana.panels import SERVED, Query, changes, graph, quantiles, rate

_INDEX = SERVED + ',index=~"$index"'

BOARD = Board(
    "retrieval",
    "Retrieval",
    "Searches and their outcomes, the vector engine, the state of each index.",
    (INDEX,),
    (
        Row(
            "Searches",
            (
                graph(
                    "Searches by outcome",
                    "Per second. `timeout` and `unavailable` degrade answers or refuse requests, by each route's "
                    "policy.",
                    "reqps",
                    rate("trivet_retrieval_duration_seconds_count", _INDEX, ["index", "outcome"]),
                    stacked=True,
                ),
                graph(
                    "Time of a search",
                    "With the embedding of its text.",
                    "s",
                    *quantiles("trivet_retrieval_duration_seconds", _INDEX, ["index"], exemplars=True),
                ),
                graph(
                    "Answers without passages or examples",
                    "Per second, by route and reason.",
                    "reqps",
                    rate("trivet_degraded_total", SERVED + ',reason=~"retrieval_.*|examples_.*"', ["route", "reason"]),
                    stacked=True,
                ),
            ),
        ),
        Row(
            "Questions",
            (
                graph(
                    "Evidence that questions have changed",
                    "As a power of ten, of the gateway that has most: 1.3 is an alarm. Of routes that are watched.",
                    "short",
                    Query(f"max by (route) (trivet_drift_evidence_log10{{{SERVED}}})", "{{route}}"),
                ),
                graph(
                    "Alarm: other questions than before",
                    "1 for some days: retrain or re-index.",
                    "short",
                    Query(f"max by (route) (trivet_drift_alarm{{{SERVED}}})", "{{route}}"),
                ),
                graph(
                    "Answers of low confidence",
                    "Per second, by route: the documents hardly have what was asked for.",
                    "reqps",
                    rate("trivet_degraded_total", SERVED + ',reason="low_confidence"', ["route"]),
                ),
                graph(
                    "Answers that say that nothing was found",
                    "Per second, of routes that are watched and name such answers.",
                    "reqps",
                    rate("trivet_unanswered_total", SERVED, ["route"]),
                ),
            ),
        ),
        Row(
            "Models of indexes",
            (
                graph(
                    "Requests for vectors and scores",
                    "Per second, by what they are for and how they ended; `/v1/embeddings` and `/v1/rerank`.",
                    "reqps",
                    rate("trivet_index_model_requests_total", _INDEX, ["index", "use", "code"]),
                    stacked=True,
                ),
                graph(
                    "Their tokens",
                    "Per second.",
                    "short",
                    rate("trivet_index_model_tokens_total", _INDEX, ["index", "use"]),
                    stacked=True,
                ),
                graph(
                    "What they cost",
                    "USD per second, by the prices of the indexes.",
                    "currencyUSD",
                    rate("trivet_index_model_cost_usd_total", _INDEX, ["index", "use"]),
                    stacked=True,
                ),
            ),
        ),
        Row(
            "Vector engine and indexes",
            (
                graph(
                    "Vector engine",
                    "1 while it answers.",
                    "short",
                    Query(f"min by (instance) (trivet_vector_engine_up{{{SERVED}}})", "{{instance}}"),
                    width=6,
                ),
                graph(
                    "Restarts of the vector engine",
                    "In the interval; the embedded one alone.",
                    "short",
                    changes("trivet_vector_engine_restarts_total", SERVED, ["instance"]),
                    width=6,
                ),
                graph(
                    "Documents that a snapshot lacks",
                    "Of the slowest retained snapshot, in their newest revision.",
                    "short",
                    Query(f"max by (index) (trivet_index_snapshot_lag{{{_INDEX}}})", "{{index}}"),
                    width=6,
                ),
                graph(
                    "Points that are not optimised",
                    "Written to the live snapshot since it was last optimised; beyond 20,000 searches get slower.",
                    "short",
                    Query(f"max by (index) (trivet_index_unoptimised_points{{{_INDEX}}})", "{{index}}"),
                    width=6,
                ),
                graph(
                    "Documents that were repaired",
                    "Lost from the collection and written again from the log, since the start. Anything above 0 is "
                    "damage.",
                    "short",
                    Query(f"max by (index) (trivet_index_repaired_documents{{{_INDEX}}})", "{{index}}"),
                    width=6,
                ),
            ),
        ),
    ),
)
