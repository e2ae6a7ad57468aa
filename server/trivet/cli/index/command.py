"""`trivet index`: documents in, documents out, search."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import click
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from trivet.api.v1 import admin_pb2, inference_pb2
from trivet.cli.console.bars import bars
from trivet.cli.console.interrupts import interrupted
from trivet.cli.console.output import plain, print_json, print_table
from trivet.cli.index.corpus_report import print_report
from trivet.cli.index.documents import FORMATS_BY_NAME, Given, GivenDocument, Moment, read_documents, survey
from trivet.cli.index.indexes import Indexes, indexes_options, json_option
from trivet.cli.index.quality.commands import evaluate, explain
from trivet.cli.options.fields import JsonObject, where_option
from trivet.types.passage import Expansion


@click.group()
def index() -> None:
    """Indexes: fresh facts for the model.

    \b
    Examples:
      trivet index build handbook
      trivet index rollback handbook
      trivet index add handbook notes/*.md manual.pdf
      trivet index add handbook offers.jsonl --valid-until 2026-12-31T00:00:00Z
      trivet index search handbook "warranty of the Veltro"
      trivet index rm handbook notes-2026
    """


@index.command(short_help="Bring an index up to date with its folder.")
@click.argument("name")
@click.option("--rebuild", is_flag=True, help="Build a new snapshot even if nothing changed.")
@click.option("--strict", is_flag=True, help="Change nothing, and exit with 1, if any file would be skipped.")
@json_option
@partial(indexes_options, makes_anew=True)
def build(client: Indexes, name: str, rebuild: bool, strict: bool, as_json: bool) -> None:
    """Bring index NAME up to date with its folder of documents and its settings.

    Only documents that changed are embedded. Files that cannot be read are skipped, listed and counted, and what the
    index has of them stays. Files that are not documents are ignored.

    If the settings for chunking or embedding changed, a new snapshot is built beside the live one, checked, and takes
    its place. The one before is kept for `trivet index rollback`.

    \b
    Examples:
      trivet index build handbook
      trivet index build handbook --rebuild --strict
      trivet index build handbook --offline
    """
    with interrupted(
        "the build was cancelled; what it has taken so far stays, and the live snapshot serves on. The same command "
        "continues from there"
    ):
        built, corpus = _show(client.build_index(name, rebuild, strict))
    if as_json:
        print_json({**plain(built), "corpus": plain(corpus)})
        return
    print_report(corpus)
    _print_index(built, as_json)


@index.command(short_help="Fetch what changed where the documents come from.")
@click.argument("name")
@json_option
@partial(indexes_options, makes_anew=True)
def sync(client: Indexes, name: str, as_json: bool) -> None:
    """Bring index NAME up to date with its `source`: an object store, a web site or a git repository.

    Only what changed is fetched and embedded; what has gone there goes here. What cannot be fetched is listed, and
    stays as it was. It is what `trivet index build` does for an index with a source.

    \b
    Examples:
      trivet index sync manuals
      trivet index sync manuals --json
    """
    with interrupted("the sync was cancelled; what was fetched stays. The same command continues from there"):
        built, corpus = _show(client.build_index(name, False, False))
    if as_json:
        print_json({**plain(built), "corpus": plain(corpus)})
        return
    print_report(corpus)
    _print_index(built, as_json)


@index.command(short_help="Return to an earlier snapshot.")
@click.argument("name")
@click.argument("snapshot", default="")
@click.option("--reason", default="", help="Reason, for the server's log.")
@json_option
@indexes_options
def rollback(client: Indexes, name: str, snapshot: str, reason: str, as_json: bool) -> None:
    """Return index NAME to an earlier SNAPSHOT, by default the one that was live before.

    Chunking, embedding model and settings come back; the documents stay as they are now.

    \b
    Examples:
      trivet index rollback handbook
      trivet index rollback handbook bc31e5d9 --reason "the new chunks are too short"
    """
    _print_index(client.rollback_index(name, snapshot, reason).index, as_json)


def _print_index(built: admin_pb2.Index, as_json: bool) -> None:
    if as_json:
        print_json(plain(built))
        return
    click.echo(f"{built.name}: {built.documents} documents, {built.passages} passages, snapshot {built.snapshot}")
    if built.build_due:
        click.echo(f"a build is due: {built.build_due}", err=True)
    for note in built.notes:
        click.echo(f"note: {note}", err=True)


@index.command(short_help="Add or replace documents from files.")
@click.argument("name")
@click.argument("files", nargs=-1, required=True, type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--id", "document_id", help="The document's id; default: the file's name without its extension.")
@click.option(
    "--format", type=click.Choice(list(FORMATS_BY_NAME)), help="The files' format; default: by their extension."
)
@click.option("--title", default="", help="The document's title; default: the title that it contains.")
@click.option("--tag", "tags", multiple=True, help="Tag for the documents; repeatable.")
@click.option(
    "--fields", type=JsonObject(), help='Fields of the documents, a JSON object such as {"price": 7, "lang": "de"}.'
)
@click.option(
    "--tenant",
    default="",
    help="Tenant that owns the documents; default: shared by all tenants (with a client key: its own).",
)
@click.option("--valid-from", type=Moment(), help="Time from which they can be found, such as 2026-01-31T00:00:00Z.")
@click.option("--valid-until", type=Moment(), help="Time from which they can no longer be found.")
@json_option
@indexes_options
def add(client: Indexes, name: str, files: tuple[Path, ...], as_json: bool, **given: Any) -> None:
    """Add documents to index NAME, or replace them, from FILES (Markdown, HTML, text, PDF, JSON lines).

    A .jsonl file whose lines have an "id" holds one document per line.

    \b
    Examples:
      trivet index add handbook notes/*.md manual.pdf
      trivet index add handbook offers.jsonl --tag offer --valid-until 2026-12-31T00:00:00Z
    """
    wanted = Given(**given)
    found = survey(files, wanted)
    requests = (
        admin_pb2.UpsertDocumentsRequest(index=name, document=document) for document in read_documents(files, wanted)
    )
    done: list[admin_pb2.UpsertDocumentsResponse] = []
    with interrupted(
        lambda: (
            f"{_taken(done)} of {len(found)} documents are stored and can be found. The same command leaves them "
            "unchanged and adds the others"
        )
    ):
        _track(client.upsert_documents(requests), len(found), done)
    for one in found:
        if one.guessed:
            click.echo(f"{one.where}: read as {one.guessed}, which is a guess (save it as UTF-8)", err=True)
    if as_json:
        print_json([plain(item) for item in done])
    else:
        for one, item in zip(found, done, strict=False):
            _print_acknowledgement(one, item)
    if any(item.HasField("error") for item in done):
        raise click.exceptions.Exit(1)


def _print_acknowledgement(given: GivenDocument, item: admin_pb2.UpsertDocumentsResponse) -> None:
    if item.HasField("error"):
        about = f"{item.id} ({given.where}, {given.size:,} bytes)"
        click.echo(f"{about}: refused ({item.error.code}): {item.error.message}", err=True)
        return
    state = "unchanged" if item.unchanged else f"{item.passages} passages"
    click.echo(f"{item.id}: revision {item.revision}, {state}")


@index.command()
@click.argument("name")
@click.argument("ids", nargs=-1, required=True)
@click.option(
    "--tenant",
    default="",
    help="Tenant that owns the documents; default: shared by all tenants (with a client key: its own).",
)
@json_option
@indexes_options
def rm(client: Indexes, name: str, ids: tuple[str, ...], tenant: str, as_json: bool) -> None:
    """Remove documents from index NAME by their IDS.

    \b
    Examples:
      trivet index rm handbook notes-2026 manual
      trivet index rm handbook -- -dash
    """
    response = client.delete_documents(name, [unicodedata.normalize("NFC", one) for one in ids], tenant)
    if as_json:
        print_json(plain(response))
    else:
        for document_id in response.deleted:
            click.echo(f"{document_id}: removed")
        for document_id in response.missing:
            click.echo(f"{document_id}: not in the index", err=True)
    if response.missing:
        raise click.exceptions.Exit(1)


@index.command(short_help="Search as a request would.")
@click.argument("name")
@click.argument("text")
@click.option(
    "--also", "more_texts", multiple=True, metavar="TEXT", help="Another text that asks the same; up to 3 times."
)
@click.option("--top-k", type=click.IntRange(1, 100), help="Return at most this many passages.")
@click.option("--tag", "tags", multiple=True, help="Search only documents that have this tag; repeatable.")
@click.option(
    "--expand", type=click.Choice([one.value for one in Expansion]), help="Also show what stands around each passage."
)
@where_option
@json_option
@partial(indexes_options, listeners=("clients",))
def search(
    client: Indexes,
    name: str,
    text: str,
    more_texts: tuple[str, ...],
    top_k: int | None,
    tags: tuple[str, ...],
    where: dict[str, Any] | None,
    expand: str | None,
    as_json: bool,
) -> None:
    """Search index NAME for TEXT, as a request with this question would.

    With --also, other wordings are searched with too, and what all of them find is fused by rank.

    \b
    Examples:
      trivet index search handbook "warranty of the Veltro"
      trivet index search handbook "warranty" --top-k 5 --tag eu --json
      trivet index search handbook "warranty" --top-k 1 --expand section
      trivet index search handbook "how long is the warranty" --also "months of guarantee"
      trivet index search prices "battery" --where '{"field": "price", "lt": 100}'
    """
    request = inference_pb2.RetrieveRequest(
        index=name, text=text, more_texts=more_texts, top_k=top_k, filter=tags, where=where
    )
    if expand is not None:
        request.expand = getattr(inference_pb2, f"EXPAND_{expand.upper()}")
    response = client.retrieve(request)
    if as_json:
        print_json(plain(response))
        return
    rows = [(f"{c.score:.3f}", c.document_id, c.revision, c.title, c.place, c.text) for c in response.citations]
    print_table(("score", "document", "revision", "title", "place", "passage"), rows)


@index.command("ls")
@json_option
@indexes_options
def list_indexes(client: Indexes, as_json: bool) -> None:
    """List the indexes and what they hold.

    \b
    Examples:
      trivet index ls
      trivet index ls --offline --json
    """
    indexes = [plain(item) for item in client.list_indexes().indexes]
    if as_json:
        print_json(indexes)
        return
    columns = ("name", "documents", "passages", "snapshot", "retained_snapshots", "embedding_model", "build_due")
    rows = [{**item, "retained_snapshots": ", ".join(item["retained_snapshots"])} for item in indexes]
    print_table(columns, [[row[column] for column in columns] for row in rows])


def _bar() -> Progress:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    return bars(*columns)


def _show(
    events: Iterator[admin_pb2.BuildIndexResponse],
) -> tuple[admin_pb2.Index, admin_pb2.CorpusReport]:
    """Draw the progress of a build; returns what was built, and what was found in the corpus."""
    corpus = admin_pb2.CorpusReport()
    with _bar() as bar:
        tasks: dict[str, Any] = {}
        for event in events:
            if event.HasField("built"):
                return event.built, corpus
            if event.HasField("corpus"):
                corpus = event.corpus
                continue
            progress = event.progress
            stage = f"{progress.stage} ({progress.skipped} skipped)" if progress.skipped else progress.stage
            total = progress.total or None
            if progress.stage not in tasks:
                tasks[progress.stage] = bar.add_task(stage, total=total)
            bar.update(tasks[progress.stage], completed=progress.done, total=total, description=stage)
    raise click.ClickException("the server ended the build without a result")


def _track(
    answers: Iterator[admin_pb2.UpsertDocumentsResponse], total: int, done: list[admin_pb2.UpsertDocumentsResponse]
) -> None:
    """Put the acknowledgements into `done` as they come."""
    with _bar() as bar:
        for answer in bar.track(answers, total=total, description="documents"):
            done.append(answer)  # one by one: an interruption tells how many there are


def _taken(done: list[admin_pb2.UpsertDocumentsResponse]) -> int:
    return sum(not item.HasField("error") for item in done)


index.add_command(explain)
index.add_command(evaluate)
