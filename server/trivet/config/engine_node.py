"""From `engine.yaml` to a checked configuration of one engine node."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from trivet.config import schema
from trivet.config.checks import adapter_source_problems, embedded_problems, tls_problems
from trivet.config.engines.engine_checks import engine_problems
from trivet.config.engines.remote_checks import is_loopback
from trivet.config.load import Config, PartialConfigFile
from trivet.config.yaml_lines import parse_partly, read_yaml_partly
from trivet.errors import ConfigError

OVERRIDDEN = ("listen", "metrics_listen", "name")


@dataclass(frozen=True, slots=True)
class EngineOverrides:
    """What the command line says instead of the file; None leaves the file's value."""

    listen: str | None = None
    metrics_listen: str | None = None
    data_dir: Path | None = None
    name: str | None = None
    insecure: bool = False


@dataclass(frozen=True, slots=True)
class EngineNodeConfig:
    """Everything that an engine node is told. `parts`: its engine, adapters and schemas, as a gateway's configuration
    would have them, under the node's name."""

    file: schema.EngineFile
    engine: schema.EmbeddedBackend
    parts: Config

    @property
    def data_dir(self) -> Path:
        """All state lives here."""
        return self.parts.data_dir


def load_engine_node(
    path: Path, overrides: EngineOverrides = EngineOverrides(), engine: schema.EmbeddedBackend | None = None
) -> EngineNodeConfig:
    """Read and check it whole. Raises ConfigError with one line per problem, each with file, line and field.

    `engine`: that of the server in which the node is a plugin; then the file has none.
    """
    path = path.resolve()
    if not path.exists():
        raise ConfigError([f"{path}: no such file: name one with --config"])
    document, problems = read_yaml_partly(path)
    file, found = parse_partly(document, schema.EngineFile)
    problems += found
    if file is None:
        raise ConfigError(problems)
    changes = {name: getattr(overrides, name) for name in OVERRIDDEN if getattr(overrides, name) is not None}
    file = file.model_copy(update=changes)
    folder = path.parent
    problems += tls_problems(document, ("tls",), file.tls, folder)
    if file.engine is None:
        if engine is None and ("engine",) not in document.lines:
            problems.append(document.problem(("engine",), "required field is missing"))
    elif engine is not None:
        problems.append(document.problem(("engine",), "has no effect: the engine is the server's own"))
    else:
        problems += engine_problems(document, ("engine",), file.engine, folder)
        problems += embedded_problems(document, ("engine",), file.engine)
    if engine is not None and file.machine is not None:
        problems.append(document.problem(("machine",), "has no effect: the steps of a server's engine are not counted"))
    problems += adapter_source_problems(document, file)
    credentials = file.keys or (file.tls is not None and file.tls.client_ca)
    if not is_loopback(file.listen) and not overrides.insecure and not (file.tls and credentials):
        expected = "expected tls, and keys or tls.client_ca (or --insecure, which lets anybody in)"
        problems.append(document.problem(("listen",), f"{file.listen} can be reached from other machines: {expected}"))
    engine = engine or file.engine
    if problems or engine is None:
        raise ConfigError(problems)
    parts = PartialConfigFile(  # type: ignore[call-arg]  # an engine node has no routes
        server=schema.Server(
            tls=file.tls, keepalive=file.keepalive, max_message_bytes=file.max_message_bytes, logs=file.logs
        ),
        schemas=file.schemas,
        backends={file.name: engine},
        adapters=file.adapters,
        adapter_source=file.adapter_source,
        machines={} if file.machine is None else {file.name: file.machine},
    )
    data_dir = (overrides.data_dir or folder / file.data_dir).resolve()
    return EngineNodeConfig(file, engine, Config(path, parts, data_dir, {}, {}))
