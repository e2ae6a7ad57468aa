"""Where adapters come from."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Discriminator, Field, StringConstraints, Tag

from trivet.config.fields import patterns
from trivet.config.fields.kinds import Count, Name, Positive, Section, Text


class HubAdapterSection(Section):
    """One adapter in a repository of a model hub, and what it is called here."""

    name: Name
    version: Annotated[str, StringConstraints(pattern=patterns.VERSION)]
    source: Annotated[
        str,
        Field(alias="from", max_length=300, pattern=patterns.HUB_ADAPTER),
    ]


def _entry_kind(value: Any) -> str | None:
    if isinstance(value, str):
        return "place"
    return "hub" if isinstance(value, dict | HubAdapterSection) else None


AdapterEntry = Annotated[
    Annotated[Text, Tag("place")] | Annotated[HubAdapterSection, Tag("hub")],
    Discriminator(
        _entry_kind,
        custom_error_type="adapter_entry",
        custom_error_message="Expected a place, or a mapping with name, version and from",
    ),
]


class AdapterSource(Section):
    """How adapters come from S3 and from a hub, and their limits; `timeout` in seconds."""

    endpoint_url: Annotated[str, StringConstraints(pattern=patterns.URL)] | None = None
    region: Annotated[str, StringConstraints(pattern=patterns.REGION)] | None = None
    hub_endpoint: Annotated[str, StringConstraints(pattern=patterns.URL)] | None = None
    max_bytes: Count = 2 << 30
    timeout: Positive = 600.0


class AdaptersOnDemand(Section):
    """Bounds of the adapters that requests choose: copies on the disk, loads, and memory of what failed (seconds)."""

    disk_bytes: Count = 20 << 30
    max_waiting: Count = 64
    max_waiting_per_tenant: Count = 8
    failure_memory: Positive = 60.0
