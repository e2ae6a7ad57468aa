"""The commands `trivet index explain` and `trivet index eval`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import click

from trivet.api.v1 import admin_pb2, inference_pb2
from trivet.cli.console.bars import bars
from trivet.cli.console.output import plain, print_json, print_table
from trivet.cli.index.indexes import Indexes, indexes_options, json_option
from trivet.cli.index.quality.health import Health, health
from trivet.cli.index.quality.scores import Answered, Question, Score, read_questions, scores
from trivet.cli.options.fields import where_option

_NAMED = 10  # ids printed of each list; --json has all


@click.command(short_help="Show how a search comes about.")
@click.argument("name")
@click.argument("question")
@click.option("--top-k", type=click.IntRange(1, 100), default=3, show_default=True, help="Passages of the answer.")
@click.option("--tag", "tags", multiple=True, help="Search only documents that have this tag; repeatable.")
@where_option
@click.option("--tenant", default="", help="Search as this tenant; default: shared documents alone.")
@click.option("--rerank", is_flag=True, help="As for a variant with `rerank`: the index's cross-encoder decides.")
@click.option("--document", help="Show only the passages of this document.")
@json_option
@indexes_options
def explain(
    client: Indexes,
    name: str,
    question: str,
    top_k: int,
    tags: tuple[str, ...],
    where: dict[str, Any] | None,
    tenant: str,
    rerank: bool,
    document: str | None,
    as_json: bool,
) -> None:
    """Show how a search of index NAME for QUESTION comes about.

    For each candidate: its rank in the search by meaning and in the one by terms, its fused score, with --rerank the
    cross-encoder's, and why a passage is not in the answer.

    \b
    Examples:
      trivet index explain handbook "range of the Veltro"
      trivet index explain handbook "range" --document veltro --json
    """
    request = admin_pb2.ExplainSearchRequest(
        index=name, text=question, tenant=tenant, top_k=top_k, filter=tags, where=where, rerank=rerank
    )
    response = client.explain_search(request)
    passages = [one for one in response.passages if document is None or one.document_id == document]
    if as_json:
        found = plain(response)
        found["passages"] = [plain(one) for one in passages]
        print_json(found)
        return
    click.echo(
        f"{response.terms} terms; weights: meaning {response.meaning_weight:g}, terms {response.terms_weight:g}; "
        f"rrf_k {response.rrf_k}, {response.candidates} candidates each, snapshot {response.snapshot}"
        + (f"; the cross-encoder has read {response.reranked}" if rerank else "")
    )
    for corrected in response.corrections:
        click.echo(f"no passage has {corrected.word!r}; also searched for: {', '.join(corrected.instead)}")
    columns = ("document", "meaning", "terms", "score", *(("reranked",) if rerank else ()), "", "passage")
    rows = [_row(one, rerank=rerank) for one in passages]
    print_table(columns, rows)
    if not rows and document is not None:
        click.echo(f"no passage of {document!r} is among the candidates", err=True)


def _row(one: admin_pb2.ExplainedPassage, *, rerank: bool) -> tuple[Any, ...]:
    read = f"{one.rerank_score:.3f}" if one.HasField("rerank_score") else "-"
    return (
        one.document_id,
        one.meaning_rank or "-",
        one.terms_rank or "-",
        f"{one.score:.3f}",
        *((read,) if rerank else ()),
        one.left_out or "in the answer",
        one.text,
    )


@click.command("eval", short_help="Measure how well an index answers its questions.")
@click.argument("name")
@click.option(
    "--questions",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    required=True,
    help='Lines of {"question", "document"}, such as the index\'s questions.jsonl.',
)
@click.option("--top-k", type=click.IntRange(1, 100), default=10, show_default=True, help="Passages of each search.")
@click.option("--stale-days", type=click.IntRange(1), default=365, show_default=True, help="Older documents are stale.")
@json_option
@partial(indexes_options, listeners=("clients", "operators"))
def evaluate(client: Indexes, name: str, questions: Path, top_k: int, stale_days: int, as_json: bool) -> None:
    """Measure how well index NAME answers the questions of a file, as nobody in particular.

    Prints hit@k, MRR and nDCG with 95% intervals; then which documents no question has found, which have the same
    content, and which are stale. Change a setting, build, and compare.

    \b
    Examples:
      trivet index eval handbook --questions indexes/handbook/questions.jsonl
      trivet index eval handbook --questions questions.jsonl --top-k 5 --json
    """
    asked = read_questions(questions)
    documents = list(client.list_documents(name))
    answered = _ask(client, name, asked, top_k)
    made, found = scores(answered, top_k), health(documents, {id_ for one in answered for id_ in one.found}, stale_days)
    known = {one.id for one in documents}
    missing = sorted({id_ for question in asked for id_ in question.documents} - known)
    missed = [one for one in answered if one.rank is None]
    if as_json:
        print_json(_as_json(made, found, missed, missing))
        return
    rows = [(one.name, f"{one.value:.3f}", f"{one.interval.low:.3f} to {one.interval.high:.3f}") for one in made]
    print_table((f"{len(asked)} questions", "", "95%"), rows)
    _print_missed(missed, missing)
    _print_health(found, stale_days)


def _ask(client: Indexes, name: str, questions: Sequence[Question], top_k: int) -> list[Answered]:
    answered = []
    with bars() as progress:
        for question in progress.track(questions, description="ask"):
            request = inference_pb2.RetrieveRequest(index=name, text=question.text, top_k=top_k)
            found = tuple(one.document_id for one in client.retrieve(request).citations)
            answered.append(Answered(question, found))
    return answered


def _as_json(
    made: Sequence[Score], found: Health, missed: Sequence[Answered], missing: Sequence[str]
) -> dict[str, Any]:
    return {
        "scores": {one.name: {"value": one.value, **asdict(one.interval)} for one in made},
        "missed": [{"question": one.question.text, "documents": sorted(one.question.documents)} for one in missed],
        "unknown_documents": list(missing),
        **asdict(found),
    }


def _print_missed(missed: Sequence[Answered], missing: Sequence[str]) -> None:
    for one in missed[:_NAMED]:
        click.echo(f"not found: {one.question.text} ({', '.join(sorted(one.question.documents))})")
    if len(missed) > _NAMED:
        click.echo(f"and {len(missed) - _NAMED:,} more questions were not answered")
    if missing:
        click.echo(f"the questions name documents that are not in the index: {_some(missing)}", err=True)


def _print_health(found: Health, stale_days: int) -> None:
    told: Sequence[tuple[str, Sequence[str]]] = (
        ("found by no question", found.never_found),
        ("of the same content as another", [" = ".join(group) for group in found.duplicates]),
        (f"not changed for {stale_days:,} days", found.stale),
        ("not valid any more", found.expired),
    )
    click.echo(f"{found.documents:,} documents")
    for what, ids in told:
        if ids:
            click.echo(f"{len(ids):,} {what}: {_some(ids)}")


def _some(ids: Sequence[str]) -> str:
    return ", ".join(ids[:_NAMED]) + (f" and {len(ids) - _NAMED:,} more" if len(ids) > _NAMED else "")
