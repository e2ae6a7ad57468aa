"""What a build found in the corpus folder, for people."""

from __future__ import annotations

import click

from trivet.api.v1 import admin_pb2


def print_report(report: admin_pb2.CorpusReport) -> None:
    """What was not taken as it is, on standard error; nothing if all was."""
    if report.skipped:
        click.echo(f"skipped {report.skipped:,} (the rest was taken; --strict makes this an error):", err=True)
        for skipped in report.first_skipped:
            kept = "; what it had stays in the index" if skipped.kept else ""
            click.echo(f"  {skipped.file}: {skipped.reason}{kept}", err=True)
        _more(report.skipped, len(report.first_skipped))
    if report.guessed:
        click.echo(f"guessed the encoding of {report.guessed:,} (`encoding` in index.yaml makes it sure):", err=True)
        for guessed in report.first_guessed:
            click.echo(f"  {guessed.file}: read as {guessed.encoding}", err=True)
        _more(report.guessed, len(report.first_guessed))
    if report.ignored:
        kinds = ", ".join(f"{kind.files:,} {kind.ending}" for kind in report.ignored_kinds)
        click.echo(f"ignored {report.ignored:,} of other formats: {kinds}", err=True)


def _more(count: int, named: int) -> None:
    if count > named:
        click.echo(f"  and {count - named:,} more", err=True)
