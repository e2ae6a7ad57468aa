"""The backends' models: where they are, and fetching those that a hub has."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from importlib.util import find_spec

from trivet.app.progress import Progress
from trivet.backends.background import in_background
from trivet.backends.launch.arguments import argument_problems
from trivet.config import Config
from trivet.config.engine_arguments import ACCEPTED
from trivet.config.schema import EmbeddedBackend
from trivet.config.yaml_lines import read_yaml
from trivet.model_hub import HubReference, fetch_model


class _Transfer:
    """Tells the progress of a start how far a fetch is."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._stage, self._done, self._total = "", 0, 0

    def begin(self, stage: str, total: int, done: int) -> None:
        self._stage, self._done, self._total = stage, done, total
        self._progress.transferred(stage, done, total)

    def advance(self, size: int) -> None:
        self._done += size
        self._progress.transferred(self._stage, self._done, self._total)


async def fetch_models(config: Config, progress: Progress) -> None:
    """Fetch every backend's model that is on a hub and not here yet; raises FailedPrecondition.

    Cancelling it leaves what was fetched, and the next fetch goes on from there.
    """
    for name in config.file.backends:
        await in_background(partial(fetch_backend_model, config, name, progress), "model-fetch")


def fetch_backend_model(config: Config, backend: str, progress: Progress) -> None:
    """Fetch a backend's model if it is on a hub and not here yet (blocks); raises FailedPrecondition."""
    section = config.file.backends[backend]
    folder = config.model_folder(backend)
    if not section.on_hub or folder.is_dir():
        return
    stage = f"model {section.model} of backend {backend}"
    progress.begin(stage)
    record = fetch_model(
        HubReference.parse(section.model),
        folder,
        _Transfer(progress),
        endpoint=section.hub_endpoint,
        with_code=section.trust_remote_code,
    )
    progress.done(stage, f"commit {record['commit'][:12]}, digest {record['digest'][:12]}, in {folder}")


def engine_argument_problems(config: Config) -> Iterator[str]:
    """Engine arguments whose values are not of vLLM's types and choices, with file and line; starts nothing.

    Imports vLLM, which takes some seconds, if there are any arguments. Where vLLM is not installed nothing is found.
    """
    embedded = {name: one for name, one in config.file.backends.items() if isinstance(one, EmbeddedBackend)}
    given = {name: section.engine_args for name, section in embedded.items() if section.engine_args}
    if not given or find_spec("vllm") is None:
        return
    document = read_yaml(config.path)
    for name, arguments in given.items():
        known = {key: value for key, value in arguments.items() if key in ACCEPTED}
        for argument, problem in argument_problems(known):
            yield document.problem(("backends", name, "engine_args", argument), problem)


def unfetched_models(config: Config) -> Iterator[str]:
    """One line per model of a hub that a server would fetch when it starts."""
    for name, section in config.file.backends.items():
        if section.on_hub and not config.model_folder(name).is_dir():
            yield f"backend {name}: {section.model} is fetched at the first start; its prompts are checked then"
