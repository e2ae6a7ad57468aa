"""`trivet serve`: run the server until it is told to stop."""

from __future__ import annotations

import asyncio
import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click

from trivet.cli.console.log import FORMATS, log_to_console
from trivet.cli.console.progress import LoggedProgress
from trivet.cli.options import checked
from trivet.cli.options.config import LoadConfig, config_options
from trivet.config import Environment

if TYPE_CHECKING:
    from trivet.app.processes import Commands


@click.command(short_help="Run the server.")
@click.option("--listen", help="Address for clients, host:port (TRIVET_LISTEN).")
@click.option("--admin-listen", help="Address for operators, host:port (TRIVET_ADMIN_LISTEN).")
@click.option("--metrics-listen", help="Address for Prometheus, host:port (TRIVET_METRICS_LISTEN).")
@click.option("--http-listen", help="Address for HTTP clients, host:port (TRIVET_HTTP_LISTEN).")
@click.option("--log-format", type=click.Choice(FORMATS), help="Lines of the log (TRIVET_LOG_FORMAT; default text).")
@click.option("--insecure", is_flag=True, help="Allow addresses that other machines can reach without TLS or keys.")
@config_options
def serve(
    load: LoadConfig,
    listen: str | None,
    admin_listen: str | None,
    metrics_listen: str | None,
    http_listen: str | None,
    log_format: str | None,
    insecure: bool,
) -> None:
    """Run the server that the configuration describes, until SIGTERM or Ctrl-C.

    Requests in flight are finished first. SIGHUP does what `trivet reload` does.

    \b
    Examples:
      trivet serve
      trivet serve --config deploy/production.yaml --data-dir /var/lib/trivet
      trivet serve --listen 127.0.0.1:0 --metrics-listen 127.0.0.1:9464
    """
    from trivet.app.project import read_checked  # here, because it imports the engine: other commands start without
    from trivet.app.serve import run_server

    given = {
        "--listen": listen,
        "--admin-listen": admin_listen,
        "--metrics-listen": metrics_listen,
        "--http-listen": http_listen,
    }
    for option, address in given.items():
        if address is not None:
            checked.address(address, option)
    log_to_console(log_format or _format_of(load.environment))
    overrides = load.overrides(
        listen=listen,
        admin_listen=admin_listen,
        metrics_listen=metrics_listen,
        http_listen=http_listen,
        insecure=insecure,
    )
    try:
        run_server(partial(read_checked, load.path, overrides), LoggedProgress(), _commands(load, log_format, insecure))
    except asyncio.CancelledError as stop:  # a second signal
        click.echo("stopped at once: requests in flight were cut off", err=True)
        raise click.exceptions.Exit(1) from stop


@click.command(hidden=True, short_help="One process of a server that has several.")
@click.option("--log-format", type=click.Choice(FORMATS))
@click.option("--insecure", is_flag=True)
@click.argument("told", type=click.Path(path_type=Path))
@config_options
def front_end(load: LoadConfig, told: Path, log_format: str | None, insecure: bool) -> None:
    """Serve beside others on the same ports; `trivet serve` starts it, with the file that says which one it is."""
    from trivet.app.processes import FrontEnd
    from trivet.app.project import read_checked
    from trivet.app.serve import run_front_end

    log_to_console(log_format or _format_of(load.environment))
    read = partial(read_checked, load.path, load.overrides(insecure=insecure))
    try:
        run_front_end(read, FrontEnd.read(told), LoggedProgress())
    except asyncio.CancelledError as stop:  # a second signal
        raise click.exceptions.Exit(1) from stop


def _commands(load: LoadConfig, log_format: str | None, insecure: bool) -> Commands:
    """How a server of several processes starts them, with what it was told itself."""
    from trivet.app.processes import Commands

    child = [sys.executable, "-m", "trivet.cli.child"]
    how = ["--log-format", log_format or _format_of(load.environment)]
    where = ["--config", str(load.path)]
    if load.given_data_dir is not None:
        where += ["--data-dir", str(load.given_data_dir)]
    return Commands(
        [*child, "front-end", *how, *where, *(["--insecure"] if insecure else [])], [*child, "engine", *how]
    )


def _format_of(environment: Environment) -> str:
    told = environment.log_format or FORMATS[0]
    if told not in FORMATS:
        raise click.BadParameter(f"expected {' or '.join(FORMATS)}, got {told!r}", param_hint="TRIVET_LOG_FORMAT")
    return told
