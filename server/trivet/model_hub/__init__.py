"""A model hub: references to repositories, their files, and models fetched whole."""

from trivet.model_hub.base_model import RECORD, FetchWatcher, fetch_model
from trivet.model_hub.embedding_model import fetched
from trivet.model_hub.repository import PREFIX, HubBroken, HubDenied, HubMissing, HubReference, HubRepository

__all__ = [
    "PREFIX",
    "RECORD",
    "FetchWatcher",
    "HubBroken",
    "HubDenied",
    "HubMissing",
    "HubReference",
    "HubRepository",
    "fetch_model",
    "fetched",
]
