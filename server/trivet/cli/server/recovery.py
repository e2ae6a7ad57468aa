"""`trivet backup`, `trivet restore` and `trivet doctor`."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

import click
from rich.filesize import decimal
from rich.progress import BarColumn, TaskID, TaskProgressColumn, TextColumn

from trivet.app.recovery.findings import Diagnosis
from trivet.app.recovery.manifest import Manifest, Report
from trivet.cli.console.bars import bars
from trivet.cli.console.output import print_json
from trivet.cli.options.config import data_folder_options

json_option = click.option("--json", "as_json", is_flag=True, help="Print the manifest as a JSON object.")


@click.command(short_help="Copy the data folder, also while a server runs.")
@click.argument("target", metavar="DEST", type=click.Path(path_type=Path))
@json_option
@data_folder_options
def backup(target: Path, data_dir: Path, as_json: bool) -> None:
    """Copy the data folder, as it is at one moment, to the new folder DEST. A server may run meanwhile.

    The backup holds the document log, which adapters operators loaded, copies of those adapters, the receipts and the
    cache of passages' vectors. It holds no collections and no exported models: the next start makes them again.

    \b
    Examples:
      trivet backup /backups/trivet-2026-11-28
      trivet backup /backups/tonight --data-dir /var/lib/trivet --json
    """
    from trivet.app.recovery.backup import back_up  # here, because it imports what serves

    with _bars() as report:
        manifest = back_up(data_dir, target, report)
    _show(manifest, f"{data_dir} is backed up in {target}", as_json)


@click.command()
@click.argument("source", metavar="SRC", type=click.Path(exists=True, file_okay=False, path_type=Path))
@json_option
@data_folder_options
def restore(source: Path, data_dir: Path, as_json: bool) -> None:
    """Restore the data folder from the backup SRC. The folder must be absent or empty.

    The backup is verified first. If this is interrupted, no server takes the folder; the same command begins anew.

    \b
    Examples:
      trivet restore /backups/trivet-2026-11-28 --data-dir /var/lib/trivet
    """
    from trivet.app.recovery.restore import restore as put_back  # here, because it imports what serves

    with _bars() as report:
        manifest = put_back(source, data_dir, report)
    _show(manifest, f"{data_dir} is as it was at {manifest.time:%Y-%m-%d %H:%M:%S} UTC", as_json)


@click.command(short_help="Examine the data folder without changing it.")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON object: findings, notes and the server's pid.")
@data_folder_options
def doctor(data_dir: Path, as_json: bool) -> None:
    """Examine the data folder, and say what is wrong, what it means and how to repair it. Nothing is changed.

    While a server runs on the folder, its collections are not examined. The exit code is 0 if nothing is wrong, and 1
    otherwise.

    \b
    Examples:
      trivet doctor
      trivet doctor --data-dir /var/lib/trivet --json
    """
    from trivet.app.recovery.doctor import examine  # here, because it imports what serves

    with _bars() as report:
        found = asyncio.run(examine(data_dir, report))
    if as_json:
        print_json({"data_dir": str(data_dir), "sound": not found.findings, **asdict(found)})
    else:
        _tell(data_dir, found)
    if found.findings:
        raise click.exceptions.Exit(1)


def _tell(data_dir: Path, found: Diagnosis) -> None:
    if found.server_pid:
        click.echo(f"process {found.server_pid} serves {data_dir}: its collections are not examined", err=True)
    for finding in found.findings:
        click.echo(
            f"{finding.where}\n  {finding.what}\n  what it means: {finding.means}\n  to repair it: {finding.remedy}"
        )
    for note in found.notes:
        click.echo(f"note: {note}", err=True)
    count = len(found.findings)
    problems = f"{count} {'problem' if count == 1 else 'problems'} found in {data_dir}"
    click.echo(problems if count else f"{data_dir} is sound")


def _show(manifest: Manifest, done: str, as_json: bool) -> None:
    if as_json:
        print_json(manifest.model_dump(mode="json"))
        return
    click.echo(f"{done}: {len(manifest.files)} files, {decimal(manifest.total_bytes)}")
    for line in manifest.left_out:
        click.echo(f"left out: {line}", err=True)


@contextmanager
def _bars() -> Iterator[Report]:
    """A bar for each thing that is done."""
    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn())
    with bars(*columns) as shown:
        tasks: dict[str, TaskID] = {}

        def report(what: str, done: int, total: int) -> None:
            if what not in tasks:
                for task in tasks.values():
                    shown.update(task, visible=False)
                tasks[what] = shown.add_task(what, total=total)
            shown.update(tasks[what], completed=done, total=total)

        yield report
