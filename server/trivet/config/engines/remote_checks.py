"""What the settings of a fleet of engine nodes contradict."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator
from pathlib import Path

from trivet.config.engines.engine_checks import model_problems
from trivet.config.schema import RemoteBackend
from trivet.config.yaml_lines import YamlDocument

HEARTBEATS = 2  # that may be lost before a node is given up


def is_loopback(listen: str) -> bool:
    """Whether `host:port` can be reached from this machine alone."""
    host = listen.rpartition(":")[0].strip("[]")
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def remote_problems(
    document: YamlDocument, at: tuple[str, ...], backend: RemoteBackend, folder: Path, *, insecure: bool
) -> Iterator[str]:
    """One line per problem. `at` is the backend's place in the file, `folder` the file's own."""
    yield from model_problems(document, at, backend, folder)
    if backend.enable_lora and not backend.on_hub and not _has_weights(folder / backend.model):
        expected = "expected them, for the checks of adapters, or enable_lora: false"
        yield document.problem((*at, "model"), f"no weights in {folder / backend.model}: {expected}")
    yield from _nodes(document, (*at, "nodes"), backend, folder)
    if backend.lost_after < HEARTBEATS * backend.heartbeat:
        expected = f"expected at least {HEARTBEATS} heartbeats ({HEARTBEATS * backend.heartbeat:g} s)"
        yield document.problem((*at, "lost_after"), expected)
    if backend.key_file is not None and not (folder / backend.key_file).is_file():
        yield document.problem((*at, "key_file"), f"no file {folder / backend.key_file}")
    tls = backend.tls
    if tls is not None:
        for field in ("ca", "certificate", "key"):
            name = getattr(tls, field)
            if name is not None and not (folder / name).is_file():
                yield document.problem((*at, "tls", field), f"no file {folder / name}")
        if (tls.certificate is None) != (tls.key is None):
            yield document.problem((*at, "tls"), "expected certificate and key together")
    elsewhere = not backend.nodes.addresses
    distant = elsewhere or any(not is_loopback(node) for node in backend.nodes.addresses)
    certified = tls is not None and tls.certificate is not None
    if distant and not insecure and (tls is None or not (certified or backend.key_file)):
        expected = "expected tls, and in it a certificate, or a key_file beside it (or --insecure)"
        yield document.problem((*at, "nodes"), f"is on other machines, which all prompts go to: {expected}")


def _nodes(document: YamlDocument, at: tuple[str, ...], backend: RemoteBackend, folder: Path) -> Iterator[str]:
    nodes = backend.nodes
    ways = (nodes.addresses or None, nodes.dns, nodes.kubernetes, nodes.ray)
    if sum(way is not None for way in ways) != 1:
        yield document.problem(at, "expected one of addresses, dns, kubernetes and ray")
    if nodes.kubernetes is not None:
        for field in ("token_file", "ca_file"):
            name = getattr(nodes.kubernetes, field)
            if name is not None and not (folder / name).is_file():
                yield document.problem((*at, "kubernetes", field), f"no file {folder / name}")
    if nodes.dns is None and "refresh" in nodes.model_fields_set:
        yield document.problem((*at, "refresh"), "has no effect without dns")
    for position, node in enumerate(nodes.addresses):
        if node in nodes.addresses[:position]:
            yield document.problem((*at, "addresses", position), f"{node} is given twice")
        elif not 0 < int(node.rpartition(":")[2]) <= 65535:
            yield document.problem((*at, "addresses", position), f"{node}: expected a port from 1 to 65535")


def _has_weights(model: Path) -> bool:
    return not (model / "config.json").is_file() or any(model.glob("model.safetensors*"))
