"""Specs of the rollouts in a configuration, with the digests of all that their variants consist of."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import asdict, dataclass, replace

from trivet.config import Config
from trivet.config.rollouts import rollout_spec
from trivet.rollouts.spec import RolloutSpec
from trivet.rollouts.spec_json import to_json
from trivet.types.variant import Route, Variant, VersionRef, without_defaults

# From an adapter to the SHA-256 of its files at their source; None if the source cannot be read now.
AdapterDigest = Callable[[VersionRef], Awaitable[str | None]]


@dataclass(frozen=True, slots=True)
class DeclaredSpec:
    """A spec as the state store keeps it. `automatic`: it begins by itself."""

    spec: RolloutSpec
    digest: str
    json: str
    automatic: bool


async def declared_specs(
    config: Config, prompt_digest: Callable[[VersionRef], str], adapter_digest: AdapterDigest
) -> dict[str, DeclaredSpec]:
    """By route. The same name with other bytes behind it (an adapter, a prompt, a model) is another spec."""
    found = {}
    for name, route in config.routes.items():
        section = config.file.routes[name].rollout
        if section is None:
            continue
        digests = [
            await _variant_digest(config, route.variants[arm], prompt_digest, adapter_digest)
            for arm in (section.stable, section.candidate)
        ]
        spec = rollout_spec(config.file, name, stable_digest=digests[0], candidate_digest=digests[1])
        found[name] = DeclaredSpec(spec, spec.digest(), to_json(spec), section.start == "automatic")
    return found


def with_specs(routes: Mapping[str, Route], specs: Mapping[str, DeclaredSpec]) -> dict[str, Route]:
    """The same routes, their rollouts told by their specs' digests."""
    return {
        name: route
        if route.rollout is None
        else replace(route, rollout=replace(route.rollout, spec_digest=specs[name].digest))
        for name, route in routes.items()
    }


async def _variant_digest(
    config: Config, variant: Variant, prompt_digest: Callable[[VersionRef], str], adapter_digest: AdapterDigest
) -> str:
    content = {
        "variant": without_defaults(asdict(replace(variant, name=""))),
        "prompt": prompt_digest(variant.prompt),
        **({} if variant.rewrite is None else {"rewrite": prompt_digest(variant.rewrite.prompt)}),
        "adapter": "" if variant.adapter is None else await adapter_digest(variant.adapter),
        "model": await asyncio.to_thread(_model_digest, config, variant.backend),
    }
    data = json.dumps(content, sort_keys=True, default=lambda value: getattr(value, "value", str(value)))
    return hashlib.sha256(data.encode()).hexdigest()


def _model_digest(config: Config, backend: str) -> str:
    """What tells a model from another one without reading its weights: its configuration, its files and their sizes."""
    folder = config.model_folder(backend)
    files = sorted((path.name, path.stat().st_size) for path in folder.glob("*") if path.is_file())
    described = folder / "config.json"
    digest = hashlib.sha256(json.dumps(files).encode())
    digest.update(described.read_bytes() if described.is_file() else b"")
    return digest.hexdigest()
