"""What one of several front-end processes is told, and the engine process that they share."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from trivet.config import schema
from trivet.config.load import Config
from trivet.config.schema import ConfigFile, EmbeddedBackend, RemoteBackend
from trivet.types.adapter import AdapterLocation, HubAdapter

HEARTBEAT, LOST_AFTER = 1.0, 10.0  # of an engine process: a busy machine is no lost one
_OF_PROMPTS = ("hub_endpoint", "chat_template", "chat_template_name", "template_date", "allow_plain_roles")
ANY_PORT = "127.0.0.1:0"
RECEIPTS = "receipts.jsonl"  # in a data folder


@dataclass(frozen=True, slots=True)
class FrontEnd:
    """`number`: from 0, of `processes`. `listeners`: host:port of each that all share, by its name in the file.
    `engines`: the address of the engine process of each embedded backend. Paths are absolute."""

    number: int
    processes: int
    data_dir: str
    listeners: Mapping[str, str]
    engines: Mapping[str, str]
    key_file: str

    @property
    def receipts_beside(self) -> tuple[Path, ...]:
        """The request logs of the others."""
        root = Path(self.data_dir).parent
        others = (number for number in range(self.processes) if number != self.number)
        return tuple(root / str(number) / RECEIPTS for number in others)

    @classmethod
    def read(cls, path: Path) -> FrontEnd:
        """As `write` wrote it. OSError, ValueError."""
        return cls(**json.loads(path.read_text(encoding="utf-8")))

    def write(self, path: Path) -> None:
        """For the process that it is about."""
        told = {name: getattr(self, name) for name in self.__slots__}
        path.write_text(json.dumps(told), encoding="utf-8")


def front_end_config(config: Config, front_end: FrontEnd) -> Config:
    """The configuration of one process: the engines are asked over the engine service, the ports are shared."""
    backends = {name: _backend(config, name, front_end) for name in config.file.backends}
    changes = {**front_end.listeners, "metrics_listen": ANY_PORT}
    server = config.file.server.model_copy(update=changes)
    file = config.file.model_copy(update={"backends": backends, "server": server})
    return replace(config, file=file, data_dir=Path(front_end.data_dir))


def engine_settings(config: Config, backend: str, listen: str, key_sha256: str, max_requests: int) -> dict[str, Any]:
    """The `engine.yaml` of an embedded backend's process. Its model is here; places are absolute."""
    section = config.file.backends[backend]
    assert isinstance(section, EmbeddedBackend)
    engine = section.model_dump(mode="json", exclude_unset=True, exclude=set(_OF_PROMPTS))
    engine["model"] = str(config.model_folder(backend))
    speculative = engine.get("engine_args", {}).get("speculative_config")
    if isinstance(speculative, dict) and "model" in speculative:
        speculative["model"] = str(config.resolve(speculative["model"]))
    given = config.file.model_dump(mode="json", exclude_unset=True, by_alias=True)
    return {
        **{name: given[name] for name in ("adapter_source", "schemas") if name in given},
        "name": backend,
        "listen": listen,
        "metrics_listen": ANY_PORT,
        "keys": [{"name": "front-ends", "sha256": key_sha256}],
        "engine": engine,
        "adapters": [_place(root) for root in config.adapter_roots],
        "logs": config.file.server.logs.model_dump(),
        "max_requests": max_requests,
        "max_message_bytes": config.file.server.max_message_bytes,
        "drain_timeout": config.file.server.drain_timeout,
    }


def embedded_backends(file: ConfigFile) -> list[str]:
    """Those that front-end processes share."""
    return [name for name, section in file.backends.items() if isinstance(section, EmbeddedBackend)]


def _backend(config: Config, name: str, front_end: FrontEnd) -> schema.BackendSection:
    section = config.file.backends[name]
    if not isinstance(section, EmbeddedBackend):
        return section.model_copy(update=_where(config, name)) if section.on_hub else section
    fields = section.model_fields_set & RemoteBackend.model_fields.keys() - {"hub_endpoint"}
    return RemoteBackend.model_validate(
        {
            **{field: getattr(section, field) for field in fields},
            "model": str(config.model_folder(name)),
            "kind": "remote",
            "nodes": {"addresses": [front_end.engines[name]]},
            "key_file": front_end.key_file,
            "heartbeat": HEARTBEAT,
            "lost_after": LOST_AFTER,
            "slow_start": 0.0,
        }
    )


def _where(config: Config, name: str) -> dict[str, Any]:
    """A model that was fetched for all of them."""
    return {"model": str(config.model_folder(name)), "hub_endpoint": None}


def _place(place: AdapterLocation) -> str | dict[str, str]:
    if isinstance(place, HubAdapter):
        return {"name": place.ref.name, "version": place.ref.version, "from": str(place)}
    return str(place)
