"""The configuration of an evaluation's own server: one route for each arm, everything else as in the given one.

It serves this machine alone, with the embedded vector engine in the evaluation's folder: an evaluation never touches
the data of a server that others use.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from trivet.cli.evaluation.invocations import Invocations
from trivet.cli.evaluation.stuffing import Stuffing
from trivet.config import Config, schema
from trivet.errors import ConfigError
from trivet.evaluation.arms import Arm
from trivet.evaluation.suite import Suite
from trivet.types.adapter import AdapterLocation, HubAdapter

_FILES = ("key_file", "ca_file", "token_file", "ca", "certificate", "key")  # fields of backends that name one
RETRIEVAL_DEADLINE_MS = 5000.0  # an answer without passages would say nothing of the arm: wait rather than degrade
REWRITING_DEADLINE_MS = 60_000.0  # half of which the model has to write a question anew


@dataclass(frozen=True, slots=True)
class Derived:
    """The written file; which arms cannot be asked, and why; the indexes that have to be built."""

    path: Path
    refused: dict[str, str]
    indexes: tuple[str, ...]


def ingredients(config: Config, suite: Suite) -> dict[str, str]:
    """A digest of everything that decides answers besides the questions: the model, prices, prompts, adapters, indexes.

    What is not there has the digest "missing"; deriving the configuration will say so if it is needed.
    """
    file = config.file
    beside = {
        "model",
        "hub_endpoint",
        "chat_template",
        "start_timeout",
        "restart",
    }  # of the model and its template: a digest of their own
    about = {name: section.model_dump(mode="json", exclude=beside) for name, section in file.backends.items()}
    priced = {name: section.model_dump(mode="json") for name, section in file.prices.items()}
    found = {"configuration": hashlib.sha256(json.dumps([about, priced], sort_keys=True).encode()).hexdigest()}
    for name in file.backends:
        template = config.chat_template(name)
        found[f"model {name}"] = _digest(config.model_folder(name), *(() if template is None else (template,)))
    for arm in suite.arms:
        for ref in (arm.prompt, *(() if arm.rewrite is None else arm.rewrite[:1])):
            found[f"prompt {ref}"] = _digest(*_prompt_files(config, suite, ref))
        if arm.adapter is not None:
            found[f"adapter {arm.adapter}"] = _digest(*_adapter_files(config, arm.adapter))
        for index in (arm.index, arm.stuffed):
            if index is None:
                continue
            if index in suite.indexes:
                found[f"index {index}"] = _digest(suite.indexes[index])
            elif index in config.indexes:
                known = config.indexes[index]
                found[f"index {index}"] = _digest(known.folder / "index.yaml", known.corpus)
    return found


def _digest(*paths: Path) -> str:
    """Of all files at and below these, by relative path and content; hidden ones left out."""
    digest = hashlib.sha256()
    files = 0
    for root in paths:
        for path in sorted(root.rglob("*")) if root.is_dir() else [root]:
            relative = path.relative_to(root)
            if not path.is_file() or any(part.startswith(".") for part in relative.parts):
                continue
            digest.update(f"{relative.as_posix()}\0".encode())
            digest.update(hashlib.sha256(path.read_bytes()).digest())
            files += 1
    return digest.hexdigest() if files else "missing"


def _prompt_files(config: Config, suite: Suite, ref: str) -> list[Path]:
    folders = [config.prompts, *([suite.prompts] if suite.prompts else [])]
    return [path for folder in folders if (path := folder / (ref.replace("@", "/") + ".md")).is_file()]


def _adapter_files(config: Config, ref: str) -> list[Path]:
    folders = [root / ref.replace("@", "/") for root in config.adapter_roots if isinstance(root, Path)]
    names = ("adapter_config.json", "adapter_model.safetensors")
    return [path for folder in folders for name in names if (path := folder / name).is_file()]


def derive(config: Config, suite: Suite, folder: Path, *, own_routes: bool = False) -> Derived:
    """Write the configuration and its prompts into `folder`.

    `own_routes`: the configuration's routes are served beside the arms', so that one server can show both.

    Raises ConfigError if the suite names a prompt or an index that is not there; what is wrong with the rest (an
    adapter that is missing, say) is told by the configuration's own check, by the names of the routes.
    """
    backends = config.file.backends
    usual = next((name for name, section in backends.items() if section.enable_lora), next(iter(backends)))
    stuffing = {name: Stuffing(config, name) for name in backends}
    invocations = Invocations(_own_prompts(config, suite))
    prompts = folder / "prompts"
    shutil.rmtree(prompts, ignore_errors=True)
    prompts.mkdir(parents=True)
    if own_routes:
        shutil.copytree(config.prompts, prompts, dirs_exist_ok=True)
    problems: list[str] = []
    refused: dict[str, str] = {}
    routes: dict[str, Any] = {}
    for arm, examples in [(arm, part.examples) for part in suite.parts for arm in part.arms]:
        try:
            source = prompt_file(config, suite, arm)
            rewriting_file(config, suite, arm)
            _check_index(config, suite, arm)
            backend = _one_backend(config, suite, arm) or usual
        except ConfigError as error:
            problems += error.problems
            continue
        prompt = arm.prompt
        if arm.stuffed is not None:
            prompt = arm.own_prompt
            reason = stuffing[backend].write(source, arm, examples, prompts / arm.route / "1.md")
            if reason:
                refused[arm.name] = reason
                continue
        elif invocations.write(source, arm, prompts / arm.route / "1.md"):
            prompt = arm.own_prompt
        else:
            _copy(source, prompts / (prompt.replace("@", "/") + ".md"))
        if arm.rewrite is not None:
            _copy(rewriting_file(config, suite, arm), prompts / (arm.rewrite[0].replace("@", "/") + ".md"))
        routes[arm.route] = _route(arm, suite, backend, prompt, salted=_has_salts(config, backend))
    if problems:
        raise ConfigError(problems)
    path = folder / "trivet.yaml"
    written = _file(config, suite, prompts, routes, own_routes=own_routes)
    path.write_text(yaml.safe_dump(written, sort_keys=False, allow_unicode=True))
    return Derived(path, refused, tuple(sorted({arm.index for arm in suite.arms if arm.index is not None})))


def prompt_file(config: Config, suite: Suite, arm: Arm) -> Path:
    """The file of an arm's prompt; ConfigError unless exactly one of the project's and the suite's folders has it."""
    return _one_file(config, suite, arm.prompt, f"arms.{arm.name}.prompt")


def rewriting_file(config: Config, suite: Suite, arm: Arm) -> Path:
    """The same of the prompt that its questions are written anew with; its own prompt's where they are not."""
    if arm.rewrite is None:
        return prompt_file(config, suite, arm)
    return _one_file(config, suite, arm.rewrite[0], f"arms.{arm.name}.retrieval.rewrite.prompt")


def _one_file(config: Config, suite: Suite, ref: str, field: str) -> Path:
    files = _prompt_files(config, suite, ref)
    if len(files) == 1:
        return files[0]
    where = " and ".join(str(folder) for folder in (config.prompts, suite.prompts) if folder is not None)
    problem = f"{ref} is {'in both' if files else 'in none'} of {where}, expected in one"
    raise ConfigError([f"{suite.path}:1: {field}: {problem}"])


def _own_prompts(config: Config, suite: Suite) -> Iterator[tuple[Arm, Path]]:
    for arm in suite.main.arms:
        files = _prompt_files(config, suite, arm.prompt)
        if len(files) == 1:  # else it is told where the arm itself is looked at
            yield arm, files[0]


def _one_backend(config: Config, suite: Suite, arm: Arm) -> str | None:
    if arm.backend is None or arm.backend in config.file.backends:
        return arm.backend
    known = ", ".join(config.file.backends)
    raise ConfigError([f"{suite.path}:1: arms.{arm.name}.backend: no backend {arm.backend!r}; known: {known}"])


def _check_index(config: Config, suite: Suite, arm: Arm) -> None:
    for field, name in (("retrieval.index", arm.index), ("stuffed", arm.stuffed)):
        at = f"{suite.path}:1: arms.{arm.name}.{field}"
        if name in config.indexes and name in suite.indexes:
            raise ConfigError([f"{at}: {name!r} is an index of the configuration and one of the suite"])
        if name is not None and name not in config.indexes and (name not in suite.indexes or field == "stuffed"):
            known = ", ".join([*config.indexes, *(suite.indexes if field != "stuffed" else ())]) or "none"
            raise ConfigError([f"{at}: no index {name!r}; known: {known}"])


def arm_problems(config: Config, suite: Suite) -> list[str]:
    """What the suite's arms name and neither it nor the configuration has."""
    problems: list[str] = []
    distant = any(not isinstance(root, Path) for root in config.adapter_roots)
    for arm in suite.arms:
        for looked_up in (prompt_file, rewriting_file, _check_index, _one_backend):
            try:
                looked_up(config, suite, arm)
            except ConfigError as error:
                problems += error.problems
        if arm.adapter is not None and not distant and not _adapter_files(config, arm.adapter):
            problems.append(f"{suite.path}:1: arms.{arm.name}.adapter: no adapter {arm.adapter}")
    return list(dict.fromkeys(problems))


def _copy(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source, target)


def _has_salts(config: Config, backend: str) -> bool:
    """Whether a tenant's requests can have a cache of their own there."""
    section = config.file.backends[backend]
    return not isinstance(section, schema.OpenAiBackend) or section.takes_ids


def _reasoning(arm: Arm, suite: Suite) -> dict[str, Any]:
    found: dict[str, Any] = {}
    if arm.samples > 1:
        found["self_consistency"] = {"samples": arm.samples, **_agreement(suite)}
    if arm.thought is not None:
        found["thought"] = dict(zip(("begin", "end"), arm.thought, strict=True))
    return found


def _agreement(suite: Suite) -> dict[str, Any]:
    """By what the suite judges: its labels, the value in its JSON form, or the text."""
    if suite.form.labels:
        return {"agree_on": "label", "labels": list(suite.form.labels)}
    if suite.form.json_schema is not None:
        return {"agree_on": "json", "field": suite.form.value_field}
    return {"agree_on": "text"}


def _route(arm: Arm, suite: Suite, backend: str, prompt: str, *, salted: bool) -> dict[str, Any]:
    variant: dict[str, Any] = {"weight": 1, "backend": backend, "prompt": prompt}
    variant["sampling"] = {"max_tokens": arm.max_tokens}
    if arm.temperature:
        variant["sampling"]["temperature"] = arm.temperature
    if reasoning := _reasoning(arm, suite):
        variant["reasoning"] = reasoning
    route: dict[str, Any] = {"variants": {arm.route: variant}}
    if arm.constrained and salted:
        # A KV cache of its own: else the same prompt, asked a moment ago without a schema, would make it look cheap.
        route["cache"] = "tenant"
    if arm.adapter is not None:
        variant["adapter"] = arm.adapter
    if arm.index is not None:
        variant["retrieval"] = {"index": arm.index, "top_k": arm.top_k, "token_budget": arm.token_budget}
        route["retrieval"] = {"deadline_ms": RETRIEVAL_DEADLINE_MS, "on_failure": "fail"}
        if arm.rewrite is not None:
            variant["retrieval"]["rewrite"] = dict(zip(("prompt", "max_tokens", "fuse"), arm.rewrite, strict=True))
            route["retrieval"]["deadline_ms"] = REWRITING_DEADLINE_MS
    return route


def _file(config: Config, suite: Suite, prompts: Path, routes: dict[str, Any], *, own_routes: bool) -> dict[str, Any]:
    """Backends that nothing is asked of are left out: each would be an engine to start."""
    given = config.file.model_dump(mode="json", exclude_unset=True, by_alias=True)
    served = {**given["routes"], **routes} if own_routes else routes
    used = {variant["backend"] for route in served.values() for variant in route["variants"].values()}
    for part in ("backends", "prices"):
        if part in given:
            given[part] = {name: section for name, section in given[part].items() if name in used}
    for name, section in given["backends"].items():
        if (folder := config.model_folder(name)).is_dir():  # one of a hub that is not here yet is fetched again
            section["model"] = str(folder)
        if (template := config.chat_template(name)) is not None:
            section["chat_template"] = str(template)
        kubernetes = (section.get("nodes") or {}).get("kubernetes")
        for files in (section, section.get("tls") or {}, kubernetes or {}):
            files |= {key: str(config.resolve(files[key])) for key in _FILES if files.get(key) is not None}
        speculative = section.get("engine_args", {}).get("speculative_config")
        if isinstance(speculative, dict) and "model" in speculative:
            speculative["model"] = str(config.resolve(speculative["model"]))
    parts = ["version", "admission", "backends", "prices", "adapter_source"]
    if own_routes:  # arms have one adapter each: without these routes nothing would choose
        parts.append("adapters_on_demand")
    kept: dict[str, Any] = {name: given[name] for name in parts if name in given}
    return {
        **kept,
        "prompts": str(prompts),
        "adapters": [_place(root) for root in config.adapter_roots],
        "indexes": {
            **{name: str(index.folder) for name, index in config.indexes.items()},
            **{name: str(folder) for name, folder in suite.indexes.items()},
        },
        "routes": served,
    }


def _place(place: AdapterLocation) -> str | dict[str, str]:
    """As it stands in a configuration in another folder."""
    if isinstance(place, HubAdapter):
        return {"name": place.ref.name, "version": place.ref.version, "from": str(place)}
    return str(place)
