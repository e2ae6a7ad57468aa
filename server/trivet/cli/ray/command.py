"""`trivet ray`: engine nodes as actors on a Ray cluster."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

import click

from trivet.cli.console.output import print_json, print_table

if TYPE_CHECKING:  # other commands start without it
    from trivet.app.ray_cluster.placement import EngineOnRay

COLUMNS = ("name", "address", "problem")
MOST_ENGINES = 1024
Command = Callable[..., Any]


def cluster_options(command: Command) -> Command:
    """Which cluster, and how the outcome is printed."""
    for option in (
        click.option("--json", "as_json", is_flag=True, help="Print JSON."),
        click.option("--namespace", default="trivet", show_default=True, help="Ray namespace of the engines."),
        click.option("--address", default="auto", show_default=True, help="Ray's control service, host:port."),
    ):
        command = option(command)
    return command


@click.group(short_help="Keep engine nodes on a Ray cluster.")
def ray() -> None:
    """Engine nodes as actors on a Ray cluster, for gateways whose backend has `nodes.ray`.

    Run it on a machine of the cluster, with Trivet's extra `ray`. Requests do not pass through Ray.

    \b
    Examples:
      trivet ray scale 4 --config /etc/trivet/engine.yaml --gpus 1
      trivet ray ls
      trivet ray scale 0
    """


@ray.command(short_help="Have so many engine nodes.")
@click.argument("count", type=click.IntRange(0, MOST_ENGINES))
@click.option("--config", default="/etc/trivet/engine.yaml", show_default=True, help="Its path on each machine.")
@click.option("--data-dir", default="/var/lib/trivet-engine", show_default=True, help="The same of the state's folder.")
@click.option("--cpus", type=click.FloatRange(min=0), default=1.0, show_default=True, help="CPUs of one engine.")
@click.option("--gpus", type=click.FloatRange(min=0), default=0.0, show_default=True, help="GPUs of one engine.")
@click.option("--resource", "resources", multiple=True, metavar="NAME=AMOUNT", help="Another of Ray's resources.")
@click.option("--wait", type=click.FloatRange(min=0), default=900.0, show_default=True, help="Seconds, at most.")
@click.option("--insecure", is_flag=True, help="Allow an address that other machines can reach without TLS or keys.")
@cluster_options
def scale(
    count: int,
    config: str,
    data_dir: str,
    cpus: float,
    gpus: float,
    resources: Sequence[str],
    wait: float,
    insecure: bool,
    address: str,
    namespace: str,
    as_json: bool,
) -> None:
    """Place engine nodes on the cluster, or take some away, until there are COUNT; wait until all serve.

    Each has a placement group of its own, on one machine. Those that are there stay as they are: to give them other
    settings, scale to 0 first. Those that go finish what is in flight. Exit code 1 if not all serve in time.

    \b
    Examples:
      trivet ray scale 4 --config /etc/trivet/engine.yaml --gpus 1
      trivet ray scale 2 --gpus 8 --resource accelerator_type:H100=0.001
      trivet ray scale 0
    """
    from trivet.app.ray_cluster.placement import Engines, RayEngines

    engines = Engines(PurePosixPath(config), PurePosixPath(data_dir), cpus, gpus, _amounts(resources), insecure)
    if not engines.bundle:
        raise click.UsageError("an engine needs some of --cpus, --gpus or --resource")
    for path, option in ((engines.config, "--config"), (engines.data_dir, "--data-dir")):
        if not path.is_absolute():
            raise click.BadParameter("expected a path from the root: actors run elsewhere", param_hint=option)
    found = _connected(RayEngines, address, namespace).scale(
        count, engines, wait, lambda text: click.echo(text, err=True)
    )
    _show(found, as_json)
    if any(not engine.address for engine in found):
        raise click.exceptions.Exit(1)


@ray.command("ls", short_help="List the engine nodes.")
@cluster_options
def list_engines(address: str, namespace: str, as_json: bool) -> None:
    """List the engine nodes of the cluster, with their addresses, and what keeps them from serving.

    \b
    Examples:
      trivet ray ls
      trivet ray ls --json | jq -r '.[].address'
    """
    from trivet.app.ray_cluster.placement import RayEngines

    _show(_connected(RayEngines, address, namespace).engines(), as_json)


def _connected(kind: type[Any], address: str, namespace: str) -> Any:
    try:
        return kind(address, namespace)
    except ConnectionError as problem:
        raise click.ClickException(str(problem)) from problem


def _show(engines: Sequence[EngineOnRay], as_json: bool) -> None:
    if as_json:
        print_json([asdict(engine) for engine in engines])
    else:
        print_table(COLUMNS, [[str(value) for value in asdict(engine).values()] for engine in engines])


def _amounts(texts: Sequence[str]) -> dict[str, float]:
    found = {}
    for text in texts:
        name, _, amount = text.rpartition("=")
        try:
            found[name] = float(amount)
        except ValueError:
            found[name] = 0.0
        if not name or not 0 < found[name] < float("inf"):
            raise click.BadParameter(f"{text!r}: expected NAME=AMOUNT, an amount above 0", param_hint="--resource")
    return found
