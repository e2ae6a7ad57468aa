"""`trivet serve`: run the server until it is told to stop."""

from __future__ import annotations

import asyncio
from functools import partial

import click

from trivet.cli.console.log import FORMATS, log_to_console
from trivet.cli.console.progress import LoggedProgress
from trivet.cli.options import checked
from trivet.cli.options.config import LoadConfig, config_options
from trivet.config import Environment


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
        run_server(partial(read_checked, load.path, overrides), LoggedProgress())
    except asyncio.CancelledError as stop:  # a second signal
        click.echo("stopped at once: requests in flight were cut off", err=True)
        raise click.exceptions.Exit(1) from stop


def _format_of(environment: Environment) -> str:
    told = environment.log_format or FORMATS[0]
    if told not in FORMATS:
        raise click.BadParameter(f"expected {' or '.join(FORMATS)}, got {told!r}", param_hint="TRIVET_LOG_FORMAT")
    return told
