"""`trivet ask`: one question to a running server."""

from __future__ import annotations

import json
from typing import Any

import click
from google.protobuf import json_format

from trivet.api.v1 import inference_pb2
from trivet.cli.console.interrupts import interrupted
from trivet.cli.console.output import enum_name, plain, print_json
from trivet.cli.options.fields import where_option
from trivet.cli.options.target import target_options
from trivet.cli.options.variables import pairs
from trivet.client import CallFailed, Client, Target


@click.command(short_help="Ask a running server one question.")
@click.argument("question")
@click.option("--route", help="The route to ask; not needed if the server has only one.")
@click.option("--unit", default="", help="User or session id: the same id gets the same variant.")
@click.option("--variant", default="", help="The variant that is to answer; with an operator's key or a tester's.")
@click.option("--var", "variables", multiple=True, metavar="NAME=VALUE", help="A template variable; repeatable.")
@click.option("--schema", help="JSON schema that the answer has to follow.")
@click.option("--top-k", type=click.IntRange(1, 100), help="Retrieve at most this many passages.")
@click.option("--tag", "tags", multiple=True, help="Search only documents that have this tag; repeatable.")
@where_option
@click.option("--no-retrieval", is_flag=True, help="Answer without passages.")
@click.option("--max-tokens", type=click.IntRange(1), help="Generate at most this many tokens.")
@click.option(
    "--temperature", type=click.FloatRange(0, 2), help="Randomness of the answer; 0 always takes the likeliest token."
)
@click.option("--seed", type=click.IntRange(0), help="Seed that makes a random answer repeatable.")
@click.option("--adapter", default="", help="Adapter, name@version, where the route leaves the choice to requests.")
@click.option("--json", "as_json", is_flag=True, help="Print the whole response message.")
@target_options("clients", "operators")
def ask(
    target: Target,
    question: str,
    route: str | None,
    unit: str,
    variant: str,
    variables: tuple[str, ...],
    schema: str | None,
    top_k: int | None,
    tags: tuple[str, ...],
    where: dict[str, Any] | None,
    no_retrieval: bool,
    max_tokens: int | None,
    temperature: float | None,
    seed: int | None,
    adapter: str,
    as_json: bool,
) -> None:
    """Ask a running server one QUESTION, and show the answer, its sources, and what it took.

    \b
    Examples:
      trivet ask "What is the range of the Veltro scooter?"
      trivet ask "..." --route support --var company=Kestrel --no-retrieval
      trivet ask "..." --route support-json --json | jq .receipt.cost.total
    """
    request = inference_pb2.GenerateRequest(
        messages=[inference_pb2.Message(role="user", content=question)],
        variables=pairs(variables),
        unit_id=unit,
        max_tokens=max_tokens,
        temperature=temperature,
        seed=seed,
        adapter=adapter,
        retrieval=inference_pb2.RetrievalOptions(top_k=top_k, filter=tags, disabled=no_retrieval, where=where),
    )
    if schema is not None:
        try:
            json_format.ParseDict(json.loads(schema), request.json_schema)
        except (ValueError, json_format.ParseError) as error:
            raise click.BadParameter(f"not a JSON object: {error}", param_hint="--schema") from error
    with Client(target) as client:
        request.route = route or _only_route(client)
        try:
            with interrupted("the answer is incomplete; the server stops working on it"):
                _show_answer(client, request, [("x-trivet-variant", variant)] if variant else [], as_json)
        except CallFailed as error:
            if error.reason == "UNKNOWN_ROUTE":
                error.add_note("`trivet route ls` lists the routes.")
            raise


def _show_answer(
    client: Client, request: inference_pb2.GenerateRequest, metadata: list[tuple[str, str]], as_json: bool
) -> None:
    if as_json:
        print_json(plain(client.generate(request, metadata=metadata)))
        return
    for event in client.generate_stream(request, metadata=metadata):
        if event.HasField("delta"):
            click.echo(event.delta.text, nl=False)
        else:
            click.echo()
            _print_account(event.final)


def _only_route(client: Client) -> str:
    """The route of a server that has one; click.UsageError names them if there are more."""
    try:
        names = [item.name for item in client.list_routes().routes]
    except CallFailed as error:
        if error.code not in {"UNAUTHENTICATED", "PERMISSION_DENIED"}:
            error.add_note("With --route the listener for operators is not asked which routes there are.")
            raise
        raise click.UsageError(f"the routes cannot be listed ({error.message}): name one with --route") from error
    if len(names) != 1:
        raise click.UsageError(f"name a route with --route; the server has: {', '.join(names)}")
    return names[0]


def _print_account(response: inference_pb2.GenerateResponse) -> None:
    for number, citation in enumerate(response.citations, start=1):
        click.secho(f"  [{number}] {citation.document_id} (revision {citation.revision}): {citation.title}", dim=True)
    receipt = response.receipt
    parts = [f"variant {receipt.variant}"]
    if receipt.adapter:
        parts.append(f"adapter {receipt.adapter}")
    parts.append(f"{receipt.input_tokens} tokens in ({receipt.cached_tokens} cached), {receipt.output_tokens} out")
    if receipt.HasField("ttft_ms"):
        parts.append(f"first token {receipt.ttft_ms:.0f} ms")
    if receipt.HasField("retrieval_confidence"):
        parts.append(f"confidence {receipt.retrieval_confidence:.2f}")
    if receipt.cost.HasField("total"):
        parts.append(f"${receipt.cost.total / 1e9:.6f}")
    if receipt.rollout:
        parts.append(f"rollout {receipt.rollout}, step {receipt.rollout_step}")
    if receipt.HasField("format_valid") and not receipt.format_valid:
        parts.append("not of the form that was asked for")
    if receipt.degraded:
        parts.append("degraded: " + ", ".join(receipt.degraded))
    finish = enum_name(receipt.DESCRIPTOR.fields_by_name["finish_reason"], receipt.finish_reason)
    if finish != "stop":
        parts.append(f"ended by {finish}")
    click.secho("  " + "; ".join(parts), dim=True)
