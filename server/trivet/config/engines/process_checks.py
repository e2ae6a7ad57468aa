"""Several front-end processes: what they would each have for themselves, where it has to be one."""

from __future__ import annotations

from collections.abc import Iterator

from trivet.config.schema import ConfigFile, EmbeddedBackend
from trivet.config.yaml_lines import YamlDocument


def process_problems(document: YamlDocument, file: ConfigFile) -> Iterator[str]:
    """One line for each, with file, line and field."""
    if file.server.processes == 1:
        return
    at = ("server", "processes")
    if file.state.url == "sqlite":
        told = "needs a state store that processes share: expected a postgresql:// URL in state.url"
        yield document.problem(at, told)
    if file.indexes and file.qdrant.url is None:
        told = "needs a vector engine that processes share: expected qdrant.url"
        yield document.problem(at, f"{told}, of a server or of `python -m trivet.vector`")
    for name in file.machines:
        if isinstance(file.backends.get(name), EmbeddedBackend):
            told = "is shared by several processes, and has no account of a machine then: expected prices"
            yield document.problem(("machines", name), told)
    for route_name, route in file.routes.items():
        for name, variant in route.variants.items():
            if variant.adapter_choice is not None:
                told = "requests choose their adapters in a server of one process alone: expected server.processes: 1"
                yield document.problem(("routes", route_name, "variants", name, "adapter"), told)
