"""`trivet serve`: run the server until it is told to stop."""

from __future__ import annotations

from functools import partial

import click

from trivet.cli.console.log import log_to_console
from trivet.cli.console.progress import LoggedProgress
from trivet.cli.options.config import LoadConfig, config_options


@click.command()
@click.option("--listen", help="Clients' listener, host:port (TRIVET_LISTEN).")
@click.option("--admin-listen", help="Operators' listener, host:port (TRIVET_ADMIN_LISTEN).")
@click.option("--metrics-listen", help="Prometheus listener, host:port (TRIVET_METRICS_LISTEN).")
@click.option("--insecure", is_flag=True, help="Serve other machines without TLS or without keys.")
@config_options
def serve(
    load: LoadConfig,
    listen: str | None,
    admin_listen: str | None,
    metrics_listen: str | None,
    insecure: bool,
) -> None:
    """Serve what the configuration says, until SIGTERM or Ctrl-C; what is in flight is finished first.

    \b
    Examples:
      trivet serve
      trivet serve --config deploy/production.yaml --data-dir /var/lib/trivet
      trivet serve --listen 127.0.0.1:0 --metrics-listen 127.0.0.1:9464
    """
    from trivet.app.project import read_checked  # here, because it imports the engine: other commands start without
    from trivet.app.serve import run_server

    log_to_console()
    overrides = load.overrides(
        listen=listen, admin_listen=admin_listen, metrics_listen=metrics_listen, insecure=insecure
    )
    run_server(partial(read_checked, load.path, overrides), LoggedProgress())
