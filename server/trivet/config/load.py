"""From `trivet.yaml` to a checked `Config`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

from pydantic import ValidationError, create_model

from trivet.config import schema
from trivet.config.checks import check_config
from trivet.config.environment import variable
from trivet.config.rollouts import declared_rollout
from trivet.config.schema import (
    ConfigFile,
    HubAdapterSection,
    IndexFile,
    RouteSection,
    VariantRetrieval,
    VariantSection,
)
from trivet.config.schema.server import LISTENERS
from trivet.config.searches import check_searches
from trivet.config.wording import describe
from trivet.config.yaml_lines import YamlDocument, parse_partly, read_yaml_partly
from trivet.errors import ConfigError
from trivet.types.adapter import AdapterLocation, HubAdapter, RemoteLocation
from trivet.types.metadata.where import parse_where
from trivet.types.passage import Expansion
from trivet.types.variant import (
    CacheScope,
    ConfidenceFloor,
    DriftSettings,
    FewShotSettings,
    OnRetrievalFailure,
    RetrievalSettings,
    Route,
    Sampling,
    Variant,
    VersionRef,
)

MOST_OF_KEY = 4096  # characters
# What is required at the top of the file may be missing from what is left of a file that has problems.
_REQUIRED: dict[str, Any] = {
    name: (field_.annotation, {}) for name, field_ in ConfigFile.model_fields.items() if field_.is_required()
}
PartialConfigFile = cast(type[ConfigFile], create_model("PartialConfigFile", __base__=ConfigFile, **_REQUIRED))


@dataclass(frozen=True, slots=True)
class Overrides:
    """What the command line or the environment says instead of the file; None leaves the file's value.

    `origins`: for each of these that is given, the option or variable that gave it.
    """

    listen: str | None = None
    admin_listen: str | None = None
    metrics_listen: str | None = None
    http_listen: str | None = None
    data_dir: Path | None = None
    insecure: bool = False
    state_password: str | None = field(default=None, repr=False)
    origins: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class IndexConfig:
    """One index's folder and its `index.yaml`."""

    folder: Path
    file: IndexFile

    @property
    def corpus(self) -> Path:
        """The folder of its documents."""
        return self.folder / self.file.corpus

    @property
    def embedding_model(self) -> Path | str | None:
        """The embedding model's folder or `hub:` name; None for the one that is installed with Trivet."""
        model = self.file.embedding.model
        if model is None or model.startswith("hub:"):
            return model
        return (self.folder / model).resolve()

    @property
    def rerank_model(self) -> Path | None:
        """The cross-encoder's folder; None if the index has none."""
        rerank = self.file.rerank
        return None if rerank is None else (self.folder / rerank.model).resolve()


@dataclass(frozen=True, slots=True)
class Config:
    """Everything that the server is told. Paths are absolute."""

    path: Path
    file: ConfigFile
    data_dir: Path
    indexes: Mapping[str, IndexConfig]
    routes: Mapping[str, Route]
    origins: Mapping[str, str] = field(default_factory=dict)  # of what the file does not say: the option or variable
    given_state_password: str | None = field(default=None, repr=False)

    def resolve(self, path: str) -> Path:
        """A path of the file: relative ones are relative to the file's own folder."""
        return (self.path.parent / path).resolve()

    def model_folder(self, backend: str) -> Path:
        """The folder of a backend's model; for one of a hub, where it is once it has been fetched."""
        section = self.file.backends[backend]
        if not section.on_hub:
            return self.resolve(section.model)
        name, _, revision = section.model.partition(":")[2].partition("@")
        with_code = "+code" if section.trust_remote_code else ""
        return self.data_dir / "models" / (f"{name}@{revision or 'main'}{with_code}".replace("/", "--"))

    def chat_template(self, backend: str) -> Path | None:
        """The file of the chat template that a backend's prompts are written with; None for the model's own."""
        template = self.file.backends[backend].chat_template
        return None if template is None else self.resolve(template)

    def state_password(self) -> str | None:
        """The password of the state store's database: from the environment, else from its file. OSError without it."""
        file = self.file.state.password_file
        if self.given_state_password is not None or file is None:
            return self.given_state_password
        return self.resolve(file).read_text(encoding="utf-8").strip()

    def backend_key(self, backend: str) -> str | None:
        """The key that a backend of kind `openai` is asked with: from its file or variable, None if it has neither.

        It may be another one at the next call. OSError if it cannot be read, ValueError if it is no key.
        """
        section = self.file.backends[backend]
        assert isinstance(section, schema.OpenAiBackend)
        if section.key_file is not None:
            key: str | None = self.resolve(section.key_file).read_text(encoding="utf-8").strip()
        elif section.key_env is not None:
            key = variable(section.key_env)
        else:
            return None
        if not key or len(key) > MOST_OF_KEY or not key.isascii() or not key.isprintable() or " " in key:
            raise ValueError("it is empty, or has something else in it than printable ASCII")
        return key

    @property
    def prompts(self) -> Path:
        """Folder of the prompts."""
        return self.resolve(self.file.prompts)

    @property
    def adapter_roots(self) -> tuple[AdapterLocation, ...]:
        """Places that adapters may be loaded from."""
        return tuple(self._adapter_root(root) for root in self.file.adapters)

    def _adapter_root(self, root: str | HubAdapterSection) -> AdapterLocation:
        if isinstance(root, HubAdapterSection):
            repository, _, revision = root.source.removeprefix("hub:").partition("@")
            ref = VersionRef(root.name, root.version)
            return HubAdapter(ref, repository, revision or None, self.file.adapter_source.hub_endpoint)
        scheme, separator, path = root.partition("://")
        if not separator:
            return self.resolve(root)
        if scheme == "file":
            return Path(path).resolve()
        source = self.file.adapter_source
        s3 = (source.endpoint_url, source.region) if scheme == "s3" else ()
        return RemoteLocation(root.rstrip("/"), *s3)


@dataclass(frozen=True, slots=True)
class Examined:
    """A configuration that was looked through whole: what is right of it, None if nothing is, and what is wrong."""

    config: Config | None
    problems: tuple[str, ...]


def load_config(path: Path, overrides: Overrides = Overrides()) -> Config:
    """Read and check the configuration and every file that it names.

    Raises ConfigError with one line per problem, each with file, line and field.
    """
    examined = examine_config(path, overrides)
    if examined.config is None or examined.problems:
        raise ConfigError(examined.problems)
    return examined.config


def examine_config(path: Path, overrides: Overrides = Overrides()) -> Examined:
    """The same, but what is wrong hides nothing else that is: all problems are found at once."""
    path = path.resolve()
    if not path.exists():
        return Examined(None, (f"{path}: no such file: name one with --config, or write a project with `trivet init`",))
    try:
        document, problems = read_yaml_partly(path)
    except ConfigError as error:
        return Examined(None, error.problems)
    file, found = parse_partly(document, ConfigFile, PartialConfigFile)
    problems += found
    if file is None:
        return Examined(None, tuple(problems))
    file, found = _override(file, overrides)
    problems += found
    indexes = {}
    for name, folder in file.indexes.items():
        index, found = _read_index((path.parent / folder).resolve(), document, name)
        problems += found
        if index is not None:
            indexes[name] = index
    problems += check_config(document, file, path.parent, insecure=overrides.insecure, origins=overrides.origins)
    problems += check_searches(document, file, {name: index.file for name, index in indexes.items()})
    data_dir = overrides.data_dir or Path(path.parent / file.server.data_dir)
    routes = {name: _route(name, section, file) for name, section in file.routes.items()}
    config = Config(path, file, data_dir.resolve(), indexes, routes, overrides.origins, overrides.state_password)
    return Examined(config, tuple(problems))


def _override(file: ConfigFile, overrides: Overrides) -> tuple[ConfigFile, list[str]]:
    """The same file with other listeners, and what is wrong with those."""
    changed, problems = {}, []
    for name in LISTENERS:
        value: str | None = getattr(overrides, name)
        if value is None:
            continue
        try:
            type(file.server).model_validate({name: value})
        except ValidationError as error:
            told = describe(error.errors()[0], (name,))
            problems.append(f"{overrides.origins.get(name, name)}: {told}")
        else:
            changed[name] = value
    server = file.server.model_copy(update=changed)
    return file.model_copy(update={"server": server}), problems


def _read_index(folder: Path, document: YamlDocument, name: str) -> tuple[IndexConfig | None, list[str]]:
    if not (folder / "index.yaml").is_file():
        return None, [document.problem(("indexes", name), f"no index.yaml in {folder}")]
    try:
        own, problems = read_yaml_partly(folder / "index.yaml")
    except ConfigError as error:
        return None, list(error.problems)
    if own.data is None:
        own.data = {}  # every field has a default
    file, found = parse_partly(own, IndexFile)
    problems += found
    if file is None:
        return None, problems
    index = IndexConfig(folder, file)
    if file.source is None and not index.corpus.is_dir():
        problems.append(own.problem(("corpus",), f"no folder {index.corpus}"))
    model = index.embedding_model
    if isinstance(model, Path) and not (model / "modules.json").is_file():
        problems.append(own.problem(("embedding", "model"), f"no sentence-transformers model in {model}"))
    cross_encoder = index.rerank_model
    if cross_encoder is not None and not (cross_encoder / "config.json").is_file():
        problems.append(own.problem(("rerank", "model"), f"no cross-encoder in {cross_encoder}"))
    return index, problems


def _cache_by_default(file: ConfigFile) -> CacheScope:
    """Cached blocks tell one tenant what another one's prompts say, so they are shared only where there is one."""
    return CacheScope.TENANT if len({key.tenant for key in file.keys}) > 1 else CacheScope.SHARED


def _route(name: str, section: RouteSection, file: ConfigFile) -> Route:
    return Route(
        name=name,
        variants={key: _variant(key, value) for key, value in section.variants.items()},
        weights=_weights(section),
        rollout=None if section.rollout is None else declared_rollout(section.rollout),
        salt=name if section.salt is None else section.salt,
        cache=_cache_by_default(file) if section.cache is None else CacheScope(section.cache),
        retrieval_deadline=section.retrieval.deadline_ms / 1000,
        on_retrieval_failure=OnRetrievalFailure(section.retrieval.on_failure),
        max_duration=section.max_duration,
        allow=frozenset(section.allow),
        kept_share=0.0 if section.interactions is None else section.interactions.share,
        drift=_drift(section),
        stream=section.stream.pace(file.stream),
    )


def _drift(section: RouteSection) -> DriftSettings | None:
    found = section.drift
    return None if found is None else DriftSettings(found.reference, found.alarm_days, tuple(found.unanswered))


def _weights(section: RouteSection) -> dict[str, float]:
    """Where there is a rollout, all of it is stable's until the state store says otherwise."""
    if section.rollout is None:
        return {key: value.weight or 0.0 for key, value in section.variants.items()}
    return {key: float(key == section.rollout.stable) for key in section.variants}


def _variant(name: str, section: VariantSection) -> Variant:
    sampling = section.sampling
    return Variant(
        name=name,
        backend=section.backend,
        prompt=VersionRef.parse(section.prompt),
        adapter=None if section.one_adapter is None else VersionRef.parse(section.one_adapter),
        adapter_choice=None if section.adapter_choice is None else section.adapter_choice.choice(),
        retrieval=None if section.retrieval is None else _retrieval(section.retrieval),
        sampling=Sampling(
            **{**sampling.model_dump(), "stop": tuple(sampling.stop)},
        ),
        json_schema=section.json_schema,
        template_variables=section.template_variables,
        reasoning=None if section.reasoning is None else section.reasoning.settings(),
    )


def _retrieval(section: VariantRetrieval) -> RetrievalSettings:
    confidence, few_shot = section.confidence, section.few_shot
    return RetrievalSettings(
        index=section.index,
        top_k=section.top_k,
        min_score=section.min_score,
        token_budget=section.token_budget,
        tags=tuple(section.tags),
        max_per_document=section.max_per_document or 0,
        collapse=section.duplicates == "collapse",
        expansion=Expansion(section.expand),
        rerank=section.rerank,
        confidence=None if confidence is None else ConfidenceFloor(confidence.below, confidence.answer),
        few_shot=None if few_shot is None else FewShotSettings(few_shot.index, few_shot.k, few_shot.token_budget),
        where=None if section.where is None else parse_where(section.where),
        rewrite=None if section.rewrite is None else section.rewrite.settings(),
    )
