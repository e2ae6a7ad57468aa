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
