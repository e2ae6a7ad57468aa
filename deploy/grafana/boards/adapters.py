"""Adapters and JSON schemas: what is loaded, what waits for a slot."""

from deploy.grafana.board import BACKEND, Board, Row
from deploy.grafana.panels import SERVED, Query, changes, graph, quantiles, rate

_BACKEND = SERVED + ',backend=~"$backend"'

BOARD = Board(
    "adapters",
    "Adapters",
    "What is loaded, and what waits for a slot of the engine.",
    (BACKEND,),
    (
        Row(
            "Adapters",
            (
                graph(
                    "By state",
                    "Adapters that are loaded or expected; `failed` ones keep their variants from serving.",
                    "short",
                    Query(f"sum by (state) (trivet_adapter_state{{{SERVED}}})", "{{state}}"),
                    stacked=True,
                ),
                graph(
                    "By tier",
                    "Where the weights are: on the disk, in the host's memory, or leased a slot of the engine.",
                    "short",
                    Query(f"sum by (tier) (trivet_adapter_resident{{{SERVED}}})", "{{tier}}"),
                    stacked=True,
                ),
                graph(
                    "Loads",
                    "Loads that ended in the interval, by outcome.",
                    "short",
                    changes("trivet_adapter_loads_total", SERVED, ["outcome"]),
                ),
                graph(
                    "Time of a load",
                    "From the order to resident, the wait for other loads included.",
                    "s",
                    *quantiles("trivet_adapter_load_seconds", SERVED),
                ),
            ),
        ),
        Row(
            "Adapters that requests choose",
            (
                graph(
                    "Cold starts",
                    "Requests that waited for an adapter that they chose, by outcome.",
                    "reqps",
                    rate("trivet_adapter_cold_starts_total", SERVED, ["outcome"]),
                ),
                graph(
                    "Time of a cold start",
                    "As requests see it, their turn included.",
                    "s",
                    *quantiles("trivet_adapter_cold_start_seconds", SERVED),
                ),
                graph(
                    "Cold starts that wait",
                    "For their turn, now, and copies on the disk.",
                    "short",
                    Query(f"sum(trivet_adapter_cold_starts_waiting{{{SERVED}}})", "waiting"),
                    Query(f"sum(trivet_adapter_on_demand_copies{{{SERVED}}})", "copies"),
                ),
                graph(
                    "Copies on the disk",
                    "adapters_on_demand.disk_bytes is the bound.",
                    "bytes",
                    Query(f"sum(trivet_adapter_on_demand_bytes{{{SERVED}}})", "bytes"),
                ),
            ),
        ),
        Row(
            "Slots of the engine",
            (
                graph(
                    "Slots that are leased",
                    "Slots that adapters hold now; max_loras is their number.",
                    "short",
                    Query(f"sum by (backend) (trivet_adapter_slots_leased{{{_BACKEND}}})", "{{backend}}"),
                ),
                graph(
                    "Requests that wait for a slot",
                    "Now. More adapters in use than slots make them wait in turns.",
                    "short",
                    Query(f"sum by (backend) (trivet_adapter_waiting{{{_BACKEND}}})", "{{backend}}"),
                ),
                graph(
                    "Wait for a slot",
                    "Of requests and primings.",
                    "s",
                    *quantiles("trivet_adapter_wait_seconds", _BACKEND, ["backend"]),
                ),
            ),
        ),
        Row(
            "Shared prefix",
            (
                graph(
                    "Input shared with the base model",
                    "Tokens per second that activated LoRAs found in the cache as the base model's, by adapter.",
                    "short",
                    rate("trivet_adapter_shared_tokens_total", SERVED, ["adapter"]),
                ),
            ),
        ),
        Row(
            "JSON schemas",
            (
                graph(
                    "Trials of new schemas",
                    "By outcome, per second. Refusals tell of clients' schemas.",
                    "reqps",
                    rate("trivet_schema_compile_seconds_count", _BACKEND, ["backend", "outcome"]),
                ),
                graph(
                    "Time of a trial",
                    "A schema that was tried before takes none.",
                    "s",
                    *quantiles("trivet_schema_compile_seconds", _BACKEND, ["backend"]),
                ),
                graph(
                    "Schemas that wait",
                    "For their trial, now.",
                    "short",
                    Query(f"sum by (backend) (trivet_schemas_waiting{{{_BACKEND}}})", "{{backend}}"),
                ),
            ),
        ),
    ),
)
