"""`trivet engine`: run an engine node until it is told to stop."""

from __future__ import annotations

import asyncio
from pathlib import Path

import click

from trivet.cli.console.log import FORMATS, log_to_console
from trivet.cli.console.progress import LoggedProgress
from trivet.cli.options import checked

DEFAULT_CONFIG = Path("engine.yaml")


@click.command(short_help="Run an engine node for gateways on other machines.")
@click.option(
    "--config", "path", type=click.Path(path_type=Path), default=DEFAULT_CONFIG, show_default=True, help="Its settings."
)
@click.option("--listen", help="Address for gateways, host:port.")
@click.option("--metrics-listen", help="Address for Prometheus, host:port.")
@click.option("--name", help="What the node is called.")
@click.option("--data-dir", type=click.Path(path_type=Path), help="All state lives here.")
@click.option("--log-format", type=click.Choice(FORMATS), default=FORMATS[0], help="Lines of the log.")
@click.option("--insecure", is_flag=True, help="Allow an address that other machines can reach without TLS or keys.")
def engine(
    path: Path,
    listen: str | None,
    metrics_listen: str | None,
    name: str | None,
    data_dir: Path | None,
    log_format: str,
    insecure: bool,
) -> None:
    """Run one vLLM engine for gateways whose backend is of kind `remote`, until SIGTERM or Ctrl-C.

    It restarts its engine by itself, fetches and checks the adapters that gateways name, and finishes what is in flight
    before it stops. What it serves, gateways say; its own settings are in engine.yaml.

    \b
    Examples:
      trivet engine
      trivet engine --config /etc/trivet/engine.yaml --data-dir /var/lib/trivet-engine
      trivet engine --name "$(hostname)"
      trivet engine --listen 127.0.0.1:0 --metrics-listen 127.0.0.1:0
    """
    from trivet.app.serve import run_engine_node  # here, because it imports the engine: other commands start without
    from trivet.config.engine_node import EngineOverrides, load_engine_node

    for option, address in {"--listen": listen, "--metrics-listen": metrics_listen}.items():
        if address is not None:
            checked.address(address, option)
    if name is not None:
        checked.name(name, "--name")
    log_to_console(log_format)
    overrides = EngineOverrides(listen, metrics_listen, data_dir, name, insecure)
    try:
        run_engine_node(lambda: load_engine_node(path, overrides), LoggedProgress())
    except asyncio.CancelledError as stop:  # a second signal
        click.echo("stopped at once: requests in flight were cut off", err=True)
        raise click.exceptions.Exit(1) from stop
