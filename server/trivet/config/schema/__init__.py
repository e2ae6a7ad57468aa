"""The shape of `trivet.yaml` and `index.yaml`. Every field is checked, an unknown one is refused."""

from trivet.config.schema.adapters import HubAdapterSection
from trivet.config.schema.backends import BackendSection, EmbeddedBackend, OpenAiBackend, RemoteBackend
from trivet.config.schema.engine import EngineFile
from trivet.config.schema.file import ConfigFile
from trivet.config.schema.indexes import IndexFile
from trivet.config.schema.rollouts import RolloutSection
from trivet.config.schema.routes import RouteSection, VariantRetrieval, VariantSection
from trivet.config.schema.server import Schemas, Server, Tls

__all__ = [
    "BackendSection",
    "ConfigFile",
    "EmbeddedBackend",
    "EngineFile",
    "HubAdapterSection",
    "IndexFile",
    "OpenAiBackend",
    "RemoteBackend",
    "RolloutSection",
    "RouteSection",
    "Schemas",
    "Server",
    "Tls",
    "VariantRetrieval",
    "VariantSection",
]
