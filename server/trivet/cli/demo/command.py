"""`trivet demo`: starts a server, asks it real questions, shows what each leg brings, and stops it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import click

from trivet.api.v1 import admin_pb2, inference_pb2, receipt_pb2
from trivet.cli.console.interrupts import interrupted
from trivet.cli.console.output import plain, print_json, print_table
from trivet.cli.demo.rollouts import DemoRollouts
from trivet.cli.demo.table import DemoTable
from trivet.cli.options.config import config_options
from trivet.cli.server.process import ServerProcess
from trivet.client import Client
from trivet.config import Config

QUESTION = "What is the range of the Orlo Hub?"
NEW_QUESTION = "What is the weight of the Brixal Lantern?"
NEW_FACT = "# Brixal Lantern\n\nThe weight of the Brixal Lantern is 730 grams.\n"
NEW_DOCUMENT = "brixal-lantern"


@click.command(short_help="Show with real requests what Trivet does.")
@click.option("--limit", type=click.IntRange(1), help="Ask only the first N questions for the table at the end.")
@config_options
def demo(load: Callable[..., Config], limit: int | None) -> None:
    """Start a server on the demo's configuration, show with real requests what it does, and stop it.

    \b
    Examples:
      trivet demo
      trivet demo --data-dir /tmp/trivet-demo
      trivet demo --limit 60
    """
    config = load()
    table = DemoTable(config, limit)
    data = config.data_dir / "demo"
    with (
        interrupted(f"the demo's server has ended. The same command begins anew; delete {data} to leave nothing"),
        _served(table.server_config, data) as client,
    ):
        _build(client)
        _bare_and_retrieved(client)
        _fresh_fact(client)
        _adapter(client)
        receipt = _warm_prefix(client)
        _title("6. The account of that last request")
        print_json(plain(client.get_receipt(receipt.request_id).receipt))
        _title("7. Another variant takes over, or is rolled back, by what its users see")
        DemoRollouts(config.path.parent, data).show(client)
        _title("8. What each leg is worth")
        table.show(client)
    _how_to_go_on(config.file.server.metrics_listen)


@contextmanager
def _served(config: Path, data: Path) -> Iterator[Client]:
    click.secho("Starting a server (vLLM on this machine, Qdrant's engine beside it)", bold=True)
    with ServerProcess(config, data) as server, Client(server.target) as client:
        yield client


def _build(client: Client) -> None:
    _title("0. The handbook becomes an index")
    for event in client.build_index("handbook", strict=True):
        if event.HasField("built"):
            click.echo(f"  {event.built.documents} documents, {event.built.passages} passages")


def _bare_and_retrieved(client: Client) -> None:
    _title("1. A question that the bare model cannot answer")
    _show(client.generate(_request("support", QUESTION, retrieval=False)), QUESTION)
    _title("2. The same question with retrieval: answered, and cited")
    _show(client.generate(_request("support", QUESTION)), QUESTION)


def _fresh_fact(client: Client) -> None:
    _title("3. A fact that is added while the server runs")
    client.delete_documents("handbook", [NEW_DOCUMENT])  # a demo that was killed has left it
    _show(client.generate(_request("support", NEW_QUESTION)), NEW_QUESTION)
    document = admin_pb2.Document(id=NEW_DOCUMENT, content=NEW_FACT.encode(), source=f"{NEW_DOCUMENT}.md")
    (done,) = client.upsert_documents([admin_pb2.UpsertDocumentsRequest(index="handbook", document=document)])
    click.echo(f"  + added {done.id}, revision {done.revision}")
    _show(client.generate(_request("support", NEW_QUESTION)), NEW_QUESTION)
    client.delete_documents("handbook", [done.id])


def _adapter(client: Client) -> None:
    _title("4. With an adapter on top: strict JSON")
    _show(client.generate(_request("support-json", QUESTION)), QUESTION)
    ticket = "I was charged twice for my plan this month, please send the money back."
    _show(client.generate(_request("tickets", ticket)), ticket)


def _warm_prefix(client: Client) -> receipt_pb2.Receipt:
    _title("5. The KV cache: the prefix is warm for every tenant, what follows is cached for its own alone")
    receipts = [client.generate(_request("support-private", QUESTION)).receipt for _ in range(2)]
    columns = ("", "input tokens", "of them cached", "expected", "first token")
    rows = [
        (name, r.input_tokens, r.cached_tokens, r.expected_cached_tokens, f"{r.ttft_ms:.0f} ms")
        for name, r in zip(("first", "again"), receipts, strict=True)
    ]
    print_table(columns, rows)
    return receipts[1]


def _request(route: str, text: str, *, retrieval: bool = True) -> inference_pb2.GenerateRequest:
    return inference_pb2.GenerateRequest(
        route=route,
        messages=[inference_pb2.Message(role="user", content=text)],
        unit_id="demo",
        retrieval=inference_pb2.RetrievalOptions(disabled=not retrieval),
    )


def _show(response: inference_pb2.GenerateResponse, question: str) -> None:
    receipt = response.receipt
    click.echo(f"  > {question}")
    click.secho(f"  {response.text}", fg="green")
    for citation in response.citations:
        click.secho(f"    from {citation.document_id}: {citation.text!r}", dim=True)
    parts = [f"first token {receipt.ttft_ms:.0f} ms", f"total {receipt.total_ms:.0f} ms"]
    if receipt.HasField("retrieval_ms"):
        parts.append(f"retrieval {receipt.retrieval_ms:.1f} ms")
    if receipt.adapter:
        parts.append(f"adapter {receipt.adapter}")
    parts.append(f"${receipt.cost.total / 1e9:.8f}")
    parts.extend(f"degraded: {reason}" for reason in receipt.degraded)
    click.secho(f"    {'; '.join(parts)}", dim=True)


def _title(text: str) -> None:
    click.secho(f"\n{text}", bold=True)


def _how_to_go_on(metrics: str) -> None:
    trivet = Path(".venv/bin/trivet")
    command = trivet if trivet.exists() else "trivet"
    click.secho("\nThe server is stopped. To go on by hand:", bold=True)
    click.echo(f"  {command} serve                                  # in one terminal")
    click.echo(f"  {command} index build handbook                   # in another")
    click.echo(f'  {command} ask "{QUESTION}"')
    click.echo(f"  {command} adapter ls")
    click.echo(f"  {command} eval handbook                          # all arms, one request at a time, with a page")
    click.echo(f"  curl http://{metrics}/metrics")
