"""From `trivet.yaml` to a checked `Config`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from trivet.config.checks import check_config
from trivet.config.schema import (
    ConfigFile,
    HubAdapterSection,
    IndexFile,
    RouteSection,
    VariantRetrieval,
    VariantSection,
)
from trivet.config.searches import check_searches
from trivet.config.yaml_lines import YamlDocument, parse, read_yaml
from trivet.errors import ConfigError
from trivet.types.adapter import AdapterPlace, HubAdapter, RemotePlace
from trivet.types.variant import (
    CacheScope,
    ConfidenceFloor,
    FewShotSettings,
    OnRetrievalFailure,
    RetrievalSettings,
    Route,
    Sampling,
    Variant,
    VersionRef,
)


@dataclass(frozen=True, slots=True)
class Overrides:
    """What the command line or the environment says instead of the file; None leaves the file's value."""

    listen: str | None = None
    admin_listen: str | None = None
    metrics_listen: str | None = None
    data_dir: Path | None = None
    insecure: bool = False


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

    def resolve(self, path: str) -> Path:
        """A path of the file: relative ones are relative to the file's own folder."""
        return (self.path.parent / path).resolve()

    @property
    def prompts(self) -> Path:
        """Folder of the prompts."""
        return self.resolve(self.file.prompts)

    @property
    def adapter_roots(self) -> tuple[AdapterPlace, ...]:
        """Places that adapters may be loaded from."""
        return tuple(self._adapter_root(root) for root in self.file.adapters)

    def _adapter_root(self, root: str | HubAdapterSection) -> AdapterPlace:
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
        return RemotePlace(root.rstrip("/"), *s3)


def load_config(path: Path, overrides: Overrides = Overrides()) -> Config:
    """Read and check the configuration and every file that it names.

    Raises ConfigError with one line per problem, each with file, line and field.
    """
    path = path.resolve()
    document = read_yaml(path)
    file = parse(document, ConfigFile)
    file = _override(file, overrides, document)
    indexes: dict[str, IndexConfig] = {}
    problems: list[str] = []
    for name, folder_name in file.indexes.items():
        try:
            indexes[name] = _read_index((path.parent / folder_name).resolve(), document, name)
        except ConfigError as error:
            problems += error.problems
    data_dir = overrides.data_dir or Path(path.parent / file.server.data_dir)
    cache = _cache_by_default(file)
    routes = {name: _route(name, section, cache) for name, section in file.routes.items()}
    config = Config(path, file, data_dir.resolve(), indexes, routes)
    problems += check_config(document, file, path.parent, insecure=overrides.insecure)
    problems += check_searches(document, file, {name: index.file for name, index in indexes.items()})
    if problems:
        raise ConfigError(problems)
    return config


def _override(file: ConfigFile, overrides: Overrides, document: YamlDocument) -> ConfigFile:
    """The same file with other listeners, checked like those of the file."""
    changed = {
        name: value
        for name in ("listen", "admin_listen", "metrics_listen")
        if (value := getattr(overrides, name)) is not None
    }
    if not changed:
        return file
    data = {**document.data, "server": {**(document.data.get("server") or {}), **changed}}
    return parse(YamlDocument(document.path, data, document.lines), ConfigFile)


def _read_index(folder: Path, document: YamlDocument, name: str) -> IndexConfig:
    if not (folder / "index.yaml").is_file():
        raise ConfigError([document.problem(("indexes", name), f"no index.yaml in {folder}")])
    index_document = read_yaml(folder / "index.yaml")
    index = IndexConfig(folder, parse(index_document, IndexFile))
    problems = []
    if not index.corpus.is_dir():
        problems.append(index_document.problem(("corpus",), f"no folder {index.corpus}"))
    model = index.embedding_model
    if isinstance(model, Path) and not (model / "modules.json").is_file():
        problems.append(index_document.problem(("embedding", "model"), f"no sentence-transformers model in {model}"))
    cross_encoder = index.rerank_model
    if cross_encoder is not None and not (cross_encoder / "config.json").is_file():
        problems.append(index_document.problem(("rerank", "model"), f"no cross-encoder in {cross_encoder}"))
    if problems:
        raise ConfigError(problems)
    return index


def _cache_by_default(file: ConfigFile) -> CacheScope:
    """Cached blocks tell one tenant what another one's prompts say, so they are shared only where there is one."""
    return CacheScope.TENANT if len({key.tenant for key in file.keys}) > 1 else CacheScope.SHARED


def _route(name: str, section: RouteSection, cache: CacheScope) -> Route:
    return Route(
        name=name,
        variants={key: _variant(key, value) for key, value in section.variants.items()},
        weights={key: value.weight for key, value in section.variants.items()},
        salt=name if section.salt is None else section.salt,
        cache=cache if section.cache is None else CacheScope(section.cache),
        retrieval_deadline=section.retrieval.deadline_ms / 1000,
        on_retrieval_failure=OnRetrievalFailure(section.retrieval.on_failure),
        max_duration=section.max_duration,
    )


def _variant(name: str, section: VariantSection) -> Variant:
    sampling = section.sampling
    return Variant(
        name=name,
        backend=section.backend,
        prompt=VersionRef.parse(section.prompt),
        adapter=None if section.adapter is None else VersionRef.parse(section.adapter),
        retrieval=None if section.retrieval is None else _retrieval(section.retrieval),
        sampling=Sampling(
            sampling.max_tokens, sampling.temperature, sampling.top_p, sampling.seed, tuple(sampling.stop)
        ),
        json_schema=section.json_schema,
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
        rerank=section.rerank,
        confidence=None if confidence is None else ConfidenceFloor(confidence.below, confidence.answer),
        few_shot=None if few_shot is None else FewShotSettings(few_shot.index, few_shot.k, few_shot.token_budget),
    )
